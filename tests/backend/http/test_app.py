"""The HTTP face on a real store and a real Redis, without a worker: what it does by itself."""

import dataclasses
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from structlog.testing import capture_logs

from backend.base.errors import Unreachable
from backend.db import request_store
from backend.http import app as app_module
from backend.http.app import create_app
from backend.label_studio import protocol
from backend.settings.environment import Settings
from backend.transport import queueing, redis_client, worker_registry

pytestmark = pytest.mark.slow

XML = """<View><TextArea name="prompt" toName="image"/><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Object"/></BrushLabels></View>"""
USER, PASSWORD, SECRET = "label-studio", "pässword", "webhook-secret"


@pytest.fixture
def make_client(tmp_path, redis_url):
    """Starts an app with settings by their names in the environment; waits briefly for answers unless told otherwise."""
    opened = []

    def make(**settings):
        values = {
            "RIS_STATE_DIR": tmp_path,
            "REDIS_URL": redis_url,
            "RIS_PROFILE": "toy",
            "PREDICT_DEADLINE": 0.2,
            **settings,
        }
        client = TestClient(create_app(Settings(_env_file=None, **values)), raise_server_exceptions=False)
        opened.append(client.__enter__())
        return client

    yield make
    for client in opened:
        client.__exit__(None, None, None)


def task(task_id=1, **data):
    return {"id": task_id, "project": 7, "data": {"image": "/a.png", **data}}


def ask(*texts, tasks=None, prompt_id="p1", **changes):
    typed = {
        "type": "textarea",
        "from_name": "prompt",
        "to_name": "image",
        "id": prompt_id,
        "value": {"text": list(texts)},
    }
    context = {"result": [typed]} if texts else None
    return {
        "tasks": tasks or [task()],
        "project": "7.1",
        "label_config": XML,
        "params": {"context": context},
        **changes,
    }


def requests_of(client):
    requests = client.app.state.predict_service.store.counts().requests
    return {f"{kind}/{state}": number for (kind, state), number in requests.items()}


def metric(client, line):
    found = [row for row in client.get("/metrics").text.splitlines() if row.startswith(line + " ")]
    return float(found[0].split()[-1]) if found else None


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_is_up(make_client, path):
    assert make_client().get(path).json() == {"status": "UP", "model_class": "ReferringSegmenter"}


def test_nothing_that_needs_a_redis_keeps_health_or_setup_waiting(make_client, monkeypatch):
    """A Redis that takes connections and never answers."""
    monkeypatch.setattr(redis_client, "ANSWER_TIMEOUT_S", 4.0)  # longer than anybody may wait here; it passes once
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        client = make_client(REDIS_URL=f"redis://127.0.0.1:{deaf.getsockname()[1]}")
        began = time.monotonic()
        assert client.get("/health").status_code == 200
        assert client.post("/setup", json={"project": "7.1", "schema": XML}).json() == {"model_version": "toy.loading"}
        assert time.monotonic() - began < 3
        assert client.app.state.predict_service.store.projects.get_connection(7).label_config == XML


def test_health_and_setup_answer_while_annotators_wait(make_client):
    client = make_client(PREDICT_DEADLINE=3)
    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(client.post, "/predict", json=ask("the dog", tasks=[task(i)])) for i in range(12)]
        while requests_of(client).get("interactive/queued", 0) < 12:
            time.sleep(0.01)
        assert client.get("/health").status_code == 200
        assert client.post("/setup", json={"project": "7.1", "schema": XML}).status_code == 200
        assert client.post("/webhook", json={"action": "PROJECT_UPDATED"}).status_code == 200
        assert not any(answer.done() for answer in waiting)
    assert all(answer.result().status_code == 200 for answer in waiting)


@pytest.mark.parametrize("extra", [None, "", {"top_k": 3}])
def test_setup_keeps_the_connection(make_client, extra):
    client = make_client()
    body = {
        "project": "7.1795166516",
        "schema": XML,
        "hostname": "http://studio",
        "access_token": "t",
        "extra_params": extra,
    }
    assert client.post("/setup", json=body).json() == {"model_version": "toy.loading"}
    kept = client.app.state.predict_service.store.projects.get_connection(7)
    assert (kept.hostname, kept.access_token, kept.label_config, kept.extra_params) == (
        "http://studio",
        "t",
        XML,
        extra or {},
    )


