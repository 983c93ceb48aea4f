"""`make demo`'s own code brings up the whole path once for these tests: Redis, worker, backend and Label Studio."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend import processes, stack
from backend.label_studio.client import LabelStudio
from demo import label_studio, up
from demo.up import Demo
from tests.e2e.labelling_page import find_chromium

SCREENSHOTS = Path(__file__).parent / ".screenshots"


@pytest.fixture(scope="package")
def state_dir() -> Iterator[Path]:
    """A folder that nobody else uses."""
    folder = Path(tempfile.mkdtemp(prefix="ris-e2e-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def demo(state_dir: Path) -> Iterator[Demo]:
    """The demo on free ports; what it started is stopped in the end, and nothing else."""
    if not label_studio.is_installed():
        _skip("Label Studio is not installed in .venv-ls; `make test` installs it")
    try:
        yield up.start(state_dir, label_studio_port=0, backend_port=0)
    finally:
        started = processes.children(state_dir)
        list(stack.down(state_dir))
    assert [child.name for child in started if child.is_running] == []


@pytest.fixture(scope="package")
def client(demo: Demo) -> LabelStudio:
    """Label Studio's API, as the demo's user."""
    return LabelStudio(demo.url, demo.secrets.token, up.ANSWER_TIMEOUT_S)


@pytest.fixture(scope="package")
def chromium() -> str:
    """Path of a Chromium."""
    return find_chromium() or _skip("No Chromium was found; `make chromium` installs it where it may")


def _skip(reason: str) -> None:
    """Skip, except where that must not happen: CI sets RIS_REQUIRE_BROWSER."""
    if os.environ.get("RIS_REQUIRE_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)
