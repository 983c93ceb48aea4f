"""The core passes `mypy --strict`; what the rest would need for it is counted, and may only become less."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_ERRORS = {"ris_core": 0, "backend": 80, "benchmarks": 21, "demo": 68}
"""What `mypy --strict` found when these were last counted. Lower a number when you mend errors; none may rise."""

pytestmark = pytest.mark.slow


def test_strict_errors_only_become_fewer():
    """Its own cache, because mypy reads no cache that was made with other options; with one it takes seconds."""
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ".mypy_cache/strict"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert process.returncode in (0, 1), process.stdout + process.stderr
    errors = [line for line in process.stdout.splitlines() if re.match(r"\w+/[^:]*:\d+: error:", line)]
    counts = Counter(line.partition("/")[0] for line in errors)
    risen = {
        name: f"{counts[name]}, not {MOST_ERRORS.get(name, 0)}"
        for name in counts
        if counts[name] > MOST_ERRORS.get(name, 0)
    }
    assert not risen, "\n".join(line for line in errors if line.partition("/")[0] in risen)