def test_setup_and_versions_tell_what_the_worker_said(make_client):
    client = make_client()
    client.app.state.predict_service.conn.set(worker_registry.MODEL_VERSION_KEY, "toy.v1")
    assert client.post("/setup", json={}).json() == {"model_version": "toy.v1"}
    assert client.get("/versions").json() == {"versions": ["toy.v1"]}


def test_what_is_asked_is_queued_with_all_the_worker_needs_and_no_token(make_client):
    client = make_client()
    client.post(
        "/setup",
        json={
            "project": "7.1",
            "schema": XML,
            "hostname": "http://studio",
            "access_token": "geheim",
            "extra_params": {"a": 1},
        },
    )
    assert client.post("/predict", json=ask("the dog; the cat")).json() == {
        "results": [{"result": [], "score": 0.0, "model_version": "toy.loading"}]
    }
    predict_service = client.app.state.predict_service
    [job_id] = queueing._queue(predict_service.conn, "interactive").job_ids
    request = predict_service.store.get_request(job_id)
    assert (request.kind, request.project, request.task, request.prompt_id) == ("interactive", 7, "1", "p1")
    assert request.body == {
        "data": {"image": "/a.png"},
        "label_config": XML,
        "hostname": "http://studio",
        "expressions": ["the dog", "the cat"],
        "extra_params": {"a": 1},
        "draft": None,
    }
    assert metric(client, 'ris_tasks_total{kind="interactive",outcome="expired"}') == 1


def test_only_the_entry_that_changed_is_asked(make_client):
    client = make_client()
    predict_service = client.app.state.predict_service
    for texts in (["a"], ["a", "b"], ["a2", "b"]):
        client.post("/predict", json=ask(*texts))
    asked = [
        predict_service.store.get_request(job).body["expressions"]
        for job in queueing._queue(predict_service.conn, "interactive").job_ids
    ]
    assert asked == [["a"], ["b"], ["a2"]]


def test_a_newer_expression_releases_who_waits_for_the_older(make_client):
    client = make_client(PREDICT_DEADLINE=20)
    with ThreadPoolExecutor(2) as pool:
        older = pool.submit(client.post, "/predict", json=ask("a"))
        while not requests_of(client).get("interactive/queued"):
            time.sleep(0.01)
        newer = pool.submit(client.post, "/predict", json=ask("a", "b"))
        assert older.result(timeout=10).json()["results"][0]["result"] == []
        assert requests_of(client) == {"interactive/superseded": 1, "interactive/queued": 1}
        predict_service = client.app.state.predict_service
        for job_id in queueing._queue(predict_service.conn, "interactive").job_ids:
            queueing.announce(predict_service.conn, job_id)
        newer.result(timeout=10)


@pytest.mark.parametrize(
    "context",
    [
        {"result": []},
        {"result": [{"type": "keypointlabels", "from_name": "click", "value": {"x": 1, "y": 1}}]},
        {"result": [{"type": "textarea", "from_name": "prompt", "id": "p", "value": {"text": [" "]}}]},
        {},
    ],
    ids=["after a submit", "click", "blank", "no result"],
)
def test_where_nothing_is_asked_nothing_is_queued(make_client, context):
    client = make_client()
    answer = client.post("/predict", json={**ask(), "params": {"context": context}})
    assert answer.json()["results"] == [{"result": [], "score": 0.0, "model_version": "toy.loading"}]
    assert requests_of(client) == {}
    assert metric(client, 'ris_tasks_total{kind="interactive",outcome="idle"}') == 1


def test_an_opened_task_is_encoded_and_its_own_expression_asked(make_client):
    client = make_client()
    began = time.monotonic()
    for opened in (task(1), task(2, expression="the dog")):
        assert client.post("/predict", json=ask(tasks=[opened])).json() == {"results": [[]]}
    assert time.monotonic() - began < 5
    assert requests_of(client) == {"encode/queued": 2, "open/queued": 1}
    assert queueing.queue_lengths(client.app.state.predict_service.conn) == {"interactive": 1, "bulk": 2}


def test_a_batch_is_refused_with_as_many_results_as_tasks(make_client):
    client = make_client()
    answer = client.post("/predict", json=ask(tasks=[task(i) for i in range(5)]))
    assert answer.json() == {"results": [[]] * 5}
    assert requests_of(client) == {}
    assert metric(client, "ris_batches_refused_total") == 1
    assert metric(client, 'ris_tasks_total{kind="batch",outcome="refused"}') == 5


