"""The walls of the house, as docs/developers/architecture.md states them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "spacy", "open_clip", "segment_anything")


def test_import_contracts_hold():
    """The contracts stand in pyproject.toml."""
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "module",
    ["ris_core", "backend.http.app", "backend.commands.cli", "backend.transport.queueing", "backend.db.request_store"],
)
def test_imports_stay_light(module):
    """Label Studio waits one second for a health check, and torch takes two seconds to import."""
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_core_reads_no_environment():
    reading = [
        f for f in (ROOT / "ris_core").rglob("*.py") if "os.environ" in f.read_text() or "getenv" in f.read_text()
    ]
    assert reading == []


def test_only_proposers_and_encoders_know_torch_and_what_picks_their_device():
    allowed = {"proposers", "encoders"}
    knowing = [f for f in (ROOT / "ris_core").rglob("*.py") if "import torch" in f.read_text()]
    assert [f.name for f in knowing if f.parent.name not in allowed] == ["devices.py"]


def test_nothing_leads_out_of_the_repository():
    """A lone clone runs, tests and explains itself."""
    outside = "../" + "shared"
    files = [
        f
        for pattern in ("*.py", "*.md", "*.toml", "Makefile")
        for folder in ("ris_core", "backend", "demo", "docs", "tests")
        for f in (ROOT / folder).rglob(pattern)
    ]
    assert [f.name for f in [*files, ROOT / "Makefile", ROOT / "README.md"] if outside in f.read_text()] == []
