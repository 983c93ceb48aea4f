"""Every place where a library's words get into ours, driven by a library that quotes every secret in every form.

What is said (logs, SQL, terminal, HTTP answers, the doctor's report) is searched for them.
`tests/backend/base/test_foreign_errors.py` holds that there is no
other such place, `test_notify.py` the addresses that are told how runs end.
"""

import base64
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import redis
import sqlalchemy as sa
from fastapi.testclient import TestClient

from backend.base import logs
from backend.commands import cli
from backend.db.database import open_database, translate_errors
from backend.db.request_store import open_request_store
from backend.http.app import create_app
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.images import ImageFetcher
from backend.label_studio.reachability import ask_backend
from backend.runs.studio_client import RunClient
from backend.settings.environment import read_settings
from backend.transport import redis_client
from backend.worker.worker import RisWorker
from ris_core.errors import RisError
from tests.backend.http.test_app import ask
from tests.backend.runs.fake_studio import PROJECT

pytestmark = pytest.mark.slow

TOKEN, PASSWORD, HOOK, OF_REDIS, OF_SQL = SECRETS = [
    "tok0123456789abcdef0123456789abcdef01234567",
    "pa'ss/wörd+of mine",
    "hook-secret-0123",
    "redis-secret-0123",
    "sql-secret-0123",
]


def forms_of(secret: str) -> list[str]:
    """A secret in every form that it is searched for in."""
    raw = secret.encode()
    plain = base64.b64encode(raw).decode()
    return [
        secret,
        repr(secret)[1:-1],
        repr(raw)[2:-1],
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        raw.hex(),
        plain,
    ]


def quoting() -> str:
    """What a library says that quotes everything it was given."""
    logins = [
        base64.b64encode(f"ls:{PASSWORD}".encode()).decode(),
        base64.b64encode(f"Token {TOKEN}".encode()).decode(),
    ]
    parts = [form for secret in SECRETS for form in forms_of(secret)]
    return f"Illegal header value b'Token {TOKEN}\\n' " + " , ".join(
        [*parts, *logins, repr(SECRETS), json.dumps(SECRETS)]
    )


class Said(io.StringIO):
    """Everything that was said, whatever it was said to."""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> Iterator[Said]:
    """Settings that hold a secret each, logs that are listened to, and in the end no secret in what was said or stored."""
    monkeypatch.chdir(tmp_path)
    values = {
        "RIS_STATE_DIR": str(tmp_path / "state"),
        "RIS_PROFILE": "demo",
        "LABEL_STUDIO_URL": "http://127.0.0.1:1",
        "LABEL_STUDIO_API_KEY": f"{TOKEN}\r\n",
        "BASIC_AUTH_USER": "ls",
        "BASIC_AUTH_PASS": PASSWORD,
        "WEBHOOK_SECRET": HOOK,
        "REDIS_URL": f"redis://:{OF_REDIS}@127.0.0.1:1/0",
        "DATABASE_URL": f"sqlite:///{tmp_path}/ris.sqlite3?x={OF_SQL}&password={OF_SQL}",
    }
    monkeypatch.setenv("DATABASE_URL", values["DATABASE_URL"])
    read_settings()  # learns it
    values["DATABASE_URL"] = f"sqlite:///{tmp_path}/ris.sqlite3"
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    heard = Said()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", heard)
        logs.configure_logging("DEBUG")
    listener = logging.StreamHandler(logs.Discreet(heard))
    logging.getLogger().addHandler(listener)
    read_settings()
    yield heard
    logging.getLogger().removeHandler(listener)
    printed = capsys.readouterr()
    text = heard.getvalue() + printed.out + printed.err
    files = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for form in {form for secret in SECRETS for form in forms_of(secret)}:
        assert form not in text, text
        assert [file.name for file, content in files.items() if form.encode() in content] == []
    assert "***" in text, "the secrets came by"


@pytest.fixture
def broken_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx fails with all that it was given."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise httpx.LocalProtocolError(quoting())

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", fail)
    monkeypatch.setattr(httpx.Client, "send", fail)


@pytest.fixture
def echo(serve) -> str:
    """The address of a server that refuses everything and says back what it was told."""
    codes = iter([400, 500, 403, 418, 502] * 100)
    return serve(
        lambda request: (next(codes), {}, json.dumps({"detail": quoting(), "h": request.headers}).encode())
    ).url


def tell(heard: Said, work) -> None:
    """Do something that fails, and say why as a person is told."""
    try:
        heard.write(str(work()))
    except RisError as error:
        heard.write(f"{error} {error!r} {error.wrong} {error.remedy}")


def test_calls_of_label_studio_and_images(said, broken_http):
    url = "http://127.0.0.1:1"
    for token in (TOKEN, f"{TOKEN}\n", f"{TOKEN}.b.c", f"tö{TOKEN}"):
        tell(said, lambda token=token: LabelStudioClient(url, token).request("GET", f"/api/projects/?token={TOKEN}"))
        tell(said, lambda token=token: RunClient(url, token).show_version(1, "v"))
        tell(said, lambda token=token: ImageFetcher(url, token, timeout_s=2).fetch("/data/upload/1/x.png"))
    tell(said, lambda: ask_backend(url, ("ls", PASSWORD)))


