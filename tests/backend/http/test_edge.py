"""The backend as it listens: a real uvicorn with the protocol and the check that `ris serve` gives it."""

import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from backend.http import bodies, edge
from backend.http.app import create_app
from backend.settings.environment import Settings

pytestmark = pytest.mark.slow

LOGIN = {"BASIC_AUTH_USER": "ls", "BASIC_AUTH_PASS": "password1"}


@pytest.fixture
def listen(tmp_path) -> Iterator:
    """Starts a backend on a free port; its port."""
    servers = []

    def start(**values: object) -> int:
        settings = Settings(_env_file=None, RIS_STATE_DIR=tmp_path, REDIS_URL="redis://127.0.0.1:1", **values)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = uvicorn.Config(
            edge.guard(create_app(settings), settings), port=port, http=edge.PunctualProtocol, log_config=None
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return port

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join(10)


def status(port: int, host: str, path: str = "/health") -> int:
    return httpx.get(f"http://127.0.0.1:{port}{path}", headers={"Host": host}, trust_env=False).status_code


@pytest.mark.parametrize(
    ("host", "is_right"),
    [
        ("127.0.0.1:{}", True),
        ("localhost:{}", True),
        ("LOCALHOST.", True),
        ("[::1]:{}", True),
        ("10.1.2.3", True),  # an address is nobody's name
        (socket.gethostname(), True),
        ("host.docker.internal:{}", True),
        ("ris.localhost", True),
        ("evil.example", False),
        ("evil.example:{}", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1@evil.example", False),
    ],
)
@pytest.mark.parametrize("path", ["/health", "/versions", "/runs"])
def test_without_a_login_only_names_of_this_machine_are_answered(listen, host, is_right, path):
    assert (status(listen(), host.format(1), path) == 400) == (not is_right)


def test_named_hosts_are_answered(listen):
    port = listen(ALLOWED_HOSTS="https://ris.example/, backend:9090")
    assert [status(port, host) for host in ("ris.example", "backend:9090", "evil.example")] == [200, 200, 400]


def test_any_host_is_answered_where_all_are_allowed(listen):
    assert status(listen(ALLOWED_HOSTS="*"), "evil.example") == 200


def test_with_a_login_names_are_checked_once_they_are_known(listen):
    assert status(listen(**LOGIN), "backend:9090") == 200
    assert status(listen(**LOGIN, ALLOWED_HOSTS="backend"), "evil.example") == 400


def wait_until_closed(caller: socket.socket, drip: bytes = b"") -> float:
    """Send a byte now and then until the other side closes; seconds that took."""
    began = time.monotonic()
    caller.settimeout(0.1)
    while time.monotonic() - began < 20:
        try:
            if drip:
                caller.sendall(drip)
            if not caller.recv(1000):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


HEADS = {
    "nothing at all": (b"", b""),
    "nothing after the first line": (b"GET /health HTTP/1.1\r\n", b""),
    "a byte now and then": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"a"),
    "a header now and then": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n", b"X-A: b\r\n"),
    "of the next request": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTT", b"P"),
}


@pytest.mark.parametrize(("begin", "drip"), HEADS.values(), ids=HEADS)
def test_callers_that_never_finish_their_headers_are_closed(listen, monkeypatch, begin, drip):
    monkeypatch.setattr(edge, "HEAD_TIMEOUT_S", 1.0)
    with socket.create_connection(("127.0.0.1", listen())) as caller:
        caller.sendall(begin)
        assert wait_until_closed(caller, drip) < 8


BODIES = {
    "that is read": b"POST /setup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
    "that nobody reads": b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
    "in chunks": b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
}


@pytest.mark.parametrize("begin", BODIES.values(), ids=BODIES)
def test_callers_that_never_finish_their_body_are_closed(listen, monkeypatch, begin):
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(edge, "BODY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(edge, "BODY_GRACE_S", 0.5)
    with socket.create_connection(("127.0.0.1", listen())) as caller:
        caller.sendall(begin)
        assert wait_until_closed(caller, b"x") < 8


def test_an_answer_may_take_longer_than_headers(listen, monkeypatch):
    monkeypatch.setattr(edge, "HEAD_TIMEOUT_S", 0.3)

    async def slow(scope, receive, send):
        import anyio

        await anyio.sleep(1.0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    monkeypatch.setattr(edge, "guard", lambda *_: slow)
    with httpx.Client(trust_env=False) as http:
        port = listen()
        assert [http.get(f"http://127.0.0.1:{port}/").text for _ in range(2)] == ["done", "done"]
