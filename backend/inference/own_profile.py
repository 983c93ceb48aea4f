"""Which profile answers: the one that RIS_PROFILE names, else the one that was chosen for the database by what its first machine had."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import sqlalchemy as sa
import structlog

from backend.db.default_profile import ProfileChoice, keep_choice, read_choice

log = structlog.get_logger(__name__)

WITH_GPU, WITHOUT_GPU = "base", "cpu"
"""Profiles of a new database, by whether its first machine has a GPU that torch can use."""
PROBE_TIMEOUT_S = 60
"""Importing torch takes seconds, and many more on a busy machine."""
_DRIVERS = ("nvidia*", "nvhost*", "dxg", "kfd")
"""Of /dev: what every Linux with a GPU for torch has at least one of."""
_PROBE = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)"


def settle_profile(named: str | None, engine: sa.Engine, device: str) -> str:
    """The profile that answers; chosen and kept if none is named and the database is new.

    Args:
        named: By RIS_PROFILE; it holds whatever was chosen, and is not kept.
        device: As DEVICE names it.

    Raises:
        Unreachable: If the database cannot be used.
    """
    if named:
        return named
    choice = keep_choice(engine, partial(choose_profile, device))
    log.info("RIS_PROFILE is not set", profile=choice.profile, because=choice.reason)
    return choice.profile


def look_up_profile(named: str | None, database_url: str, device: str) -> ProfileChoice:
    """The profile that answers, or would if something started now; keeps nothing."""
    if named:
        return ProfileChoice(named, "RIS_PROFILE names it")
    return read_choice(database_url) or choose_profile(device)


def choose_profile(device: str) -> ProfileChoice:
    """The profile for a machine: by whether models run on a GPU there."""
    if device not in ("auto", "cpu"):
        return ProfileChoice(WITH_GPU, f"DEVICE is {device}")
    if device == "cpu":
        return ProfileChoice(WITHOUT_GPU, "DEVICE is cpu")
    return ProfileChoice(WITH_GPU, "a GPU was found") if has_gpu() else ProfileChoice(WITHOUT_GPU, "no GPU was found")


def has_gpu() -> bool:
    """Whether torch can use a GPU here. Another process asks it: the backend loads no torch."""
    if sys.platform == "linux" and not any(any(Path("/dev").glob(pattern)) for pattern in _DRIVERS):
        return False
    try:
        return subprocess.run([sys.executable, "-c", _PROBE], timeout=PROBE_TIMEOUT_S, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
