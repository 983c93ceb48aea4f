"""Somebody who has a Label Studio: `ris up`, `ris connect`, a mask, `ris down`."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend import processes
from backend.label_studio.client import LabelStudio
from demo import label_studio
from demo.gallery import GALLERY
from demo.up import Demo, decode_mask, measure_overlap

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
Ris = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ris(demo: Demo) -> Iterator[Ris]:
    """The command line with the settings of such a person."""
    with tempfile.TemporaryDirectory(prefix="ris-own-") as state_dir:
        mine = {
            "LABEL_STUDIO_URL": demo.url,
            "LABEL_STUDIO_API_KEY": demo.secrets.token,
            "RIS_PROFILE": "demo",
            "RIS_STATE_DIR": state_dir,
            "PORT": str(processes.free_port(0)),
            "BASIC_AUTH_USER": "studio",
            "BASIC_AUTH_PASS": "secret-of-mine",
            "WEBHOOK_SECRET": "another-secret",
        }

        def run(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "backend", *arguments]
            env = {**os.environ, **mine, **changed}
            return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)

        yield run
        run("down")


@pytest.fixture
def project(demo: Demo, client: LabelStudio) -> int:
    """A project of theirs with one picture."""
    config = (ROOT / "label_config" / "recommended.xml").read_text()
    made = client.request("POST", "/api/projects/", {"title": "Mine", "label_config": config})
    image = client.request("GET", f"/api/tasks/{demo.tasks[GALLERY[0]]}/")["data"]["image"]
    client.request("POST", f"/api/projects/{made['id']}/import", [{"image": image}])
    return made["id"]


def test_two_commands_lead_from_a_project_to_a_mask(ris: Ris, project: int, client: LabelStudio):
    started = ris("up")
    assert started.returncode == 0, started.stdout + started.stderr
    assert f"knows us as {label_studio.EMAIL}" in started.stdout
    connected = ris("connect", "--project", str(project))
    assert connected.returncode == 0, connected.stdout + connected.stderr
    assert f"Project {project} is connected, interactive, to demo-scenes-only.global_local" in connected.stdout

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
