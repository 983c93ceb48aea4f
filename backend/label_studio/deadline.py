"""One span of time over everything that an HTTP request does: look-up, connection, TLS, headers and body, redirects included.

A client's own timeouts count each wait by itself, so a server that sends a byte now and then is never given up.
"""

import math
import queue
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

from backend.base.redaction import reason_of

_ends_at: ContextVar[float] = ContextVar("ends_at", default=math.inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let the requests of this block end in time, if their clients are made by `client.make_http`; the sooner one counts.

    What takes longer raises one of httpx's timeouts.
    """
    token = _ends_at.set(min(_ends_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ends_at.reset(token)


def is_over() -> bool:
    """Whether the time of the block is up."""
    return time.monotonic() >= _ends_at.get()


def look_up(host: str, port: int) -> list[str]:
    """IP addresses of a host, in the system's order.

    Raises:
        OSError: If there are none, or the time is up.
        UnicodeError: If it is no name.
    """
    left = _ends_at.get() - time.monotonic()
    if math.isinf(left):
        return _ask_system(host, port)
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_ask_system(host, port))
        except (OSError, ValueError) as error:
            answers.put(error)

    # a look-up cannot be interrupted: its thread is left to itself
    threading.Thread(target=ask, name=f"look up {host}", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, left))
    except queue.Empty:
        raise TimeoutError("the look-up takes too long") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's own, whose every wait ends with the block of `within`."""

    def __init__(self, verify: SSLContext, limits: httpx.Limits) -> None:
        super().__init__(verify=verify, trust_env=False, limits=limits)
        self._pool = httpcore.ConnectionPool(
            ssl_context=verify,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Backend(),
        )


class _Backend(httpcore.SyncBackend):
    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any) -> "_Stream":
        if math.isinf(_ends_at.get()):
            return _Stream(super().connect_tcp(host, port, timeout, *args, **kwargs))
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        try:
            addresses = look_up(host, port)
        except (OSError, UnicodeError) as error:
            kind = httpcore.ConnectTimeout if isinstance(error, TimeoutError) else httpcore.ConnectError
            raise kind(reason_of(error)) from error
        for address in addresses:
            try:
                left = _left(timeout, httpcore.ConnectTimeout)
                return _Stream(super().connect_tcp(address, port, left, *args, **kwargs))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_Stream":
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, kind: type[Exception]) -> float | None:
    left = _ends_at.get() - time.monotonic()
    if left <= 0:
        raise kind("the time is up")
    return timeout if math.isinf(left) else min(left, timeout if timeout is not None else math.inf)


def _ask_system(host: str, port: int) -> list[str]:
    addresses: Iterable[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in addresses))
