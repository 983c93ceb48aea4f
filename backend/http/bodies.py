"""What callers send, read within bounds: bytes, seconds, nesting, and only what a database can keep."""

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
"""Objects and lists in one another. Far below what Python can write again: what is read must be storable."""

_INT64 = range(-(2**63), 2**63)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""Zero characters, which PostgreSQL refuses, and halves of surrogate pairs, which are no UTF-8."""


class TooLarge(BadInput):
    """A body over its limit."""


class TooSlow(BadInput):
    """A body that does not come to an end."""


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
        limiter: Of the threads that parse: what is large takes a while.

    Raises:
        BadInput: If it is no JSON, or nested more than `MAX_DEPTH` deep.
        TooLarge, TooSlow: As `read_body`.
    """
    raw = await read_body(request, limit_bytes)
    return await anyio.to_thread.run_sync(_parse, raw, limiter=limiter)


def _parse(raw: bytearray) -> Any:
    try:
        return _make_storable(protocol.parse_json(raw), MAX_DEPTH)
    except ValueError as error:
        raise BadInput(f"The body is not JSON ({reason_of(error)}). Send what Label Studio sends.") from error


def _make_storable(found: Any, depth_left: int) -> Any:
    """The same JSON with the replacement character for what is no text, text for endless numbers, null for NaN and infinity."""
    if isinstance(found, str):
        return found if found.isascii() and "\0" not in found else _UNSTORABLE.sub("\ufffd", found)
    if isinstance(found, int):
        return found if found in _INT64 else str(found)
    if isinstance(found, float):
        return found if math.isfinite(found) else None
    if not isinstance(found, dict | list):
        return found
    if not depth_left:
        raise BadInput(f"The body is nested more than {MAX_DEPTH} deep. Send what Label Studio sends.")
    if isinstance(found, list):
        return [_make_storable(value, depth_left - 1) for value in found]
    return {_make_storable(key, depth_left - 1): _make_storable(value, depth_left - 1) for key, value in found.items()}
