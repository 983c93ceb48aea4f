"""Approvals and tabs of quality review, in the real Label Studio."""

import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest

from backend.label_studio import regions
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.label_config import read_config
from demo.up import Demo
from tests.e2e.conftest import RECOMMENDED, MakeProject, Project

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
TASKS = 6
VERSION = "reviewed-1"


@pytest.fixture
def deadly(demo: Demo) -> Iterator[SimpleNamespace]:
    """Label Studio behind a door that kills whoever it is told to, when the annotation number `after` is made or is about to be."""
    own = SimpleNamespace(pid=None, after=0, posts=0, is_made=True)
    target = urlsplit(demo.url)

    class Door(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_write = self.command in ("POST", "PATCH")
            own.posts += is_write
            is_last = is_write and own.pid is not None and own.posts == own.after
            if is_last and not own.is_made:
                os.kill(own.pid, signal.SIGKILL)
                return
            with closing(http.client.HTTPConnection(target.hostname, target.port, timeout=60)) as upstream:
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                content = answer.read()
            if is_last:
                os.kill(own.pid, signal.SIGKILL)
                return
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = handle_any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    own.url = f"http://127.0.0.1:{server.server_port}"
    yield own
    server.shutdown()
    server.server_close()


@pytest.fixture
def ris(demo: Demo, tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """Starts `ris …` with a database of its own."""

    def start(url: str, *arguments: str) -> subprocess.Popen:
        own = {
            "RIS_STATE_DIR": str(tmp_path),
            "RIS_PROFILE": "demo",
            "LABEL_STUDIO_URL": url,
            "LABEL_STUDIO_API_KEY": demo.secrets.token,
            "PORT": demo.backend_url.rpartition(":")[2],
            "BASIC_AUTH_USER": "label-studio",
            "BASIC_AUTH_PASS": demo.secrets.backend_password,
            "WEBHOOK_SECRET": demo.secrets.webhook_secret,
        }
        command = [sys.executable, "-m", "backend", *arguments]
        return subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    from backend.db.request_store import open_request_store

    open_request_store(f"sqlite:///{tmp_path / 'ris.sqlite3'}").close()
    return start


@pytest.fixture
def say(ris, demo: Demo) -> Callable[..., str]:
    """Types `ris …`; what it printed."""

    def run(*arguments: str) -> str:
        process = ris(demo.url, *arguments)
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, out + error
        return out

    return run


@pytest.fixture
def project(client: LabelStudioClient, make_project: MakeProject) -> Project:
    """Tasks with a prediction each, of one region, but the last, for which nothing was found."""
    made = make_project(RECOMMENDED, [{"image": f"/data/upload/1/{i}.png"} for i in range(TASKS)])
    predictions = []
    for number, task in enumerate(made.tasks[:-1]):
        mask = np.zeros((20, 30), bool)
        mask[2:9, number : number + 8] = True
        control = read_config(RECOMMENDED).controls[0]
        region = regions.make_region(mask, control, "Object", f"region{task}", 0.5 + 0.09 * number, "it")
        predictions.append({"task": task, "result": [region], "score": region["score"], "model_version": VERSION})
    predictions.append({"task": made.tasks[-1], "result": [], "score": 0.0, "model_version": VERSION})
    path = f"/api/projects/{made.id}/import/predictions"
    assert client.request("POST", path, predictions) == {"created": TASKS}
    client.request("PATCH", f"/api/projects/{made.id}/", {"model_version": VERSION})
    return made


def names(project: Project) -> list[str]:
    return [f"{task}/region{task}" for task in project.tasks[:-1]]


def annotations(client: LabelStudioClient, project: Project) -> list[int]:
    """How many annotations each task has."""
    return [len(client.request("GET", f"/api/tasks/{task}/annotations/")) for task in project.tasks]


def test_an_approval_is_written_once_wherever_the_push_is_killed(
    ris, say, deadly, client: LabelStudioClient, project: Project
):
    of_project = ("--project", str(project.id))
    say("review", "approve", *names(project), *of_project)
    assert "would be written" in say("review", "push", *of_project)
    assert annotations(client, project) == [0] * TASKS
    pushing = ("review", "push", *of_project, "--annotations", "--yes")
    for after, is_made in ((1, False), (1, True), (2, False), (2, True)):
        deadly.pid, deadly.after, deadly.posts, deadly.is_made = None, after, 0, is_made
        process = ris(deadly.url, *pushing)
        deadly.pid = process.pid
        process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL
    assert 0 < sum(annotations(client, project)) < TASKS - 1
    say(*pushing)
    assert annotations(client, project) == [1] * (TASKS - 1) + [0]
    for task in project.tasks[:-1]:
        [one] = client.request("GET", f"/api/tasks/{task}/annotations/")
        [prediction] = client.request("GET", f"/api/predictions/?task={task}")
        assert (one["result"], one["parent_prediction"]) == (prediction["result"], prediction["id"])
    # what a person deletes stays deleted
    client.request("DELETE", f"/api/annotations/{one['id']}/")
    say(*pushing)
    assert annotations(client, project) == [1] * (TASKS - 2) + [0, 0]


def test_ground_truth_is_marked_once_and_never_taken_from_another(say, client: LabelStudioClient, project: Project):
    of_project = ("--project", str(project.id))
    first, second, third = project.tasks[:3]
    made = {}
    for task in (first, second, third):
        [prediction] = client.request("GET", f"/api/predictions/?task={task}")
        body = {"result": prediction["result"], "parent_prediction": prediction["id"]}
        made[task] = client.request("POST", f"/api/tasks/{task}/annotations/", body)["id"]
    another = client.request("POST", f"/api/tasks/{third}/annotations/", {"result": [], "ground_truth": True})["id"]
    say("review", "approve", *names(project)[:3], *of_project)
    say("review", "reject", names(project)[1], *of_project, "--reason", "wrong thing")
    told = say("review", "push", *of_project, "--ground-truth", "--yes")
    assert f"annotation {another} is the ground truth" in told

    def marked() -> list[int]:
        listed = [one for task in made for one in client.request("GET", f"/api/tasks/{task}/annotations/")]
        return sorted(one["id"] for one in listed if one["ground_truth"])

    assert marked() == sorted([made[first], another])
    client.request("PATCH", f"/api/annotations/{made[first]}/", {"ground_truth": False})
    say("review", "push", *of_project, "--ground-truth", "--yes")
    assert marked() == [another]  # somebody took the mark away


def test_tabs_show_the_queues_and_only_our_own_are_changed(say, client: LabelStudioClient, project: Project):
    of_project = ("--project", str(project.id))
    own = {"title": "Nothing found", "filters": {"conjunction": "and", "items": []}, "ordering": ["tasks:id"]}
    client.request("POST", "/api/dm/views/", {"project": project.id, "data": own})

    def read_tabs() -> dict[int, dict]:
        return {row["id"]: row["data"] for row in client.request("GET", f"/api/dm/views/?project={project.id}")}

    [(theirs, before)] = read_tabs().items()
    told = say("connect", *of_project, "--yes", "--queues")
    assert "is somebody's own, and stays as it is" in told
    client.request("PATCH", f"/api/dm/views/{theirs}/", {"project": project.id, "data": {**before, "title": "Mine"}})
    say("connect", *of_project, "--yes", "--queues")
    tabs = read_tabs()
    assert sorted(data["title"] for data in tabs.values()) == ["Mine", "Nothing found", "To correct", "Uncertain"]
    assert {**tabs[theirs], "title": "Nothing found"} == before

    def shown(title: str) -> list[int]:
        [id] = [id for id, data in read_tabs().items() if data["title"] == title]
        return [task["id"] for task in client.request("GET", f"/api/tasks?project={project.id}&view={id}")["tasks"]]

    assert shown("Uncertain") == list(project.tasks[:4])  # 0.5 to 0.77, the lowest first
    assert shown("Nothing found") == [project.tasks[-1]]
    assert shown("To correct") == []
    ours = next(data for data in tabs.values() if data["title"] == "Uncertain")
    hidden = ours["hiddenColumns"]["explore"]
    assert not {"tasks:predictions_score", "tasks:predictions_model_versions"} & set(hidden)

    assert "Nothing to do" in say("connect", *of_project, "--queues")
    assert read_tabs() == tabs
    say("review", "reject", names(project)[1], names(project)[3], *of_project, "--reason", "wrong outline")
    [id] = [id for id, data in tabs.items() if data["title"] == "To correct"]
    sorted_by_hand = {**tabs[id], "ordering": ["-tasks:id"]}
    client.request("PATCH", f"/api/dm/views/{id}/", {"project": project.id, "data": sorted_by_hand})
    say("connect", *of_project, "--yes", "--queues")
    assert shown("To correct") == [project.tasks[3], project.tasks[1]]
    assert {one: data for one, data in read_tabs().items() if one != id} == {
        one: data for one, data in tabs.items() if one != id
    }
