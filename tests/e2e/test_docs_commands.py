"""Every command block of the docs, run as it is printed: page by page, beside the real Label Studio."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.base import processes
from backend.label_studio.client import LabelStudioClient
from backend.local import stack
from backend.settings.environment import Settings
from demo import label_studio
from demo.gallery import GALLERY
from demo.up import BACKEND_USER, Demo
from tests.command_blocks import BLOCKS, ROOT, Block
from tests.e2e.conftest import RECOMMENDED, MakeProject, Project

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BLOCK_TIMEOUT_S = 120
STORIES: dict[str, list[Block]] = {}
"""The blocks that run here, by page, from its top to its end."""
for block in BLOCKS:
    if block.has_commands and not block.needs:
        STORIES.setdefault(block.page, []).append(block)
SETTINGS = {str(name) for field in Settings.model_fields.values() for name in field.validation_alias.choices}


def starts_its_own(page: str) -> bool:
    """Whether a page starts a backend, for the reader's Label Studio; other pages have one that runs."""
    return any("make up" in block.script for block in STORIES[page])


@pytest.fixture
def checkout() -> Iterator[Path]:
    """The repository as a reader has it, with nothing running and no setting; all is installed."""
    if not (Path(sys.prefix) / ".product").is_file():
        pytest.skip("`make` did not install this environment, and would begin to")
    folder = Path(tempfile.mkdtemp(prefix="ris-docs-"))
    for entry in ROOT.iterdir():
        if entry.is_dir() and not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)
        elif entry.is_file() and entry.name != ".env":
            shutil.copy(entry, folder)
            os.utime(folder / entry.name, (0, 0))  # older than what was made of it
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".curlrc").write_text("fail\nnoproxy = *\n")  # an HTTP status of an error is an error
    try:
        yield folder
    finally:
        started = processes.children(folder / ".state")
        list(stack.down(folder / ".state"))
        shutil.rmtree(folder)
    assert [child.name for child in started if child.is_running] == []


@pytest.fixture(scope="module")
def bulk(make_project: MakeProject, image_of: Callable) -> Project:
    """Project 2: an expression in each task's data; the last image is lost (404: no second try, which takes a minute)."""
    tasks = [{"image": image_of(one), "expression": one.expression} for one in GALLERY[:5]]
    return make_project(RECOMMENDED, [*tasks[:4], {**tasks[4], "image": "/lost.png"}])


@pytest.fixture(scope="module")
def annotated(make_project: MakeProject, image_of: Callable, client: LabelStudioClient) -> Project:
    """Project 3 of most pages: connected, and one task of two was answered and accepted."""
    made = make_project(RECOMMENDED, [{"image": image_of(one)} for one in GALLERY[:2]])
    [backend] = client.request("GET", f"/api/ml?project={made.id}")
    regions = label_studio.ask(client, backend["id"], made.tasks[0], GALLERY[0].expression)
    client.request("POST", f"/api/tasks/{made.tasks[0]}/annotations/", {"result": regions, "lead_time": 5.0})
    return made


@pytest.fixture
def unconnected(client: LabelStudioClient, image_of: Callable) -> Project:
    """Project 3 of pages that begin with a project of the reader's."""
    project = client.request("POST", "/api/projects/", {"title": "Docs", "label_config": RECOMMENDED})["id"]
    client.request("POST", f"/api/projects/{project}/import", [{"image": image_of(GALLERY[0])}])
    return Project(project, ())


@pytest.mark.parametrize("page", STORIES)
def test_every_command_block_of_a_page_runs_as_printed(
    page: str, checkout: Path, demo: Demo, state_dir: Path, client: LabelStudioClient, request: pytest.FixtureRequest
):
    if starts_its_own(page):
        settings = {"RIS_PROFILE": "demo", "PORT": str(processes.free_port(0))}
        projects = {"3": request.getfixturevalue("unconnected")}
    else:
        settings = {"RIS_STATE_DIR": str(state_dir)}
        projects = {"2": request.getfixturevalue("bulk"), "3": request.getfixturevalue("annotated")}
    for block in STORIES[page]:
        if "ris run retry" in block.script:  # "the address was corrected"
            correct_the_address(client, projects["2"])
        script = put_real_values(block.script, demo, projects)
        code, said = run(script, checkout, settings)
        assert code == block.exits, f"{page}:{block.line} exits with {code}, not {block.exits}:\n{script}\n{said}"
        assert demo.secrets.token not in said


def put_real_values(script: str, demo: Demo, projects: dict[str, Project]) -> str:
    """All that is printed for an example and has another value here."""
    real = {
        "https://labels.example.org": demo.url,
        "LABEL_STUDIO_API_KEY=...": f"LABEL_STUDIO_API_KEY={demo.secrets.token}",
        "http://127.0.0.1:9090": demo.backend_url,
        "user:password": f"{BACKEND_USER}:{demo.secrets.backend_password}",
    }
    for example, value in real.items():
        script = script.replace(example, value)
    if "101/HXmhrNCpYq" in script:
        script = script.replace("101/HXmhrNCpYq", region_key(demo, projects["3"]))
    return re.sub(r'(--project |"project": )(\d+)', lambda match: f"{match[1]}{projects[match[2]].id}", script)


def region_key(demo: Demo, project: Project) -> str:
    """The region that was accepted, as `ris review` names it."""
    client = LabelStudioClient(demo.url, demo.secrets.token)
    [annotation] = client.request("GET", f"/api/tasks/{project.tasks[0]}/annotations/")
    return f"{project.tasks[0]}/{annotation['result'][0]['id']}"


def correct_the_address(client: LabelStudioClient, project: Project) -> None:
    last, before = (client.request("GET", f"/api/tasks/{task}/")["data"] for task in project.tasks[:-3:-1])
    client.request("PATCH", f"/api/tasks/{project.tasks[-1]}/", {"data": {**last, "image": before["image"]}})


def run(script: str, folder: Path, settings: dict[str, str]) -> tuple[int, str]:
    """Type a script into a shell that ends with the first failure; its exit code, and what it said."""
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    paths = {"PATH": f"{folder}/.venv/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "CURL_HOME": str(folder)}
    with subprocess.Popen(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**clean, **paths, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            said, _ = shell.communicate(timeout=BLOCK_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            raise
    return shell.returncode, said
