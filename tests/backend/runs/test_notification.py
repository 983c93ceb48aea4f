"""Who is told how a run ended, and that nobody else learns the address."""

import json
from base64 import b64encode

import pytest
from structlog.testing import capture_logs

from backend.base import redaction
from backend.http.runs import read_spec
from backend.runs import summary
from backend.runs.control import create
from backend.runs.spec import BadRun, RunSpec
from tests.backend.runs.fake_studio import PROJECT

pytestmark = pytest.mark.slow

SECRET = "T0000/B0000/abcdefghijklmnop"
RED = "the red thing"


def end_run(rig, notify: str) -> list:
    """Make a run that has ended, have its listener told; what is logged."""
    run = rig.run_store.add_run(RunSpec(PROJECT, expressions=(RED,), notify=notify), "toy.v1")
    rig.run_store.change(run.id, "failed", "so it is")
    with capture_logs() as logged:
        rig.supervisor.tick()
    assert rig.run_store.list_unnotified() == []
    return logged


def test_a_listener_is_told_with_its_login_at_its_path(rig, serve):
    listener = serve(lambda request: (200, {}, b""))
    address = listener.url.replace("http://", "http://me:p%40ss@")
    assert end_run(rig, f"{address}/services/{SECRET}?token=x") == []
    [request] = listener.seen
    assert request.path == f"/services/{SECRET}?token=x"
    assert request.headers["Authorization"] == f"Basic {b64encode(b'me:p@ss').decode()}"
    assert json.loads(request.body)["state"] == "failed"


@pytest.mark.parametrize("status", [404, 500, 302])
def test_a_listener_that_refuses_is_named_by_its_host_only(rig, serve, status):
    elsewhere = serve(lambda request: (200, {}, b""))
    listener = serve(lambda request: (status, {"Location": elsewhere.url}, SECRET.encode()))
    [logged] = end_run(rig, f"{listener.url}/services/{SECRET}?token=hunter2x")
    assert (logged["host"], logged["error"]) == ("127.0.0.1", f"it answers {status}")
    assert not any(secret in str(logged) for secret in (SECRET, "hunter2x"))
    assert elsewhere.seen == []


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "168.63.129.16",
        "192.0.0.192",
        "0xa9fea9fe",
    ],
)
def test_metadata_services_are_told_nothing(rig, host):
    [logged] = end_run(rig, f"http://{host}/latest/{SECRET}")
    assert "which is not public" in logged["error"] or "is not known" in logged["error"]
    assert SECRET not in str(logged)


@pytest.mark.parametrize(
    "notify",
    [
        f"file:///{SECRET}",
        f"hooks.example/{SECRET}",
        f"http://[{SECRET}",
        f"http://me:{SECRET}@h:x",
        f"http:///{SECRET}",
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(rig, store, notify):
    rig.conn.set("ris:model_version", "toy.v1")
    with pytest.raises(BadRun, match="notify") as caught:
        create(rig.run_store, store, rig.conn, read_spec({"project": PROJECT, "expressions": [RED], "notify": notify}))
    assert SECRET not in str(caught.value)
    assert rig.run_store.list_runs() == []


def test_a_field_that_is_no_text_is_not_shown():
    with pytest.raises(BadRun, match="notify") as caught:
        read_spec({"project": PROJECT, "expressions": [RED], "notify": [SECRET]})
    assert SECRET not in str(caught.value)


def test_blanks_around_an_address_do_no_harm(rig, store):
    rig.conn.set("ris:model_version", "toy.v1")
    run = create(rig.run_store, store, rig.conn, RunSpec(PROJECT, expressions=(RED,), notify=" http://h/x\n"))
    assert run.spec.notify == "http://h/x"


def test_no_answer_shows_the_address(rig):
    notify = f"https://me:hunter2x@hooks.example/services/{SECRET}"
    run = rig.run_store.add_run(RunSpec(PROJECT, expressions=(RED,), notify=notify), "toy.v1")
    seen = summary.look(rig.run_store, run.id, None)
    assert not any(secret in f"{seen.to_json()}{seen.to_text()}" for secret in (SECRET, "hunter2x"))


def test_what_a_library_says_of_the_address_is_hidden(rig, monkeypatch):
    url = f"https://hooks.example/services/{SECRET}"

    def fail(*_args):
        raise ValueError(f"no way to {url!r}, that is {b64encode(url.encode()).decode()}")

    monkeypatch.setattr("backend.runs.notification.post_json", fail)
    [logged] = end_run(rig, url)
    assert redaction.HIDDEN in logged["error"]
    assert SECRET not in logged["error"]
