"""10,000 webhooks, as fast as the client can send: every one is stored, and becomes outcomes."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import sqlalchemy as sa
import uvicorn

from backend.app import create_app
from backend.corrections.bookkeeper import Bookkeeper
from backend.corrections.ledger import open_ledger
from backend.corrections.tables import annotation_version, outcome, webhook_read
from backend.errors import BadSettings
from backend.settings import Settings
from backend.tables import webhook
from tests.backend.corrections.made import annotation, box, brush, event

EVENTS = 10_000
SENDERS = 8


@pytest.fixture
def backend(tmp_path, redis_url):
    """The real application, on a port of its own."""
    settings = Settings(
        _env_file=None, RIS_STATE_DIR=tmp_path, REDIS_URL=redis_url, BASIC_AUTH_USER="u", BASIC_AUTH_PASS="p"
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield settings, f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


def no_studio(project):
    raise BadSettings("none here")


@pytest.mark.slow
def test_ten_thousand_events_sent_at_once_are_all_stored_and_read(backend, monkeypatch):
    settings, url = backend
    monkeypatch.setattr("backend.corrections.bookkeeper.READ_EVERY_S", 0.1)
    template = event(annotation(123456789, 987654321, [brush("a", box(0, 0), "the box")]))

    def send(numbers: range) -> list[int]:
        with httpx.Client(base_url=url, auth=("u", "p"), trust_env=False, timeout=60) as http:
            bodies = (template.replace("123456789", str(n + 1)).replace("987654321", str(n % 4000)) for n in numbers)
            return [http.post("/webhook", content=body).status_code for body in bodies]

    share = EVENTS // SENDERS
    with Bookkeeper(lambda: open_ledger(settings.sql_url), no_studio):
        with ThreadPoolExecutor(SENDERS) as pool:
            sent = list(pool.map(send, (range(i * share, (i + 1) * share) for i in range(SENDERS))))
        assert {status for statuses in sent for status in statuses} == {200}
        ledger = open_ledger(settings.sql_url)
        deadline = time.monotonic() + 240
        while count(ledger, webhook_read) < EVENTS:
            assert time.monotonic() < deadline, "the events are not read"
            time.sleep(0.5)
    assert [count(ledger, table) for table in (webhook, webhook_read, annotation_version, outcome)] == [EVENTS] * 4
    with ledger.reading() as db:
        assert db.scalar(sa.select(sa.func.count(sa.distinct(annotation_version.c.annotation)))) == EVENTS
        assert set(db.scalars(sa.select(outcome.c.outcome).distinct())) == {"missed"}
        assert set(db.scalars(sa.select(webhook_read.c.problem).distinct())) == {None}
        body = json.loads(db.scalar(sa.select(webhook.c.body).limit(1)))
    assert body["annotation"]["result"][0]["meta"] == {"text": ["the box"]}
    ledger.close()


def count(ledger, table: sa.Table) -> int:
    with ledger.reading() as db:
        return db.scalar(sa.select(sa.func.count()).select_from(table))