def test_a_bad_task_leaves_the_others_alone(make_client):
    client = make_client()
    answer = client.post("/predict", json=ask(tasks=[None, {"id": 2}, task(3)]))
    assert answer.json() == {"results": [[], [], []]}
    [run] = client.app.state.predict_service.run_store.list_runs()
    assert run.spec.tasks == (3,)


@pytest.mark.parametrize("label_config", ["<View/>", None, "<"])
def test_a_config_that_cannot_be_answered_is_no_error_for_the_annotator(make_client, label_config):
    client = make_client()
    answer = client.post("/predict", json=ask("the dog", label_config=label_config))
    assert (answer.status_code, answer.json()["results"][0]["result"]) == (200, [])
    assert metric(client, 'ris_tasks_total{kind="interactive",outcome="failed"}') == 1


def test_a_full_queue_says_so(make_client):
    client = make_client(MAX_QUEUED=1)
    assert client.post("/predict", json=ask("a", tasks=[task(1)])).status_code == 200
    answer = client.post("/predict", json=ask("a", tasks=[task(2)]))
    assert (answer.status_code, answer.json()["error"]) == (503, "Busy")
    assert "retry-after" in answer.headers


def test_a_redis_that_is_down_says_so_to_annotators_only(make_client):
    client = make_client(REDIS_URL="redis://127.0.0.1:1")
    answer = client.post("/predict", json=ask("a"))
    assert (answer.status_code, answer.json()["error"]) == (503, "Unreachable")
    assert client.post("/predict", json=ask()).json() == {"results": [[]]}  # a task was opened
    assert metric(client, "ris_redis_up") == 0


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/predict", "{", "not JSON"),
        ("/predict", "[]", "tasks"),
        ("/setup", "[]", "object"),
        ("/setup", "", "not JSON"),
        ("/predict", "[" * 100_000, "nested"),
    ],
    ids=["cut off", "list", "setup list", "empty", "deep"],
)
def test_what_cannot_be_read_is_a_client_error(make_client, path, body, says):
    answer = make_client().post(path, content=body)
    assert answer.status_code == 400
    assert says in answer.json()["message"]


UNSTORABLE = {
    "task": '"\\ud800"',
    "prompt": '"\\udc00"',
    "user": "9" * 30,
    "data": '{"\\ud800": [NaN, 1e999, "a\\u0000"]}',
    "text": '"the \\ud800 dog"',
}


@pytest.mark.parametrize(("where", "value"), UNSTORABLE.items(), ids=list(UNSTORABLE))
def test_what_no_database_takes_is_replaced(make_client, where, value):
    typed = {"type": "textarea", "from_name": "prompt", "id": "<prompt>", "value": {"text": ["<text>"]}}
    asked = {**task("<task>", note="<data>"), "drafts": [{"user": "<user>"}]}
    body = json.dumps({**ask(tasks=[asked]), "params": {"context": {"result": [typed]}}})
    client = make_client()
    assert client.post("/predict", content=body.replace(f'"<{where}>"', value)).status_code == 200
    assert requests_of(client) == {"interactive/queued": 1}


def test_a_secret_of_a_project_may_be_any_text(make_client):
    client = make_client()
    body = (
        '{"project": "7.1", "schema": "\\udfff", "access_token": "a\\u0000\\ud83d\\ude00", "extra_params": {"b": NaN}}'
    )
    assert client.post("/setup", content=body).status_code == 200
    kept = client.app.state.predict_service.store.projects.get_connection(7)
    assert (kept.label_config, kept.access_token, kept.extra_params) == ("\ufffd", "a\ufffd\U0001f600", {"b": None})


@pytest.mark.parametrize("depth", [101, 700, 970, 980, 5000])
def test_what_is_nested_too_deeply_to_be_written_again_is_refused(make_client, depth):
    body = json.dumps(ask("a", tasks=[task(note="<here>")])).replace('"<here>"', "[" * depth + "]" * depth)
    answer = make_client().post("/predict", content=body)
    assert (answer.status_code, "nested" in answer.json()["message"]) == (400, True)


