"""A door between Label Studio and the backend: answers to `/predict` can be held back, as those of a slow machine are."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

TIMEOUT_S = 100.0
"""Longest that anything is held or waited for; Label Studio itself waits as long for a prediction."""
_HOP_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "content-encoding"}
"""Headers of one connection, not of the message."""


@dataclass
class Call:
    """A `/predict` that came by.

    Attributes:
        body: What Label Studio sent.
        answer: What the backend answered, once it did.
        released: Set once its answer may go on.
    """

    body: dict[str, Any]
    answer: dict[str, Any] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def texts(self) -> list[str]:
        """Entries of the prompt that it asks about; none after a submit and when a task is opened."""
        context = self.body["params"].get("context") or {}
        return [text for result in context.get("result", ()) for text in result["value"].get("text", ())]

    @property
    def region_ids(self) -> list[str]:
        """Ids of the regions that it was answered with."""
        return [result["id"] for result in self.answer["results"][0]["result"] if result["type"] != "textarea"]


class Gate:
    """Passes everything on to the backend. Open at first.

    Attributes:
        calls: Every interactive `/predict` so far, in the order they came.
    """

    def __init__(self, backend_url: str) -> None:
        self.calls: list[Call] = []
        self._backend_url = backend_url
        self._is_closed, self._held_from = False, 0
        self._came = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(self))
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where Label Studio finds it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold back the answers to what is asked meanwhile, until each is released or this ends."""
        self._is_closed, self._held_from = True, len(self.calls)
        try:
            yield
        finally:
            self._is_closed = False
            for call in self.calls:
                call.released.set()

    def wait_for(self, text: str) -> Call:
        """The call, of those that were held back last, that asks for a text as its newest entry; waits until it came."""

        def find() -> Call | None:
            return next((call for call in self.calls[self._held_from :] if call.texts[-1:] == [text]), None)

        with self._came:
            assert self._came.wait_for(find, TIMEOUT_S), f"nobody asked for {text!r}"
        found = find()
        assert found
        return found

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._http.close()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        """The backend's answer, given when it may be."""
        call = self._note(path, body)
        own = {name: value for name, value in headers.items() if name.lower() not in _HOP_HEADERS}
        answer = self._http.request(method, self._backend_url + path, headers=own, content=body)
        if call:
            call.answer = answer.json()
            call.released.wait(TIMEOUT_S)
        return answer

    def _note(self, path: str, body: bytes) -> Call | None:
        if not path.startswith("/predict"):
            return None
        call = Call(json.loads(body))
        if call.body["params"].get("context") is None:
            return None
        if not self._is_closed:
            call.released.set()
        with self._came:
            self.calls.append(call)
            self._came.notify_all()
        return call


def _make_handler(gate: Gate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            answer = gate.answer(self.command, self.path, dict(self.headers), self.rfile.read(length))
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_HEADERS:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
