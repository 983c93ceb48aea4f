"""Bodies in bounds, as an ASGI server hands them over."""

import anyio
import pytest
from anyio import CapacityLimiter
from fastapi import Request
from starlette.requests import ClientDisconnect

from backend.http import bodies
from backend.http.bodies import MAX_DEPTH, TooLarge, TooSlow, read_body, read_json
from ris_core.errors import BadInput


def request_of(*chunks: bytes, pause_s: float = 0.0, is_complete: bool = True) -> Request:
    """A request whose body comes in these chunks, with a pause before each."""
    left = list(chunks)

    async def receive() -> dict:
        await anyio.sleep(pause_s)
        if not left and not is_complete:
            return {"type": "http.disconnect"}
        chunk = left.pop(0) if left else b""
        return {"type": "http.request", "body": chunk, "more_body": bool(left) or not is_complete}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


def read(raw: bytes):
    async def run():
        return await read_json(request_of(raw), 10_000, CapacityLimiter(1))

    return anyio.run(run)


def test_chunks_make_a_body():
    assert anyio.run(read_body, request_of(b"a", b"", b"bc"), 3) == b"abc"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (request_of(b"ab", b"cd"), TooLarge),
        (request_of(b"a", b"b", pause_s=0.1), TooSlow),
        (request_of(b"a", is_complete=False), ClientDisconnect),
    ],
    ids=["too large", "too slow", "the caller left"],
)
def test_a_body_that_does_not_come_to_an_end_in_bounds(monkeypatch, request_, error):
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.15)
    with pytest.raises(error):
        anyio.run(read_body, request_, 3)


STORABLE = {
    "text": (b'"a\\ud83d\\ude00"', "a\U0001f600"),
    "half a pair": (b'"a\\ud83d"', "a\ufffd"),
    "half a pair as bytes": (b'"a\xed\xa0\xbd"', "a\ufffd"),
    "zero character": (b'"a\\u0000"', "a\ufffd"),
    "key": (b'{"\\udead": [1, true, null]}', {"\ufffd": [1, True, None]}),
    "63 bits": (b"[9223372036854775807, -9223372036854775808]", [2**63 - 1, -(2**63)]),
    "64 bits": (b"[9223372036854775808]", ["9223372036854775808"]),
    "no numbers": (b"[NaN, Infinity, -1e999, 1.5]", [None, None, None, 1.5]),
}


@pytest.mark.parametrize(("raw", "expected"), STORABLE.values(), ids=STORABLE)
def test_what_is_read_can_be_stored(raw, expected):
    assert read(raw) == expected


def test_what_is_nested_within_bounds_is_read():
    found = read(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        [found] = found
    assert found == []


@pytest.mark.parametrize("raw", [b"[" * 101 + b"]" * 101, b"{", b"", b"\xff", b"9" * 5000], ids=lambda raw: raw[:3])
def test_what_cannot_be_read_is_bad_input(raw):
    with pytest.raises(BadInput, match="Send what Label Studio sends"):
        read(raw)
