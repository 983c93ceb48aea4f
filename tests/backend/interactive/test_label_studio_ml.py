"""The adapter under label-studio-ml's own base class (1.0.9), and on a stand-in with the signatures of 2.x.

2.x is not on the package index: its users install it from its repository. The stand-in below has the signatures and the
calls of 2.0's `LabelStudioMLBase` and nothing else.
"""

import importlib
import json
from pathlib import Path

import pytest
from label_studio_ml import model as label_studio_ml_model

from backend.interactive import label_studio_ml
from backend.interactive import predict as desk_module
from backend.label_studio import protocol
from backend.settings.environment import Settings
from backend.transport import queueing, worker_registry

pytestmark = pytest.mark.slow

TRAFFIC = Path(__file__).parents[2] / "data" / "label-studio-traffic"


class StandIn:
    """`LabelStudioMLBase` of 2.x, as far as it calls or is called; `predict` and `fit` are for subclasses, as there."""

    def __init__(self, project_id=None, label_config=None):
        self.project_id = project_id or ""
        self.values = {}
        self.label_config = label_config
        self.setup()

    def set(self, key, value):
        self.values[key] = value

    def predict(self, tasks, context=None, **kwargs):
        raise NotImplementedError

    def fit(self, event, data, **kwargs):
        raise NotImplementedError


@pytest.fixture
def predict_service(tmp_path, redis_url):
    settings = Settings(
        _env_file=None, RIS_STATE_DIR=tmp_path, REDIS_URL=redis_url, RIS_PROFILE="toy", PREDICT_DEADLINE=0.2
    )
    opened = desk_module.open_predict_service(settings)
    yield opened
    opened.store.close()


@pytest.fixture(params=["1.0.9", "2.x"])
def backend_class(request, predict_service, monkeypatch):
    """`RisBackend` on each base class, at the desk of the test."""
    if request.param == "2.x":
        monkeypatch.setattr(label_studio_ml_model, "LabelStudioMLBase", StandIn)
    module = importlib.reload(label_studio_ml)
    monkeypatch.setattr(module, "_predict_service", lambda: predict_service)
    assert (request.param == "2.x") == module.BASE_TAKES_PROJECT
    yield module.RisBackend
    monkeypatch.undo()
    importlib.reload(label_studio_ml)


def body_of(name):
    return json.loads((TRAFFIC / name).read_text())["request"]["body"]


def make(backend_class, body):
    """A model as either server makes it."""
    if backend_class.__mro__[1] is StandIn:
        return backend_class(project_id=str(body["project"]).split(".")[0], label_config=body["label_config"])
    return backend_class(
        label_config=body["label_config"], train_output=None, hostname="http://studio", access_token="t"
    )


def jobs_of(predict_service, queue):
    return [
        predict_service.store.get_request(job_id) for job_id in queueing._queue(predict_service.conn, queue).job_ids
    ]


def test_a_recorded_prompt_is_queued(backend_class, predict_service):
    body = body_of("predict_interactive_textarea.json")
    results = make(backend_class, body).predict(
        body["tasks"], context=body["params"]["context"], login=None, password=None
    )
    assert results == [{"result": [], "score": 0.0, "model_version": "toy.loading"}]  # no worker runs here
    [request] = jobs_of(predict_service, "interactive")
    assert (request.project, request.task, request.body["expressions"]) == (5, "1216", ["the dog left of the bench"])
    assert request.body["label_config"] == body["label_config"]


def test_the_workers_answer_is_handed_on(backend_class, predict_service, monkeypatch):
    answer = {"result": [{"id": "a"}], "score": 0.5, "model_version": "v"}

    def work(_conn, request_id, _timeout_s):
        assert predict_service.store.start_request(request_id)
        return predict_service.store.finish_request(request_id, answer)

    monkeypatch.setattr(queueing, "wait_for", work)
    body = body_of("predict_interactive_textarea.json")
    assert make(backend_class, body).predict(body["tasks"], context=body["params"]["context"]) == [answer]


@pytest.mark.parametrize(
    ("name", "empty"),
    [
        ("predict_open_unlabelled_task.json", []),
        ("predict_retrieve_predictions_batch.json", []),
        ("predict_interactive_empty_context.json", {"result": [], "score": 0.0, "model_version": "toy.loading"}),
        ("predict_interactive_keypoint.json", {"result": [], "score": 0.0, "model_version": "toy.loading"}),
    ],
)
def test_every_task_gets_an_entry(backend_class, name, empty):
    body = body_of(name)
    results = make(backend_class, body).predict(body["tasks"], context=body["params"]["context"])
    assert results == [empty] * len(body["tasks"])


def test_events_are_kept(backend_class, predict_service):
    body = body_of("webhook_annotation_created.json")
    model = make(backend_class, {"project": "1", "label_config": body["project"]["label_config"]})
    event, data = body["action"], {key: value for key, value in body.items() if key != "action"}
    if backend_class.__mro__[1] is StandIn:
        assert model.fit(event, data) == {}
    else:
        assert model.process_event(event, data, "job", {}) == {}
    assert predict_service.store.counts().webhooks == {"ANNOTATION_CREATED": 1}


def test_under_1_0_9_the_connection_comes_with_the_model(predict_service, monkeypatch):
    monkeypatch.setattr(label_studio_ml, "_predict_service", lambda: predict_service)
    body = body_of("predict_interactive_textarea.json")
    make(label_studio_ml.RisBackend, body).predict(body["tasks"], context=body["params"]["context"])
    kept = predict_service.store.projects.get_connection(5)
    assert (kept.hostname, kept.access_token) == ("http://studio", "t")


def test_under_2_x_the_model_version_is_the_workers(predict_service, monkeypatch):
    monkeypatch.setattr(label_studio_ml_model, "LabelStudioMLBase", StandIn)
    predict_service.conn.set(worker_registry.MODEL_VERSION_KEY, "toy.v1")
    predict_service.projects.set_up(protocol.read_setup({"project": "8.1", "extra_params": {"profile": "other"}}))
    worker_registry.report_version(predict_service.conn, "other", "other.v2")
    try:
        module = importlib.reload(label_studio_ml)
        monkeypatch.setattr(module, "_predict_service", lambda: predict_service)
        assert module.RisBackend(project_id="7", label_config="<View/>").values == {"model_version": "toy.v1"}
        assert module.RisBackend(project_id="8.1", label_config="<View/>").values == {"model_version": "other.v2"}
    finally:
        monkeypatch.undo()
        importlib.reload(label_studio_ml)
