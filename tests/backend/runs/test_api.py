"""`/runs`, "Retrieve Predictions" and the numbers of runs, over HTTP."""

import pytest
from fastapi.testclient import TestClient

from backend.http.app import create_app
from backend.settings.environment import Settings
from backend.transport import worker_registry
from tests.backend.runs.fake_studio import CONFIG, PROJECT

USER = ("label-studio", "secret")
RED = "Red: the red square"


@pytest.fixture
def client(rig, database_url, redis_url, tmp_path):
    rig.conn.set(worker_registry.MODEL_VERSION_KEY, rig.segmenter.model_version)
    settings = Settings(
        _env_file=None,
        RIS_STATE_DIR=tmp_path / "state",
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        BASIC_AUTH_USER=USER[0],
        BASIC_AUTH_PASS=USER[1],
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        made.auth = USER
        yield made


def retrieve(client, rig, **more):
    tasks = [{"id": task, "data": data, "project": PROJECT} for task, data in rig.studio.tasks.items()]
    body = {"tasks": tasks, "project": f"{PROJECT}.1", "label_config": CONFIG, "params": {"context": None}, **more}
    return client.post("/predict", json=body)


def test_strangers_learn_nothing_of_runs(client):
    client.auth = None
    assert [client.get("/runs").status_code, client.post("/runs", json={}).status_code] == [401, 401]


def test_run_is_started_watched_and_treated(client, rig):
    rig.add_tasks(2)
    started = client.post("/runs", json={"project": PROJECT, "expressions": [RED], "name": "evening"})
    assert (started.status_code, started.json()["state"]) == (201, "planning")
    run = started.json()["id"]
    rig.supervisor.tick()
    assert client.get(f"/runs/{run}").json()["items"] == {"new": 2}
    assert client.post(f"/runs/{run}/pause").json()["state"] == "paused"
    assert client.post(f"/runs/{run}/pause").status_code == 400
    assert client.post(f"/runs/{run}/resume").json()["state"] == "running"
    rig.carry_on(rig.run_store.get(run))
    [listed] = client.get("/runs").json()["runs"]
    assert (listed["state"], listed["items"], len(rig.studio.predictions)) == ("done", {"done": 2}, 2)
    assert client.get(f"/runs/{run}/failures").json() == {"failures": []}


def test_pilot_goes_on_with_a_threshold_over_http(client, rig):
    rig.add_tasks(4)
    run = client.post("/runs", json={"project": PROJECT, "expressions": [RED], "pilot": 2}).json()["id"]
    rig.supervisor.tick()
    rig.carry_on(rig.run_store.get(run))
    assert client.get(f"/runs/{run}").json()["state"] == "preview"
    for wrong in ("2", "many", "nan"):
        assert client.post(f"/runs/{run}/resume?min_score={wrong}").status_code == 400
    assert client.post(f"/runs/{run}/pause?min_score=1").status_code == 400
    assert client.post(f"/runs/{run}/resume?min_score=1").json()["state"] == "running"
    rig.carry_on(rig.run_store.get(run))
    assert [one["result"] for one in rig.studio.predictions] == [[]] * 4


def test_run_that_watches_is_finished_over_http(client, rig):
    rig.add_tasks(1)
    started = client.post("/runs", json={"project": PROJECT, "expressions": [RED], "watch": True}).json()
    assert (started["watches"], client.post(f"/runs/{started['id']}/finish").json()["watches"]) == (True, False)
    assert client.post(f"/runs/{started['id']}/finish").status_code == 400
    rig.supervisor.tick()
    assert rig.carry_on(rig.run_store.get(started["id"])).state == "done"


WRONG = {
    "no object": [],
    "no project": {"expressions": ["x"]},
    "no source": {"project": 3},
    "another type": {"project": "3", "expressions": ["x"]},
    "text for a list": {"project": 3, "expressions": "x"},
    "unknown field": {"project": 3, "expressions": ["x"], "colour": "red"},
    "score": {"project": 3, "expressions": ["x"], "min_score": 7},
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_what_cannot_be_asked_is_answered_400(client, rig, body):
    answer = client.post("/runs", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "BadRun")
    assert rig.run_store.list_runs() == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/runs/zzz"), ("POST", "/runs/zzz/pause")])
def test_unknown_run_is_answered_400(client, method, path):
    assert client.request(method, path).status_code == 400


def test_unknown_verb_is_answered_404(client):
    assert client.post("/runs/x/destroy").status_code == 404


def test_retrieved_tasks_become_a_run_and_are_answered_at_once(client, rig):
    rig.add_tasks(3, expression=RED)
    assert retrieve(client, rig).json() == {"results": [[], [], []]}
    [run] = rig.run_store.list_runs()
    assert (run.state, run.spec.name) == ("planning", "Retrieve Predictions")
    rig.supervisor.tick()
    assert rig.carry_on(run).state == "done"
    assert [len(rig.studio.of(task)) for task in rig.studio.tasks] == [1, 1, 1]


REASONS = {
    "no expression": ({}, {}, "ris run start --expression"),
    "no label config": ({"expression": RED}, {"label_config": "<View/>"}, "Image"),
    "no project": ({"expression": RED}, {"project": None}, "no project"),
}


@pytest.mark.parametrize(("data", "more", "reason"), REASONS.values(), ids=REASONS)
def test_retrieved_tasks_that_cannot_be_answered_are_a_failed_run_with_its_reason(client, rig, data, more, reason):
    rig.add_tasks(2, **data)
    if more.get("project", 0) is None:
        tasks = [{"id": task, "data": fields} for task, fields in rig.studio.tasks.items()]
        more = {**more, "tasks": tasks}
    assert retrieve(client, rig, **more).json() == {"results": [[], []]}
    [run] = rig.run_store.list_runs()
    assert (run.state, reason in run.note) == ("failed", True)


def test_runs_are_counted(client, rig):
    bad, _ = rig.add_tasks(2)
    rig.studio.tasks[bad]["image"] = "data:image/png;base64,AAAA"
    rig.carry_on(rig.start(RED))
    text = client.get("/metrics").text
    for line in (
        'ris_runs{state="done"} 1.0',
        'ris_run_items{state="failed"} 1.0',
        'ris_run_failures{reason="image unreadable"} 1.0',
        "ris_run_cache_hit_ratio 0.0",
    ):
        assert line in text
    assert 'ris_run_stage_seconds{stage="encode"}' in text
