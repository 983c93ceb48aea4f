"""The sections "Weights" and "Device": the packages and files that a worker loads, and the device."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from backend.db.measured_times import describe_first_expression, read_encoding_times
from backend.doctor.context import DoctorContext
from backend.doctor.finding import BAD, MISSING, UNREACHABLE, Finding, fail, ok
from ris_core.errors import BadComponent
from ris_core.profiles import COMPONENTS, catalog, profile_weights, read_profile
from ris_core.runtime.weights import WeightStatus, WeightStore

PACKAGES = ("torch", "open_clip_torch", "segment-anything", "spacy")
"""Distributions that only a worker loads."""
PROBE_TIMEOUT_S = 60
"""Importing torch takes seconds, and many more on a busy machine."""

_PROBE = """
import json, sys
import torch
device = sys.argv[1]
result = {"torch": torch.__version__, "gpus": [], "error": ""}
try:
    if torch.cuda.is_available():
        result["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    result["device"] = str(torch.device(("cuda" if result["gpus"] else "cpu") if device == "auto" else device))
    torch.empty(1, device=result["device"]).cpu()
except Exception as error:
    result["error"] = str(error).splitlines()[0]
print(json.dumps(result))
"""
"""Runs in a separate process: importing torch cannot be interrupted, and a broken driver may end the process."""


def check_weights(context: DoctorContext) -> Iterator[Finding]:
    """Packages, where components come from, and every file of the profile's weights with its digest; nothing is downloaded."""
    profile = context.profile.profile
    if not context.settings.profile:
        remedy = "RIS_PROFILE chooses another."
        yield Finding("Profile", "ok", f"{profile}, because {context.profile.reason}", remedy=remedy)
    sections = read_profile(profile)
    times = read_encoding_times(context.settings.sql_url).get(profile, [])
    yield ok("First expression", describe_first_expression(times))
    yield _check_packages()
    for kind, folder in COMPONENTS.items():
        yield _check_component(kind, folder, sections[kind]["name"])
    store = WeightStore(context.settings.model_dir)
    for name in profile_weights(profile):
        yield describe_weights(store.status(name))
    if (package := sections["parser"].get("package")) and importlib.util.find_spec(package) is None:
        remedy = f"Run: python -m spacy download {package}"
        yield fail("Parser", f"the package {package} is not installed", remedy, MISSING)


def check_device(context: DoctorContext) -> Iterator[Finding]:
    """Whether DEVICE can be used on this machine."""
    device = context.settings.device
    try:
        completed = subprocess.run(
            [sys.executable, "-c", _PROBE, device], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        remedy = "The machine is overloaded, or its GPU driver hangs: try `python -c 'import torch'`."
        yield fail("Device", f"torch did not answer within {PROBE_TIMEOUT_S} s", remedy, UNREACHABLE)
        return
    if completed.returncode != 0:
        last_line = (completed.stderr.strip().splitlines() or [f"exit code {completed.returncode}"])[-1]
        yield fail("Device", f"torch cannot be loaded ({last_line})", "Run: make install", BAD)
        return
    yield judge_device(device, json.loads(completed.stdout.splitlines()[-1]))


def describe_weights(status: WeightStatus) -> Finding:
    """Whether a file of weights is there and complete."""
    name = status.weight.name
    if status.state == "ready":
        if Path(name).is_absolute():
            return ok(status.path.name, f"{status.path}, given by its path")
        return ok(name, f"{status.path}, {status.how_known}")
    return fail(name, status.detail.removesuffix("."), status.remedy, MISSING)


def judge_device(device: str, probe: Mapping[str, Any]) -> Finding:
    """Whether a DEVICE can be used.

    Args:
        device: Value of DEVICE.
        probe: Answer of torch: "torch" (version), "gpus" (names), "device" (resolved), "error" (empty if it works).
    """
    gpus = f"GPUs: {', '.join(probe['gpus'])}" if probe["gpus"] else "no GPU that torch can use"
    if probe["error"]:
        remedy = "Set DEVICE=auto, or install the GPU's driver and a torch built for it."
        return fail("Device", f"DEVICE={device} cannot be used ({probe['error']}); {gpus}", remedy, BAD)
    return ok("Device", f"{device} means {probe['device']}; torch {probe['torch']}, {gpus}")


def _check_component(kind: str, folder: str, name: str) -> Finding:
    """Where a component comes from; that of another distribution is imported, as the worker does it."""
    origin = catalog.origin(folder, name)
    if origin != catalog.BUILT_IN:
        try:
            catalog.find(folder, name)
        except BadComponent as error:
            return fail(kind.capitalize(), error.wrong.removesuffix("."), error.remedy, BAD)
    return ok(kind.capitalize(), f"{name}, {origin}")


def _check_packages() -> Finding:
    try:
        return ok("Packages", ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES))
    except metadata.PackageNotFoundError as error:
        return fail("Packages", f"{error.name} is not installed", "Run: make install", BAD)