def test_events_that_wait_for_the_database_keep_nobody_else(make_client, monkeypatch):
    client = make_client()
    is_free = threading.Event()
    projects = client.app.state.predict_service.store.projects
    add_webhook = projects.add_webhook
    monkeypatch.setattr(projects, "add_webhook", lambda *event: is_free.wait(60) and add_webhook(*event))
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(client.post, "/webhook", json={"action": "PROJECT_UPDATED"}) for _ in range(20)]
        try:
            assert client.post("/predict", json=ask()).json() == {"results": [[]]}
            assert client.post("/setup", json={"project": "7.1"}).json() == {"model_version": "toy.loading"}
            assert client.get("/health").status_code == 200
            assert not any(answer.done() for answer in waiting)
        finally:
            is_free.set()
    assert [answer.result().status_code for answer in waiting] == [200] * 20


def test_large_bodies_are_refused_before_they_are_read(make_client, monkeypatch):
    monkeypatch.setattr(app_module, "MAX_SETUP_BYTES", 1000)
    answer = make_client().post("/setup", content=b" " * 1001)
    assert (answer.status_code, answer.json()["error"]) == (413, "TooLarge")


@pytest.mark.parametrize(
    ("body", "status", "action", "project"),
    [
        ('{"action": "ANNOTATION_CREATED", "project": {"id": 3}, "x": [1]}', 200, "ANNOTATION_CREATED", 3),
        ('{"action": "START_TRAINING", "project": {"id": 3}}', 200, "START_TRAINING", 3),
        ('{"action": "made up"}', 200, "made up", None),
        ('{"no": "action"}', 400, "invalid", None),
        ("[]", 400, "invalid", None),
        ("{", 400, "invalid", None),
        (b"\xff\x00", 400, "invalid", None),
        ('{"action": "\\ud800"}', 400, "invalid", None),
        ('{"action": "a\\u001b[31m"}', 400, "invalid", None),
    ],
)
def test_every_event_is_kept_as_it_came(make_client, body, status, action, project):
    client = make_client()
    assert client.post("/webhook", content=body).status_code == status
    [row] = webhooks_of(client)
    text = body if isinstance(body, str) else "\ufffd\ufffd"
    assert (row.action, row.project, row.body) == (action, project, text)
    counted = action if action in ("ANNOTATION_CREATED", "START_TRAINING", "invalid") else "other"
    assert metric(client, f'ris_webhooks_total{{action="{counted}"}}') == 1


def webhooks_of(client):
    with client.app.state.predict_service.store._engine.connect() as db:
        return list(db.execute(select(request_store.webhook)))


BASIC = (USER, PASSWORD)
BEARER = {"Authorization": f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("method", "path", "auth", "headers", "is_let_in"),
    [
        ("GET", "/", None, {}, True),
        ("GET", "/health", None, {}, True),
        ("GET", "/metrics", None, {}, False),
        ("GET", "/metrics", BASIC, {}, True),
        ("GET", "/openapi.json", None, {}, False),
        ("GET", "/openapi.json", BASIC, {}, True),
        ("GET", "/versions", (USER, "wrong"), {}, False),
        ("GET", "/versions", ("wrong", PASSWORD), {}, False),
        ("GET", "/versions", (USER, ""), {}, False),
        ("GET", "/versions", None, {"Authorization": "Basic ###"}, False),
        ("GET", "/versions", None, {"Authorization": "Basic"}, False),
        ("GET", "/versions", None, BEARER, False),  # the webhooks' secret opens webhooks only
        ("POST", "/setup", BASIC, {}, True),
        ("POST", "/setup", None, {}, False),
        ("POST", "/predict", None, {}, False),
        ("POST", "/webhook", None, {}, False),
        ("POST", "/webhook", BASIC, {}, True),  # START_TRAINING
        ("POST", "/webhook", None, BEARER, True),
        ("POST", "/webhook", None, {"Authorization": "Bearer wrong"}, False),
    ],
)
def test_who_is_let_in(make_client, method, path, auth, headers, is_let_in):
    client = make_client(BASIC_AUTH_USER=USER, BASIC_AUTH_PASS=PASSWORD, WEBHOOK_SECRET=SECRET)
    encoded = (auth[0].encode(), auth[1].encode()) if auth else None
    answer = client.request(
        method, path, auth=encoded, headers=headers, json={"action": "PROJECT_UPDATED"} if method == "POST" else None
    )
    assert (answer.status_code == 200) == is_let_in
    assert is_let_in or (answer.status_code, answer.headers["www-authenticate"][:5]) == (401, "Basic")


