"""A client of Redis with our time limits, and our own errors in place of redis-py's."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from backend.base.errors import Unreachable
from backend.base.redaction import reason_of

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 15.0
"""Longest silence of Redis; longer than the longest single wait inside Redis, `queueing.BLOCK_S`."""
_MAX_CONNECTIONS = 2**31
"""No limit: each waiting thread holds one connection, and whoever starts threads limits their number. An exhausted pool (redis-py's own
limit is 100) would look like a Redis that does not answer."""


def connect(redis_url: str) -> redis.Redis:
    """A client of Redis; connects when it is first used, and again when the connection was lost.

    Args:
        redis_url: redis://, rediss:// or unix://.

    Raises:
        Unreachable: If the URL is not one.
    """
    try:
        return redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            max_connections=_MAX_CONNECTIONS,
        )
    except ValueError as error:
        raise Unreachable(
            f"REDIS_URL cannot be used ({reason_of(error)}).", "Give redis://host:6379/0 or unix:///folder/redis.sock."
        ) from error


def ping(conn: redis.Redis) -> None:
    """Return if Redis answers.

    Raises:
        Unreachable: If it does not.
    """
    with translate_errors():
        conn.ping()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise `Unreachable` where redis-py raises an error of its own."""
    try:
        yield
    except redis.exceptions.BusyLoadingError as error:
        raise Unreachable("Redis is still loading its file.", "Wait a moment, then try again.") from error
    except (
        redis.exceptions.ConnectionError,
        redis.exceptions.TimeoutError,
        redis.exceptions.ResponseError,  # its disk or memory is full
    ) as error:
        raise Unreachable(
            f"Redis does not answer ({reason_of(error)}).", "Check REDIS_URL, or start everything with `make up`."
        ) from error
