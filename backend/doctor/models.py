"""What the worker loads: packages, the profile's weights, and the device that they run on."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from backend.doctor.context import DoctorContext
from backend.doctor.finding import BAD, MISSING, UNREACHABLE, Finding, fail, ok
from ris_core.profiles import profile_weights, read_profile
from ris_core.runtime.weights import WeightStatus, WeightStore

PACKAGES = ("torch", "open_clip_torch", "segment-anything", "spacy")
"""Distributions that only the worker loads."""
PROBE_TIMEOUT_S = 60
"""Importing torch takes seconds, on a busy machine many."""

_PROBE = """
import json, sys
import torch
wanted = sys.argv[1]
seen = {"torch": torch.__version__, "gpus": [], "error": ""}
try:
    if torch.cuda.is_available():
        seen["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    seen["device"] = str(torch.device(("cuda" if seen["gpus"] else "cpu") if wanted == "auto" else wanted))
    torch.empty(1, device=seen["device"]).cpu()
except Exception as error:
    seen["error"] = str(error).splitlines()[0]
print(json.dumps(seen))
"""
"""Run in a process of its own: importing torch cannot be interrupted, and a broken driver may end the process."""


def check_weights(case: DoctorContext) -> Iterator[Finding]:
    """Packages and every file of the profile's weights; their digests are measured, nothing is downloaded."""
    profile = case.settings.profile
    sections = read_profile(profile)
    yield _check_packages()
    store = WeightStore(case.settings.model_dir)
    for name in profile_weights(profile):
        yield describe_weights(store.status(name))
    if (package := sections["parser"].get("package")) and importlib.util.find_spec(package) is None:
        remedy = f"Get it with: python -m spacy download {package}"
        yield fail("Parser", f"the package {package} is not installed", remedy, MISSING)


def check_device(case: DoctorContext) -> Iterator[Finding]:
    """Whether DEVICE can be used on this machine."""
    wanted = case.settings.device
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, wanted], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        remedy = "The machine is overloaded, or its GPU driver hangs: try `python -c 'import torch'`."
        yield fail("Device", f"torch said nothing within {PROBE_TIMEOUT_S} s", remedy, UNREACHABLE)
        return
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield fail("Device", f"torch cannot be loaded ({last})", "Install everything again: make install.", BAD)
        return
    yield judge_device(wanted, json.loads(done.stdout.splitlines()[-1]))


def describe_weights(status: WeightStatus) -> Finding:
    """Whether weights are there and whole."""
    name, weight = status.weight.name, status.weight
    if status.state == "ready":
        return ok(name, f"{status.path}, {'in the repository' if weight.bundled else 'sha256 verified'}")
    return fail(name, status.detail.removesuffix("."), status.remedy, MISSING)


def judge_device(wanted: str, seen: Mapping[str, Any]) -> Finding:
    """Whether a DEVICE can be used.

    Args:
        seen: What torch says: "torch" (version), "gpus" (names), "device" (resolved), "error" (empty if it works).
    """
    gpus = f"GPUs: {', '.join(seen['gpus'])}" if seen["gpus"] else "no GPU that torch can use"
    if seen["error"]:
        remedy = "Set DEVICE=auto, or install the GPU's driver and a torch built for it."
        return fail("Device", f"DEVICE={wanted} cannot be used ({seen['error']}); {gpus}", remedy, BAD)
    return ok("Device", f"{wanted} means {seen['device']}; torch {seen['torch']}, {gpus}")


def _check_packages() -> Finding:
    try:
        return ok("Packages", ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES))
    except metadata.PackageNotFoundError as error:
        return fail("Packages", f"{error.name} is not installed", "Install everything: make install.", BAD)
