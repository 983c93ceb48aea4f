"""The record of corrections as `ris` tells it, against the real Label Studio: what is there, what was deleted, what nobody told."""

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.base import processes
from backend.label_studio import regions
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.label_config import read_config
from demo.gallery import GALLERY
from demo.up import Demo
from tests.e2e.conftest import RECOMMENDED, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SIDE_PX = 20
Ris = Callable[..., str]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database of its own."""
    is_sqlite = request.param == "sqlite"
    return f"sqlite:///{tmp_path / 'ledger.sqlite3'}" if is_sqlite else request.getfixturevalue("postgres_url")


@pytest.fixture
def ris(demo: Demo, database_url: str) -> Iterator[Ris]:
    """The command line with a stack of its own, that is still to be started; what it printed."""
    with tempfile.TemporaryDirectory(prefix="ris-ledger-") as state_dir:
        own = {
            "RIS_STATE_DIR": state_dir,
            "DATABASE_URL": database_url,
            "RIS_PROFILE": "demo",
            "PORT": str(processes.free_port(0)),
            "BASIC_AUTH_USER": "studio",
            "BASIC_AUTH_PASS": "secret-of-mine",
            "WEBHOOK_SECRET": "another-secret",
            "LABEL_STUDIO_URL": demo.url,
            "LABEL_STUDIO_API_KEY": demo.secrets.token,
        }

        def run(*arguments: str) -> str:
            command = [sys.executable, "-m", "backend", *arguments]
            done = subprocess.run(
                command, cwd=ROOT, env={**os.environ, **own}, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        yield run
        run("down")


@pytest.fixture
def project(demo: Demo, client: LabelStudioClient) -> int:
    """A project of one picture, six times."""
    made = client.request("POST", "/api/projects/", {"title": "Ledger", "label_config": RECOMMENDED})
    image = client.request("GET", f"/api/tasks/{demo.tasks[GALLERY[0]]}/")["data"]["image"]
    client.request("POST", f"/api/projects/{made['id']}/import", [{"image": image, "number": i} for i in range(6)])
    return made["id"]


@pytest.fixture
def tasks(project: int, client: LabelStudioClient) -> list[int]:
    listed = client.request("GET", f"/api/tasks?project={project}&page_size=100")["tasks"]
    return sorted(task["id"] for task in listed)


@pytest.fixture
def submit(client: LabelStudioClient) -> Callable[..., int]:
    """Submits an annotation with one mask, each elsewhere; its number."""
    places = iter(range(0, 256, SIDE_PX))

    def send(task: int, **more: Any) -> int:
        mask, x = np.zeros_like(GALLERY[0].truth()), next(places)
        mask[:SIDE_PX, x : x + SIDE_PX] = True
        drawn = regions.make_region(
            mask, read_config(RECOMMENDED).controls[0], "Object", uuid.uuid4().hex[:10], 1.0, "it"
        )
        body = {"result": [drawn], "lead_time": 3.0, **more}
        return client.request("POST", f"/api/tasks/{task}/annotations/", body)["id"]

    return send


def test_the_record_agrees_with_label_studio_whatever_it_was_told(
    ris: Ris, project: int, tasks: list[int], submit: Callable, client: LabelStudioClient, tmp_path: Path
):
    of_project = ("--project", str(project))

    def listed(*more: str) -> list[int]:
        lines = ris("corrections", "list", *of_project, "--json", *more).splitlines()
        return sorted(json.loads(line)["annotation"] for line in lines)

    def agree(*annotations: int) -> None:
        """Everything that tells of corrections tells of these, also the second time."""
        expected = sorted(annotations)
        assert [listed(), listed("--offline")] == [expected] * 2
        counted = json.loads(ris("corrections", "stats", *of_project, "--json"))
        assert counted["groups"]["all"]["missed"] == len(expected)
        dumped = ris("corrections", "dump", *of_project).splitlines()
        assert sorted(json.loads(line)["annotation"] for line in dumped) == expected
        page = tmp_path / f"{uuid.uuid4().hex}.html"
        assert ris("report", *of_project, "--no-kinds", "--out", str(page)).startswith(f"{len(expected)} regions")
        out = tmp_path / uuid.uuid4().hex
        told = ris("export", *of_project, "--format", "coco", "--out", str(out), "--no-images", "--licence", "CC0-1.0")
        assert told.startswith(f"{len(expected)} targets")

    def past(task: int) -> list[tuple[int, bool]]:
        documents = map(json.loads, ris("corrections", "show", str(task), "--json").splitlines())
        return [(one["annotation"], one["is_deleted"]) for one in documents]

    ris("up")
    ris("connect", *of_project, "--yes")
    first, second, third = submit(tasks[0]), submit(tasks[0]), submit(tasks[1])
    skipped = submit(tasks[2], was_cancelled=True)
    agree(first, second, third)
    client.request("DELETE", f"/api/annotations/{second}/")
    wait_until(lambda: listed("--offline") == [first, third])  # its webhook
    assert listed() == [first, third]
    assert past(tasks[0]) == [(first, False), (second, True)]
    assert past(tasks[2]) == [(skipped, False)]

    ris("down")  # nobody is there to be told
    fourth, fifth, sixth = submit(tasks[3]), submit(tasks[3]), submit(tasks[4])
    client.request("DELETE", f"/api/annotations/{fourth}/")
    client.request("DELETE", f"/api/annotations/{skipped}/")
    client.request("DELETE", f"/api/tasks/{tasks[1]}/")
    assert listed("--offline") == [first, third]
    ris("up")
    agree(first, fifth, sixth)
    assert past(tasks[1]) == [(third, True)]
    assert past(tasks[2]) == [(skipped, True)]
