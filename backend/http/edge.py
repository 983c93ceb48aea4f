"""Between the network and the app: which host names are accepted, and how long headers and bodies may take.

uvicorn does neither: it waits for headers without a limit, and accepts every name. Logins are checked in the app.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any

import h11
import structlog
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from backend.http.bodies import BODY_TIMEOUT_S
from backend.settings.environment import Settings

log = structlog.get_logger(__name__)

HEAD_TIMEOUT_S = 10.0
"""How long the headers of a request may take, from the connection's first moment or the request's first byte."""
BODY_GRACE_S = 5.0
"""How much longer than `BODY_TIMEOUT_S` a body may hold a connection; within it the app has answered 408."""
EVERY_HOST = "*"
_OWN_NAMES = ("localhost", "host.docker.internal", "gateway.docker.internal", "host.containers.internal")
"""Names of this machine, and those by which containers on it call it."""


class HostCheck:
    """Answers 400 to requests whose `Host` is not a name of this server.

    A page in a browser can point its own name at this machine's loopback and then read the answers (DNS rebinding). IP
    addresses are always accepted: they cannot be pointed elsewhere.

    Args:
        names: Names to accept besides those of this machine; `EVERY_HOST` among them accepts all.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = {*map(str.lower, names), *_OWN_NAMES, socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        host = next((value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"host"), "")
        if scope["type"] != "http" or self._is_accepted(host):
            await self._app(scope, receive, send)
            return
        log.warning("refused: another host", host=host, path=scope["path"])
        message = f"This server is not called {host[:80]!r}. Set ALLOWED_HOSTS if it is."
        await JSONResponse({"error": "BadHost", "message": message}, 400)(scope, receive, send)

    def _is_accepted(self, host: str) -> bool:
        name = re.sub(r":\d*$", "", host).lower().removesuffix(".")
        is_known = EVERY_HOST in self._names or name in self._names or name.endswith(".localhost")
        return not name or is_known or _is_address(name)  # HTTP/1.0 has no Host


class PunctualProtocol(H11Protocol):
    """uvicorn's protocol that also closes connections whose headers or body are not complete in time."""

    _timer: asyncio.TimerHandle | None = None
    _awaits: object = None  # h11's state of the caller that the timer is for

    def connection_made(self, transport: Any) -> None:
        """A caller connected: wait for its first request."""
        super().connection_made(transport)
        self._set_timer()

    def data_received(self, data: bytes) -> None:
        """Bytes came: perhaps the end of headers or body, or the beginning of another request."""
        super().data_received(data)
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller left."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """A request was answered; the rest of its body, or another request, may still come."""
        super().on_response_complete()
        self._set_timer()

    def _set_timer(self) -> None:
        """Start the deadline of the part that is awaited, unless it runs already: single bytes do not renew it."""
        state = self.conn.their_state
        if state is self._awaits:
            return
        self._stop_timer()
        self._awaits = state
        limits = {h11.IDLE: HEAD_TIMEOUT_S, h11.SEND_BODY: BODY_TIMEOUT_S + BODY_GRACE_S}
        if state in limits:
            self._timer = self.loop.call_later(limits[state], self._give_up)

    def _stop_timer(self) -> None:
        self._awaits = None
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        log.info("a caller was too slow", client=self.client[0] if self.client else None)
        self.transport.close()


def guard(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The app behind a check of host names, where that protects something: without a login, or if names are set."""
    if settings.has_credentials and not settings.allowed_hosts:
        return app
    return HostCheck(app, (settings.host, *settings.allowed_hosts))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
