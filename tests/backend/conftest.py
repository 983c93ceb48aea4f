"""Real HTTP servers on loopback."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from backend.settings.environment import Settings


@pytest.fixture
def no_settings(monkeypatch, tmp_path):
    """No setting of the machine, no .env of the folder."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        for name in field.validation_alias.choices:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve():
    """Starts servers: `serve(answer)` with `answer(request) -> (status, headers, body)`; returns url and requests seen."""
    servers = []

    def start(answer: Callable):
        seen = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                request = SimpleNamespace(
                    method=self.command,
                    path=self.path,
                    headers=dict(self.headers.items()),
                    body=self.rfile.read(length),
                )
                seen.append(request)
                status, headers, body = answer(request)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if isinstance(body, bytes):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    for chunk in [body] if isinstance(body, bytes) else body:
                        self.wfile.write(chunk)
                except OSError:
                    pass  # the client had enough

            do_POST = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", port=server.server_port, seen=seen)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
