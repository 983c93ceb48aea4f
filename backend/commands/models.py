"""`ris models`: weights on this machine."""

import sys
from typing import Annotated

import typer

from backend.settings.environment import read_settings


def list_models() -> None:
    """Every profile, its weights, and whether they are there."""
    from ris_core.profiles import profile_names, profile_weights, read_profile
    from ris_core.runtime.weights import WeightStore

    store = WeightStore(read_settings().model_dir)
    for name in profile_names():
        print(f"{name}: {read_profile(name)['about']}")
        for status in map(store.status, profile_weights(name)):
            print(f"    {status.weight.name:<16} {status.state:<8} {status.path}")


def pull_models(profile: Annotated[str, typer.Argument(help="Profile, or one of its weights by name.")]) -> None:
    """Download a profile's weights and verify them."""
    from ris_core.profiles import profile_names, profile_weights
    from ris_core.runtime.weights import WeightStore

    store = WeightStore(read_settings().model_dir)
    names = profile_weights(profile) if profile in profile_names() else [profile]
    for name, path in zip(names, store.pull(names, DownloadProgressPrinter()), strict=True):
        print(f"{name} is there and verified: {path}")


class DownloadProgressPrinter:
    """Counts a download up on one line of standard error; a line every tenth where that is no terminal."""

    def __init__(self) -> None:
        self._printed: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """Take note that `done` of `total` bytes are there; a `total` of 0 is unknown."""
        share = f"{done / total:4.0%} of {total / 1e6:.0f} MB" if total else f"{done / 1e6:.0f} MB"
        tenth = done * 10 // total if total else 0
        if sys.stderr.isatty():
            print(f"\r{name}: {share}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif tenth > self._printed.get(name, 0):
            print(f"{name}: {share}", file=sys.stderr, flush=True)
        self._printed[name] = tenth
