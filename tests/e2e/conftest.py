"""`make demo`'s own code brings up the whole path once for these tests: Redis, worker, backend and Label Studio."""

import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from backend.base import processes
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.connect import connect
from backend.local import stack
from benchmarks.labelling_page import LabellingPage, find_chromium, open_browser
from demo import label_studio, up
from demo.gallery import GALLERY, Exhibit
from demo.up import BACKEND_USER, Demo
from tests.e2e.gate import Gate

SCREENSHOTS = Path(__file__).parent / ".screenshots"
LABEL_CONFIGS = Path(__file__).parents[2] / "label_config"
RECOMMENDED = (LABEL_CONFIGS / "recommended.xml").read_text(encoding="utf-8")
WAIT_S = 10.0
"""For something that happens outside the page."""
PLAIN = "plain"
"""A profile as `demo` is without its calibrator, as all profiles of photographs are."""
SECOND_EMAIL, SECOND_PASSWORD = "second@example.com", "second-password"


@pytest.fixture(scope="package")
def state_dir() -> Iterator[Path]:
    """A folder that nobody else uses."""
    folder = Path(tempfile.mkdtemp(prefix="ris-e2e-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def plain_profile(state_dir: Path) -> Path:
    """A folder for Python's path: a distribution that adds the profile `PLAIN`."""
    folder = state_dir / "plain"
    info = folder / "plain-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[ris_core.profiles]\n{PLAIN} = ris_plain\n")
    package = folder / "ris_plain"
    package.mkdir()
    (package / "__init__.py").touch()
    taken_away = f'extends = "demo"\nversion_prefix = "{PLAIN}"\n[method.settings]\ncalibration = ""\n'
    (package / f"{PLAIN}.toml").write_text(taken_away)
    return folder


@pytest.fixture(scope="package")
def demo(state_dir: Path, plain_profile: Path) -> Iterator[Demo]:
    """The demo on free ports; what it started is stopped in the end, and nothing else."""
    if not label_studio.is_installed():
        _skip("Label Studio is not installed in .venv-ls; `make test` installs it")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(plain_profile), prepend=os.pathsep)
            running = up.start(state_dir, label_studio_port=0, backend_port=0)
        yield running
    finally:
        started = processes.children(state_dir)
        list(stack.down(state_dir))
    assert [child.name for child in started if child.is_running] == []


@pytest.fixture(scope="package")
def client(demo: Demo) -> LabelStudioClient:
    """Label Studio's API, as the demo's user."""
    return LabelStudioClient(demo.url, demo.secrets.token, up.ANSWER_TIMEOUT_S)


@pytest.fixture(scope="package")
def gate(demo: Demo) -> Iterator[Gate]:
    """A door to the backend that tests can close."""
    door = Gate(demo.backend_url)
    yield door
    door.close()


@dataclass(frozen=True)
class Project:
    """A project of a test.

    Attributes:
        tasks: Ids of its tasks, in the order of their data.
    """

    id: int
    tasks: tuple[int, ...]


MakeProject = Callable[[str, Sequence[Mapping[str, Any]]], Project]


@pytest.fixture(scope="package")
def make_project(demo: Demo, client: LabelStudioClient, gate: Gate) -> MakeProject:
    """Makes a project of a label config and tasks' data, and connects it to the backend through the gate."""

    def make(label_config: str, data: Sequence[Mapping[str, Any]]) -> Project:
        title = f"Test {len(client.request('GET', '/api/projects/?page_size=1000')['results'])}"
        project = client.request("POST", "/api/projects/", {"title": title, "label_config": label_config})["id"]
        client.request("POST", f"/api/projects/{project}/import", list(data))
        credentials = (BACKEND_USER, demo.secrets.backend_password)
        connect(client, project, gate.url, credentials, demo.secrets.webhook_secret)
        tasks = client.request("GET", f"/api/tasks?project={project}&page_size=100")["tasks"]
        return Project(project, tuple(sorted(task["id"] for task in tasks)))

    return make


@pytest.fixture(scope="package")
def image_of(demo: Demo, client: LabelStudioClient) -> Callable[[Exhibit], str]:
    """The address of a scene's picture in Label Studio."""
    return lambda exhibit: client.request("GET", f"/api/tasks/{demo.tasks[exhibit]}/")["data"]["image"]


@pytest.fixture(scope="package")
def upload(demo: Demo, client: LabelStudioClient) -> Callable[[str, bytes], str]:
    """Puts a picture into Label Studio; its address there."""

    def put(name: str, picture: bytes) -> str:
        answer = httpx.post(
            f"{demo.url}/api/projects/{demo.project}/import?commit_to_project=false",
            files={"file": (name, picture)},
            headers={"Authorization": f"Token {demo.secrets.token}"},
            timeout=up.ANSWER_TIMEOUT_S,
            trust_env=False,
        )
        [number] = answer.raise_for_status().json()["file_upload_ids"]
        return f"/data/{client.request('GET', f'/api/import/file-upload/{number}')['file']}"

    return put


@pytest.fixture(scope="module")
def scenes(make_project: MakeProject, image_of: Callable[[Exhibit], str]) -> Project:
    """A project of the demo's scenes with the recommended label config, in the order of the gallery."""
    return make_project(RECOMMENDED, [{"image": image_of(exhibit)} for exhibit in GALLERY])


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A browser for the tests of one file."""
    with open_browser(
        find_chromium() or _skip("No Chromium was found; `make chromium` installs it where it may")
    ) as it:
        yield it


@pytest.fixture(scope="module")
def annotator(browser: Browser, demo: Demo) -> LabellingPage:
    """The demo's user."""
    return LabellingPage.log_in(browser, demo.url, SCREENSHOTS, label_studio.EMAIL, demo.secrets.password)


@pytest.fixture(scope="module")
def colleague(browser: Browser, demo: Demo, client: LabelStudioClient) -> LabellingPage:
    """Somebody else of the same organisation."""
    _sign_up(demo.url, client.request("GET", "/api/invite")["invite_url"])
    return LabellingPage.log_in(browser, demo.url, SCREENSHOTS, SECOND_EMAIL, SECOND_PASSWORD)


def count_rows(state_dir: Path, condition: str, value: object) -> int:
    """Rows of the backend's record, as in `count_rows(folder, "region WHERE id = ?", id)`."""
    with closing(sqlite3.connect(state_dir / "ris.sqlite3")) as sql:
        return sql.execute(f"SELECT count(*) FROM {condition}", [value]).fetchone()[0]


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that happens outside the page."""
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def _sign_up(url: str, invitation: str) -> None:
    with httpx.Client(base_url=url, trust_env=False, follow_redirects=True, timeout=up.ANSWER_TIMEOUT_S) as http:
        form = http.get(invitation).text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token
        filled = {"csrfmiddlewaretoken": token[1], "email": SECOND_EMAIL, "password": SECOND_PASSWORD}
        http.post(invitation, data=filled, headers={"Referer": url + invitation}).raise_for_status()


def _skip(reason: str) -> Any:
    """Skip, except where that must not happen: CI sets RIS_REQUIRE_BROWSER."""
    if os.environ.get("RIS_REQUIRE_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)