def test_answers_of_label_studio(said, echo):
    for _ in range(5):
        tell(said, lambda: LabelStudioClient(echo, TOKEN).request("POST", "/api/x", {"a": 1}))
        tell(said, lambda: LabelStudioClient(echo, f"{TOKEN}.b.c").request("GET", "/api/x"))
        tell(said, lambda: ImageFetcher(echo, TOKEN).fetch("/data/upload/1/x.png"))


def test_redis_and_databases(said, tmp_path, monkeypatch):
    def fail(*_args: object, **_kwargs: object) -> None:
        raise redis.exceptions.ConnectionError(quoting())

    conn = redis_client.connect("redis://127.0.0.1:1")
    monkeypatch.setattr(conn, "ping", fail)
    tell(said, lambda: redis_client.ping(conn))
    tell(said, lambda: redis_client.connect(f"redis://:{OF_REDIS}@h:x"))
    tell(said, lambda: open_database(f"nosuch://me:{OF_SQL}@h/d"))
    tell(said, lambda: open_database(f"postgresql+psycopg://me:{OF_SQL}@127.0.0.1:1/d?connect_timeout=2"))
    for kind in (sa.exc.OperationalError, sa.exc.DataError):

        def work(kind=kind) -> None:
            with translate_errors():
                raise kind("SELECT", {"x": quoting()}, Exception(quoting()))

        tell(said, work)


def test_a_prompt_whose_work_breaks_down(said, rig, store, monkeypatch):
    body = {
        "data": {"image": "/a.png"},
        "label_config": ask("a")["label_config"],
        "hostname": None,
        "expressions": ["the red thing"],
        "extra_params": {},
    }
    request = store.add_request("interactive", "1", body, lifetime_s=60, project=PROJECT)

    def fail(*_args: object, **_kwargs: object) -> None:
        raise ValueError(quoting())

    monkeypatch.setattr("backend.label_studio.images.ImageFetcher.fetch", fail)
    with suppress(ValueError):
        rig.service.segment(request)
    failed = store.get_request(request)
    said.write(f"{failed.error} {failed.message} {failed.state}")
    assert failed.state == "failed"


def test_a_run_whose_work_breaks_down(said, rig, monkeypatch):
    rig.add_tasks(2)
    run = rig.start("the red thing")

    def fail(*_args: object, **_kwargs: object) -> None:
        raise ValueError(quoting())

    monkeypatch.setattr("backend.label_studio.images.ImageFetcher.fetch", fail)
    rig.carry_on(run, ticks=3)
    found = rig.run_store.counts.failures(run.id)
    assert found
    said.write(f"{found} {rig.run_store.get(run.id).note}")


def test_a_run_whose_label_studio_breaks_down(said, rig, broken_http):
    rig.add_tasks(1)
    run = rig.start("the red thing")
    rig.supervisor.tick()
    said.write(f"{rig.run_store.get(run.id).note}")


def test_what_rq_keeps_of_a_job(said, redis_url, monkeypatch):
    kept = []
    monkeypatch.setattr("rq.SimpleWorker.handle_job_failure", lambda *args: kept.append(args[-1]))
    RisWorker.handle_job_failure(object.__new__(RisWorker), None, None, None, f"Traceback … {quoting()}")
    said.write(kept[0])


def test_the_backend(said, monkeypatch, redis_url):
    monkeypatch.setenv("REDIS_URL", redis_url)
    client = TestClient(create_app(read_settings()), raise_server_exceptions=False)

    login = ("ls", PASSWORD)
    for kind in (ValueError, RisError):
        monkeypatch.setattr(client.app.state.predict_service, "predict", raising(kind))
        answer = client.post("/predict", json=ask("a"), auth=login)
        assert answer.status_code == 500
        said.write(answer.text)
    said.write(client.post("/predict", json=ask("a"), auth=("ls", "wrong")).text)
    said.write(client.post("/runs", json={"project": 1, "expressions": ["a"], "notify": f"x{HOOK}"}, auth=login).text)
    logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=ValueError(quoting()))


COMMANDS = [
    "connect --project 1",
    "doctor --project 1",
    "run start --project 1 --expression x",
    "run list",
    "warm --project 1",
    "corrections list --project 1",
    "corrections stats --project 1",
    "report --project 1 --out page.html --no-kinds",
    "export --project 1 --format coco --out set",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(said, broken_http, monkeypatch, tmp_path, command):
    open_request_store(f"sqlite:///{tmp_path}/ris.sqlite3").close()
    monkeypatch.setattr(sys, "argv", ["ris", *command.split()])
    monkeypatch.setattr("backend.doctor.models.check_device", lambda _case: iter(()))
    with suppress(SystemExit):
        cli.main()
    said.write(quoting_hidden())


def test_commands_that_break_down(said, monkeypatch, tmp_path, capsys):
    open_request_store(f"sqlite:///{tmp_path}/ris.sqlite3").close()

    def fail(*_args: object, **_kwargs: object) -> None:
        raise ValueError(quoting())

    monkeypatch.setattr("backend.runs.store.RunStore.list_runs", fail)
    monkeypatch.setattr(sys, "argv", ["ris", "run", "list"])
    with suppress(SystemExit):
        cli.main()
    printed = capsys.readouterr()
    said.write(printed.err)
    assert "ValueError" in printed.err


def raising(kind: type[Exception]) -> Callable[..., None]:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise kind(quoting())

    return fail


def quoting_hidden() -> str:
    """A word that shows that the search ran, for commands that never come by a secret."""
    return " ***"
