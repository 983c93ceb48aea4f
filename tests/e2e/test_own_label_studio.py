"""Somebody who has a Label Studio: `ris up`, `ris connect`, a mask, `ris down`; and projects with label configs of their own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.base import processes
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.config_edit import edit_config
from demo import label_studio
from demo.gallery import GALLERY
from demo.up import BACKEND_USER, Demo, decode_mask, measure_overlap
from tests.backend.label_studio.test_config_edit import CONFIGS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
Ris = Callable[..., subprocess.CompletedProcess[str]]

FOREIGN = """\
<View>
  <!-- what we had before -->
  <Image name="photo" value="$picture"/>
  <RectangleLabels name="box" toName="photo">
    <Label value="Frog" background="green"/>
    <Label value="Tree"/>
  </RectangleLabels>
  <BrushLabels name="mask" toName="photo">
    <Label value="Thing"/>
  </BrushLabels>
</View>
"""
BOX = {
    "id": "box-before",
    "type": "rectanglelabels",
    "from_name": "box",
    "to_name": "photo",
    "original_width": 256,
    "original_height": 256,
    "value": {"x": 10, "y": 10, "width": 30, "height": 20, "rotation": 0, "rectanglelabels": ["Frog"]},
}


def _make_ris(demo: Demo, **settings: str) -> Ris:
    """The command line with somebody's settings."""
    known = {"LABEL_STUDIO_URL": demo.url, "LABEL_STUDIO_API_KEY": demo.secrets.token, "RIS_PROFILE": "demo"}

    def run(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "backend", *arguments]
        env = {**os.environ, **known, **settings, **changed}
        return subprocess.run(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )

    return run


@pytest.fixture
def ris(demo: Demo) -> Iterator[Ris]:
    """With a backend that is still to be started."""
    with tempfile.TemporaryDirectory(prefix="ris-own-") as state_dir:
        port = str(processes.free_port(0))
        mine = {"BASIC_AUTH_USER": "studio", "BASIC_AUTH_PASS": "secret-of-mine", "WEBHOOK_SECRET": "another-secret"}
        run = _make_ris(demo, RIS_STATE_DIR=state_dir, PORT=port, **mine)
        yield run
        run("down")


@pytest.fixture
def running_ris(demo: Demo) -> Ris:
    """With the backend that runs already."""
    known = demo.secrets
    credentials = {"BASIC_AUTH_USER": BACKEND_USER, "BASIC_AUTH_PASS": known.backend_password}
    port = demo.backend_url.rpartition(":")[2]
    return _make_ris(demo, PORT=port, WEBHOOK_SECRET=known.webhook_secret, **credentials)


@pytest.fixture
def project(demo: Demo, client: LabelStudioClient) -> int:
    """A project of theirs with one picture."""
    config = (ROOT / "label_config" / "recommended.xml").read_text()
    made = client.request("POST", "/api/projects/", {"title": "Mine", "label_config": config})
    image = client.request("GET", f"/api/tasks/{demo.tasks[GALLERY[0]]}/")["data"]["image"]
    client.request("POST", f"/api/projects/{made['id']}/import", [{"image": image}])
    return made["id"]


@pytest.fixture
def foreign(demo: Demo, client: LabelStudioClient) -> tuple[int, int]:
    """A project with a label config of their own, and its task, which is annotated."""
    project = client.request("POST", "/api/projects/", {"title": "Foreign", "label_config": FOREIGN})["id"]
    image = client.request("GET", f"/api/tasks/{demo.tasks[GALLERY[0]]}/")["data"]["image"]
    client.request("POST", f"/api/projects/{project}/import", [{"picture": image}])
    [task] = client.request("GET", f"/api/tasks?project={project}")["tasks"]
    client.request("POST", f"/api/tasks/{task['id']}/annotations/", {"result": [BOX]})
    return project, task["id"]


