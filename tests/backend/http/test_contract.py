"""Every recorded request of Label Studio 1.23.2, replayed against the app with a real store, Redis and worker."""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface
from sqlalchemy import select

from backend.db import request_store
from backend.http.app import create_app
from backend.settings.environment import Settings
from backend.transport import worker_registry
from tests.toy import COLOURS, toy_pixels, toy_png

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TRAFFIC = ROOT / "tests" / "data" / "label-studio-traffic"
TOKEN = "example-legacy-token"
SIZE_HW = (40, 60)

recorded = {
    file.name: json.loads(file.read_text())["request"]
    for file in sorted(TRAFFIC.glob("*.json"))
    if not file.name.startswith("api_")
}


@pytest.fixture(scope="module")
def studio():
    """Where tasks' images come from: the toy picture, for whoever has the token."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            is_known = self.headers.get("Authorization") == f"Token {TOKEN}" and "missing" not in self.path
            self.send_response(200 if is_known else 404)
            self.end_headers()
            self.wfile.write(toy_png(*SIZE_HW) if is_known else b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", seen=seen)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def client(studio, _redis_server_url, tmp_path_factory):
    """The app, with a worker whose segmenter is the toy one, connected to every project of the recordings."""
    state = tmp_path_factory.mktemp("state")
    values = {"RIS_STATE_DIR": state, "REDIS_URL": f"{_redis_server_url}?db=1", "RIS_PROFILE": "toy"}
    environment = {**os.environ, **{name: str(value) for name, value in values.items()}, "OMP_NUM_THREADS": "1"}
    with TestClient(create_app(Settings(_env_file=None, **values))) as opened, (state / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.toy_worker"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            wait_until(
                lambda: worker_registry.model_version(opened.app.state.predict_service.conn),
                lambda: (state / "worker.log").read_text(),
            )
            for request in recorded.values():
                if request["path"] == "/predict":
                    connect(opened, studio, request["body"])
            yield opened
        finally:
            worker.terminate()
            worker.wait(20)
            opened.app.state.predict_service.conn.flushdb()


def connect(client, studio, predict_body):
    setup = {**recorded["setup_request.json"]["body"], "project": predict_body["project"], "hostname": studio.url}
    assert client.post("/setup", json=setup).status_code == 200


def wait_until(is_so, explain=str, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.02)


def replay(client, name, **changes):
    request = recorded[name]
    body = {**request["body"], **changes} if request["body"] is not None else None
    return client.request(request["method"], request["path"], json=body)


def typed(name, *texts, prompt_id="fresh"):
    """The context of a recording with other texts."""
    params = json.loads(json.dumps(recorded[name]["body"]["params"]))
    params["context"]["result"][-1].update(id=prompt_id, value={"text": list(texts)})
    return params


def mask_of(region):
    height, width = region["original_height"], region["original_width"]
    return decode_rle(region["value"]["rle"]).reshape(height, width, 4)[..., 3] > 127


def assert_label_studio_takes(prediction, label_config):
    assert LabelInterface(label_config).validate_prediction(prediction, return_errors=True) == []
    for region in prediction["result"]:
        assert (region["original_height"], region["original_width"]) == SIZE_HW
        assert region["type"] == "brushlabels"
        assert region["value"]["brushlabels"] == ["Object"]
        assert mask_of(region).any()
        assert 0 <= region["score"] <= 1


@pytest.mark.parametrize("name", recorded)
def test_every_recorded_request_is_answered_in_the_form_label_studio_takes(client, studio, name):
    answer = replay(client, name, **({"hostname": studio.url} if recorded[name]["path"] == "/setup" else {}))
    assert answer.status_code == 200, answer.text
    body, path = answer.json(), recorded[name]["path"]
    if path == "/health":
        assert body["status"] == "UP"
    elif path == "/setup":
        assert body["model_version"].startswith("toy.global_local.")
    elif path == "/versions":
        assert body == {"versions": [client.app.state.predict_service.projects.model_version()]}
    elif path == "/predict":
        request = recorded[name]["body"]
        assert len(body["results"]) == len(request["tasks"])
        is_interactive = request["params"]["context"] is not None
        for result in body["results"]:
            if is_interactive:  # the page takes `result` of the first entry
                assert_label_studio_takes(result, request["label_config"])
            else:  # [] stores nothing; {"result": []} would be stored and never asked for again
                assert result == [] or result["result"]
    else:
        assert body == {"status": "ok"}


@pytest.mark.parametrize("colour", COLOURS)
def test_an_expression_comes_back_as_its_mask(client, colour):
    name = "predict_interactive_textarea.json"
    [result] = replay(client, name, params=typed(name, f"the {colour} square", prompt_id=colour)).json()["results"]
    [region] = result["result"]
    assert_label_studio_takes(result, recorded[name]["body"]["label_config"])
    np.testing.assert_array_equal(mask_of(region), (toy_pixels(*SIZE_HW) == COLOURS[colour]).all(-1))
    assert region["meta"]["text"] == [f"the {colour} square"]
    assert result["model_version"] == client.app.state.predict_service.projects.model_version()


def test_the_second_of_two_prompts_is_answered_then_the_edited_first(client):
    name = "predict_interactive_textarea_second_prompt.json"
    asked = []
    for texts in (["the red square"], ["the red square", "the blue square"], ["the green square", "the blue square"]):
        [result] = replay(client, name, params=typed(name, *texts, prompt_id="two")).json()["results"]
        asked += [region["meta"]["text"] for region in result["result"]]
    assert asked == [["the red square"], ["the blue square"], ["the green square"]]


def test_several_expressions_are_answered_together(client):
    name = "predict_interactive_textarea.json"
    [result] = replay(client, name, params=typed(name, "the red square; Object: the yellow square")).json()["results"]
    assert [region["meta"]["text"] for region in result["result"]] == [["the red square"], ["the yellow square"]]
    assert_label_studio_takes(result, recorded[name]["body"]["label_config"])


def test_no_region_id_is_handed_out_twice_and_each_is_on_record(client):
    name = "predict_interactive_textarea.json"
    texts = ("the red square", "the blue square", "the green square")
    answers = [replay(client, name, params=typed(name, text)).json()["results"][0] for text in texts]
    ids = [region["id"] for answer in answers for region in answer["result"]]
    assert len(set(ids)) == 3
    with client.app.state.predict_service.store._engine.connect() as db:
        assert set(ids) <= set(db.scalars(select(request_store.region.c.id)))


RECOMMENDED = (ROOT / "label_config" / "recommended.xml").read_text()
MESSAGES = {
    "nothing to tell": ("the red square", 1, []),
    "unreadable": ("!!!", 0, ["no letter or digit"]),
    "not sure": ("the red or blue square", 1, ["Not sure about “the red or blue square”"]),
}


@pytest.mark.parametrize(("text", "regions", "told"), MESSAGES.values(), ids=MESSAGES)
def test_what_is_told_comes_in_the_form_label_studio_takes(client, text, regions, told):
    name = "predict_interactive_textarea.json"
    params = typed(name, text, prompt_id=text)
    [result] = replay(client, name, params=params, label_config=RECOMMENDED).json()["results"]
    assert LabelInterface(RECOMMENDED).validate_prediction(result, return_errors=True) == []
    *others, message = result["result"]
    others = [one for one in others if one["from_name"] != "prompt"]
    assert [region["type"] for region in others] == ["brushlabels"] * regions
    assert (message["from_name"], message["type"], set(message["value"])) == ("ris_message", "textarea", {"text"})
    assert [part in said for part, said in zip(told, message["value"]["text"], strict=True)] == [True] * len(told)


def test_clicks_boxes_and_submits_get_no_regions(client):
    interactive = [name for name in recorded if name.startswith("predict_interactive_")]
    names = [name for name in interactive if "textarea" not in name and "answer" not in name]
    assert {len(replay(client, name).json()["results"][0]["result"]) for name in names} == {0}


def test_an_image_is_fetched_once(client, studio):
    name = "predict_interactive_textarea.json"
    tasks = [{**recorded[name]["body"]["tasks"][0], "data": {"image": "/data/upload/5/once.png"}}]
    for colour in ("red", "blue"):
        assert replay(
            client, name, params=typed(name, f"the {colour} square", prompt_id=f"once {colour}"), tasks=tasks
        ).json()["results"][0]["result"]
    assert studio.seen.count("/data/upload/5/once.png") == 1


def test_an_image_that_cannot_be_fetched_is_an_empty_answer_with_its_reason_on_record(client):
    name = "predict_interactive_textarea.json"
    tasks = [{**recorded[name]["body"]["tasks"][0], "id": 77, "data": {"image": "/data/upload/5/missing.png"}}]
    [result] = replay(client, name, params=typed(name, "the red square", prompt_id="missing"), tasks=tasks).json()[
        "results"
    ]
    assert result["result"] == []
    with client.app.state.predict_service.store._engine.connect() as db:
        [failed] = db.execute(select(request_store.request).where(request_store.request.c.task == "77"))
    assert (failed.state, "does not exist (404)" in failed.error) == ("failed", True)
    assert 'ris_tasks_total{kind="interactive",outcome="failed"}' in client.get("/metrics").text


def test_an_opened_task_with_an_expression_is_answered_once_it_is_in_the_cache(client):
    """First [], and its image is encoded; when it is opened again it has its mask."""
    label_config = (ROOT / "label_config" / "expression_from_task.xml").read_text()
    data = {"image": "/data/upload/1/opened.png", "expression": "the green square"}
    tasks = [{**recorded["predict_open_unlabelled_task.json"]["body"]["tasks"][0], "data": data}]
    predict_service = client.app.state.predict_service

    def open_task():
        return replay(client, "predict_open_unlabelled_task.json", tasks=tasks, label_config=label_config).json()[
            "results"
        ]

    def is_encoded():
        return (
            predict_service.store.counts().requests.get(("encode", "queued"), 0)
            + predict_service.store.counts().requests.get(("encode", "running"), 0)
            == 0
        )

    assert open_task() == [[]]
    wait_until(is_encoded)
    [result] = open_task()
    assert_label_studio_takes(result, label_config)
    np.testing.assert_array_equal(mask_of(result["result"][0]), (toy_pixels(*SIZE_HW) == COLOURS["green"]).all(-1))


def test_webhooks_are_on_record_with_their_bodies(client):
    name = "webhook_annotation_created.json"
    replay(client, name)
    with client.app.state.predict_service.store._engine.connect() as db:
        row = db.execute(
            select(request_store.webhook)
            .where(request_store.webhook.c.action == "ANNOTATION_CREATED")
            .order_by(request_store.webhook.c.id.desc())
        ).first()
    assert json.loads(row.body) == recorded[name]["body"]  # masks included
    assert row.project == recorded[name]["body"]["project"]["id"]