def test_a_secret_alone_closes_webhooks(make_client):
    client = make_client(WEBHOOK_SECRET=SECRET)
    assert client.post("/webhook", json={"action": "PROJECT_UPDATED"}).status_code == 401
    assert client.post("/webhook", json={"action": "PROJECT_UPDATED"}, headers=BEARER).status_code == 200
    assert client.get("/versions").status_code == 200


def test_web_pages_cannot_post(make_client):
    """A page in the annotator's browser can reach a backend on loopback; browsers name their page, Label Studio does not."""
    client = make_client()
    assert client.post("/setup", json={}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_what_nobody_expected_is_told_to_the_log_only(make_client, monkeypatch):
    client = make_client()
    monkeypatch.setattr(client.app.state.predict_service, "predict", lambda _call: 1 / 0)
    with capture_logs() as logged:
        answer = client.post("/predict", json=ask("a"))
    assert [entry["exc_info"] for entry in logged if entry["event"] == "unexpected"] == [True]
    assert (answer.status_code, answer.json()["error"]) == (500, "InternalError")
    assert "division" not in answer.text
    assert metric(client, 'ris_http_requests_total{endpoint="/predict",status="500"}') == 1


def test_metrics_are_what_happened(make_client):
    client = make_client()
    client.get("/health")
    client.post("/predict", json=ask("a"))
    client.get("/nothing/here")
    info = worker_registry.WorkerInfo(
        "w1", worker_registry.this_machine(), 1, time.time() - 10, "toy", "cpu", "toy.v1", "ready", jobs=4
    )
    worker_registry.report_worker(client.app.state.predict_service.conn, info)
    on_gpu = dataclasses.replace(info, name="w2", device="cuda:1", gpu_used=3 << 30, gpu_total=8 << 30)
    worker_registry.report_worker(client.app.state.predict_service.conn, on_gpu)
    expected = {
        'ris_http_requests_total{endpoint="/health",status="200"}': 1,
        'ris_http_requests_total{endpoint="other",status="404"}': 1,
        'ris_predict_seconds_count{kind="interactive"}': 1,
        'ris_queue_depth{queue="interactive"}': 1,
        'ris_queue_depth{queue="bulk"}': 0,
        'ris_requests{kind="interactive",state="queued"}': 1,
        "ris_redis_up": 1,
        "ris_worker_up": 1,
        'ris_worker_jobs{worker="w1"}': 4,
        'ris_worker_gpu_memory_used_bytes{worker="w2"}': 3 << 30,
        'ris_worker_gpu_memory_bytes{worker="w2"}': 8 << 30,
    }
    assert {line: metric(client, line) for line in expected} == expected
    assert metric(client, 'ris_predict_seconds_sum{kind="interactive"}') >= 0.2
    assert 10 <= metric(client, 'ris_worker_age_seconds{worker="w1"}') < 60
    assert 'gpu_memory_bytes{worker="w1"}' not in client.get("/metrics").text


def test_metrics_without_the_database_are_the_others(make_client, monkeypatch):
    client = make_client()
    monkeypatch.setattr(client.app.state.predict_service.store, "counts", raise_unreachable)
    assert metric(client, "ris_sql_up") == 0
    assert metric(client, "ris_redis_up") == 1


def raise_unreachable():
    raise Unreachable("The database cannot be used (gone).")


def test_every_endpoint_is_documented_and_no_other(make_client):
    client = make_client()
    documented = client.get("/openapi.json").json()["paths"]
    routes = app_module._open_pages.routes + app_module._closed_pages.routes + app_module.runs.router.routes
    served = {(route.path, method.lower()) for route in routes for method in route.methods}
    assert {(path, method) for path, operations in documented.items() for method in operations} == served
    assert {path for path in documented if not path.startswith("/runs")} == app_module._PATHS


def test_reading_a_body_drops_its_masks_and_lets_other_threads_run():
    """A batch with its masks is hundreds of megabytes; health checks come in between."""
    body = json.dumps({"tasks": [{"id": i, "value": {"rle": [1, 2], "format": "rle"}} for i in range(30_000)]})
    parsed, beats = [], []
    reader = threading.Thread(target=lambda: parsed.append(protocol.parse_json(body)))
    reader.start()
    while reader.is_alive():
        beats.append(time.monotonic())
        time.sleep(0.001)
    assert parsed[0]["tasks"][7] == {"id": 7, "value": {"format": "rle", "rle": b"\x01\x02"}}
    assert len(beats) > 3
