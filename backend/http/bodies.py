"""Request bodies, read within limits of size, time and nesting, and made storable in a database."""

import math
import re
from typing import Any

import anyio
from anyio import CapacityLimiter
from fastapi import Request

from backend.base.redaction import reason_of
from backend.label_studio import protocol
from ris_core.errors import BadInput

BODY_TIMEOUT_S = 90.0
"""How long a body may take to come in; Label Studio itself gives up on /predict after 100 s."""
MAX_DEPTH = 100
"""Nested objects and lists. Python's encoder fails at about 1000, and what is read must be written again."""

_INT64 = range(-(2**63), 2**63)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL, which PostgreSQL refuses, and lone surrogates, which UTF-8 cannot hold."""


class TooLarge(BadInput):
    """A body over its limit."""


class TooSlow(BadInput):
    """A body that is not complete in time."""


async def read_body(request: Request, limit_bytes: int) -> bytearray:
    """The body as it came.

    Raises:
        TooLarge: If it has more bytes than the limit; the rest is not read.
        TooSlow: If it takes longer than `BODY_TIMEOUT_S`.
    """
    body = bytearray()
    with anyio.move_on_after(BODY_TIMEOUT_S) as patience:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                raise TooLarge(f"The body has more than {limit_bytes} bytes. Select fewer tasks at once.")
    if patience.cancelled_caught:
        raise TooSlow(f"The body was not complete after {BODY_TIMEOUT_S:.0f} s. Select fewer tasks at once.")
    return body


async def read_json(request: Request, limit_bytes: int, limiter: CapacityLimiter) -> Any:
    """The body as JSON that can be stored.

    Args:
        limiter: Of the threads that parse; large bodies take seconds.

    Raises:
        BadInput: If it is not JSON, or nested more than `MAX_DEPTH` deep.
        TooLarge, TooSlow: As `read_body`.
    """
    raw = await read_body(request, limit_bytes)
    return await anyio.to_thread.run_sync(_parse, raw, limiter=limiter)


def _parse(raw: bytearray) -> Any:
    try:
        return _make_storable(protocol.parse_json(raw), MAX_DEPTH)
    except ValueError as error:
        raise BadInput(f"The body is not JSON ({reason_of(error)}). Send what Label Studio sends.") from error


def _make_storable(value: Any, depth_left: int) -> Any:
    """The same JSON with U+FFFD for characters that cannot be stored, text for integers over 64 bits, null for NaN and infinity."""
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, int):
        return value if value in _INT64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, dict | list):
        return value
    if not depth_left:
        raise BadInput(f"The body is nested more than {MAX_DEPTH} deep. Send what Label Studio sends.")
    if isinstance(value, list):
        return [_make_storable(value, depth_left - 1) for value in value]
    return {_make_storable(key, depth_left - 1): _make_storable(value, depth_left - 1) for key, value in value.items()}