def test_two_commands_lead_from_a_project_to_a_mask(ris: Ris, project: int, client: LabelStudioClient):
    started = ris("up")
    assert started.returncode == 0, started.stdout + started.stderr
    assert f"knows us as {label_studio.EMAIL}" in started.stdout
    connected = ris("connect", "--project", str(project))
    assert connected.returncode == 0, connected.stdout + connected.stderr
    assert f"Project {project} is connected, interactive, to demo-scenes-only.guided" in connected.stdout

    [backend] = client.request("GET", f"/api/ml?project={project}")
    [task] = client.request("GET", f"/api/tasks?project={project}")["tasks"]
    [region] = label_studio.ask(client, backend["id"], task["id"], GALLERY[0].expression)
    assert measure_overlap(decode_mask(region), GALLERY[0].truth()) >= 0.8

    stopped = ris("down").stdout.removeprefix("Stopped: ").removesuffix(".\n").split(", ")
    assert sorted(stopped) == ["backend", "redis", "worker"]
    assert "Nothing that was started" in ris("down").stdout


def test_a_token_that_is_not_accepted_is_said_with_the_remedy(ris: Ris):
    done = ris("connect", "--project", "1", LABEL_STUDIO_API_KEY="f" * 40)
    assert done.returncode == 2
    assert "does not accept the token" in done.stderr
    assert "LABEL_STUDIO_API_KEY" in done.stderr


def test_a_project_that_is_not_there_is_named(ris: Ris):
    done = ris("connect", "--project", "4242")
    assert done.returncode == 2
    assert "has no project 4242" in done.stderr


def test_a_config_of_their_own_comes_to_take_expressions(
    running_ris: Ris, foreign: tuple[int, int], client: LabelStudioClient
):
    project, task = foreign
    before = _describe(client, project, task)
    checked = running_ris("connect", "--project", str(project), "--check")
    unasked = running_ris("connect", "--project", str(project))
    assert (checked.returncode, unasked.returncode) == (2, 2), checked.stderr + unasked.stderr
    assert 'gets an input for expressions, "prompt"' in checked.stdout
    assert "Add --yes" in unasked.stdout
    assert _describe(client, project, task) == before

    done = running_ris("connect", "--project", str(project), "--yes", "--threshold", "0.01")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 stay as they are" in done.stdout
    [backend] = client.request("GET", f"/api/ml?project={project}")
    [webhook] = client.request("GET", f"/api/webhooks/?project={project}")
    assert (backend["is_interactive"], backend["extra_params"]) == (True, {"min_score": 0.01})
    assert webhook["headers"]["Authorization"].startswith("Bearer ")
    assert _describe(client, project, task)["annotations"] == before["annotations"]

    [region] = label_studio.ask(client, backend["id"], task, GALLERY[0].expression)
    assert (region["from_name"], region["to_name"]) == ("mask", "photo")
    assert measure_overlap(decode_mask(region), GALLERY[0].truth()) >= 0.8

    again = running_ris("connect", "--project", str(project))
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, f"Nothing to do: project {project} is connected.")
    assert running_ris("connect", "--project", str(project), "--check").returncode == 0


def _describe(client: LabelStudioClient, project: int, task: int) -> dict[str, Any]:
    """All that connecting might change."""
    about = client.request("GET", f"/api/projects/{project}/")
    annotations = client.request("GET", f"/api/tasks/{task}/annotations/")
    return {
        "config": about["label_config"],
        "model_version": about["model_version"],
        "models": client.request("GET", f"/api/ml?project={project}"),
        "webhooks": client.request("GET", f"/api/webhooks/?project={project}"),
        "annotations": [(annotation["id"], annotation["result"]) for annotation in annotations],
    }


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("http://127.0.0.1:9", ["Nothing answers at", "`ris up`"], id="does not run"),
        pytest.param("http://ris.invalid:9090", ["does not reach", "curl http://ris.invalid"], id="name not known"),
    ],
)
def test_an_address_that_leads_nowhere_is_said_with_the_remedy(
    running_ris: Ris, project: int, client: LabelStudioClient, url: str, says: list[str]
):
    done = running_ris("connect", "--project", str(project), "--url", url)
    assert done.returncode == 2
    assert [part for part in says if part not in done.stdout + done.stderr] == []
    assert client.request("GET", f"/api/ml?project={project}") == []


def test_label_studio_takes_every_kind_of_edited_config(client: LabelStudioClient):
    project = client.request("POST", "/api/projects/", {"title": "Edited"})["id"]
    for config in CONFIGS.values():
        client.request("POST", f"/api/projects/{project}/validate/", {"label_config": edit_config(config).after})
