"""Against a small stand-in that answers as Label Studio 1.23.2 was recorded to; tests/e2e asks the real one."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from backend.errors import BadSettings
from backend.label_studio.client import LabelStudio
from backend.label_studio.connect import ANNOTATION_EVENTS, TITLE, connect

URL = "http://127.0.0.1:9090"
PROJECT = 7


class FakeLabelStudio:
    """Rows of ML backends and webhooks; makes the webhook with the backend, without its authentication."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {"ml": [], "webhooks": []}
        self.refusal: tuple[int, str] | None = None
        self.url = ""

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        kind, *rest = path.removeprefix("/api/").partition("?")[0].strip("/").split("/")
        if method == "GET":
            return (
                (200, self.rows[kind])
                if path.endswith(f"project={PROJECT}")
                else (404, {"detail": "No Project matches"})
            )
        if self.refusal:
            return self.refusal
        if method == "PATCH":
            row = next(row for row in self.rows[kind] if row["id"] == int(rest[0]))
            if kind == "ml" and not {"url", "project"} <= set(body):
                return 500, {}
            row |= body
            return 200, row
        return 201, self.add(kind, body)

    def add(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        row = {"id": len(self.rows[kind]) + 1, "model_version": "demo-1", **body}
        self.rows[kind].append(row)
        if kind == "ml":
            self.add(
                "webhooks",
                {"url": f"{body['url']}/webhook", "send_for_all_actions": True, "headers": {}, "actions": []},
            )
        return row


@pytest.fixture
def fake() -> Iterator[FakeLabelStudio]:
    fake = FakeLabelStudio()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, answer = fake.answer(self.command, self.path, json.loads(self.rfile.read(length) or b"{}"))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = handle_any

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(fake: FakeLabelStudio) -> LabelStudio:
    return LabelStudio(fake.url, "0" * 40)


def test_new_backend_is_interactive_and_sends_its_credentials(fake: FakeLabelStudio, client: LabelStudio):
    connection = connect(client, PROJECT, f"{URL}/", ("user", "hunter2"), "secret")
    [row] = fake.rows["ml"]
    assert (connection.backend, connection.model_version) == (row["id"], "demo-1")
    assert (row["url"], row["project"], row["is_interactive"]) == (URL, PROJECT, True)
    assert (row["auth_method"], row["basic_auth_user"], row["basic_auth_pass"]) == ("BASIC_AUTH", "user", "hunter2")


@pytest.mark.parametrize(
    ("credentials", "secret", "expected"),
    [
        pytest.param(("user", "pass"), "secret", {"Authorization": "Bearer secret"}, id="secret"),
        pytest.param(("user", "pass"), None, {"Authorization": "Basic dXNlcjpwYXNz"}, id="basic auth only"),
        pytest.param(None, None, {}, id="open backend"),
    ],
)
def test_webhook_gets_what_lets_it_in(fake: FakeLabelStudio, client: LabelStudio, credentials, secret, expected):
    connect(client, PROJECT, URL, credentials, secret)
    [webhook] = fake.rows["webhooks"]
    assert webhook["headers"] == expected
    assert (webhook["send_for_all_actions"], webhook["actions"]) == (False, list(ANNOTATION_EVENTS))


def test_connecting_twice_changes_nothing(fake: FakeLabelStudio, client: LabelStudio):
    first = connect(client, PROJECT, URL, ("user", "pass"), "secret")
    before = json.dumps(fake.rows)
    assert connect(client, PROJECT, URL, ("user", "pass"), "secret") == first
    assert json.dumps(fake.rows) == before


def test_backend_at_a_new_address_is_moved_with_its_webhook(fake: FakeLabelStudio, client: LabelStudio):
    connect(client, PROJECT, "http://127.0.0.1:9090")
    connect(client, PROJECT, "http://127.0.0.1:9091")
    assert [row["url"] for row in fake.rows["ml"]] == ["http://127.0.0.1:9091"]
    assert [row["url"] for row in fake.rows["webhooks"]] == ["http://127.0.0.1:9091/webhook"]


def test_backend_connected_by_hand_is_taken_over(fake: FakeLabelStudio, client: LabelStudio):
    fake.add("ml", {"url": f"{URL}/", "title": "made by hand", "is_interactive": False})
    connect(client, PROJECT, URL)
    [row] = fake.rows["ml"]
    assert (row["title"], row["is_interactive"]) == (TITLE, True)


def test_somebody_elses_backend_is_left_alone(fake: FakeLabelStudio, client: LabelStudio):
    other = fake.add("ml", {"url": "http://elsewhere:9090", "title": "other"})
    before = dict(other)
    connect(client, PROJECT, URL)
    assert (len(fake.rows["ml"]), fake.rows["ml"][0]) == (2, before)


def test_lost_webhook_is_made_again(fake: FakeLabelStudio, client: LabelStudio):
    connect(client, PROJECT, URL, None, "secret")
    fake.rows["webhooks"].clear()
    connect(client, PROJECT, URL, None, "secret")
    assert [webhook["url"] for webhook in fake.rows["webhooks"]] == [f"{URL}/webhook"]


def test_unknown_project_is_named(client: LabelStudio):
    with pytest.raises(BadSettings, match="no project 99"):
        connect(client, 99, URL)


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        pytest.param(
            (403, {"detail": "URL resolves to a reserved network address"}), "ML_BLOCK_LOCAL_IP=false", id="blocked"
        ),
        pytest.param((400, {"detail": "health check failed"}), "health check failed", id="not reached"),
    ],
)
def test_refused_address_says_why_and_what_to_do(fake: FakeLabelStudio, client: LabelStudio, refusal, message: str):
    fake.refusal = refusal
    with pytest.raises(BadSettings, match=message):
        connect(client, PROJECT, URL)
