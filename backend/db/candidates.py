"""Candidates of an answer as bytes: several times smaller than their JSON, and equal to it when they are read.

Most of an answer are the run lengths of its masks and the numbers of its scores. Names, ranks and boxes follow from the rest, so they
are not written; what does not follow is written as JSON.
"""

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from pycocotools import mask as coco

_COMPACT, _PLAIN = b"\x01", b"\x00"
"""The first byte says how the rest is written."""
_LENGTH = struct.Struct("<I")

Candidate = Mapping[str, Any]


class Candidates(sa.types.TypeDecorator[list[Any]]):
    """A column of `records.Answer.candidates`."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Sequence[Candidate] | None, dialect: sa.Dialect) -> bytes | None:
        """As `encode`."""
        return None if value is None else encode(value)

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> list[Any] | None:
        """As `decode`."""
        return None if value is None else decode(value)


def encode(candidates: Sequence[Candidate]) -> bytes:
    """Candidates as bytes."""
    try:
        packed = _COMPACT + _pack(candidates)
        if decode(packed) == list(candidates):
            return packed
    except (KeyError, TypeError, ValueError, AttributeError):
        pass  # not as `list_candidates` makes them: an older version's, or a test's
    return _PLAIN + zlib.compress(json.dumps(list(candidates), separators=(",", ":")).encode(), 9)


def decode(content: bytes) -> list[dict[str, Any]]:
    """What `encode` was given.

    Raises:
        ValueError: If the bytes are damaged, or a newer version wrote them.
    """
    kind, rest = content[:1], content[1:]
    if kind == _COMPACT:
        return _unpack(rest)
    if kind == _PLAIN:
        plain: list[dict[str, Any]] = json.loads(zlib.decompress(rest))
        return plain
    raise ValueError(f"Candidates begin with {kind!r}; a newer version wrote them.")


def _pack(candidates: Sequence[Candidate]) -> bytes:
    names = sorted({name for one in candidates for name in one["parts"]})
    size = candidates[0]["mask"]["size"] if candidates else [0, 0]
    numbers = np.array(
        [[one["score"], *(one["parts"].get(name, np.nan) for name in names)] for one in candidates], np.float64
    )
    columns = [_narrow(column) for column in numbers.T]
    kinds = "".join(column.dtype.char for column in columns)
    counts = [one["mask"]["counts"] for one in candidates]
    header = json.dumps([names, kinds, size, counts], separators=(",", ":")).encode()
    body = b"".join(column.tobytes() for column in columns)
    return zlib.compress(_LENGTH.pack(len(header)) + header + body, 9)


def _narrow(column: np.ndarray) -> np.ndarray:
    """A column in half the bytes, if that loses nothing: what models give has 32 bits."""
    with np.errstate(over="ignore"):
        narrow = column.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float64), column, equal_nan=True) else column


def _unpack(content: bytes) -> list[dict[str, Any]]:
    whole = zlib.decompress(content)
    (length,) = _LENGTH.unpack_from(whole)
    begin = _LENGTH.size + length
    names, kinds, size, counts = json.loads(whole[_LENGTH.size : begin])
    columns = []
    for kind in kinds:
        columns.append(np.frombuffer(whole, kind, len(counts), begin).tolist())
        begin += np.dtype(kind).itemsize * len(counts)
    numbers = list(zip(*columns, strict=True))
    masks = [{"size": list(size), "counts": one} for one in counts]
    return [
        {
            "rank": i + 1,
            "score": score,
            "bbox_xywh": coco.toBbox({"size": size, "counts": mask["counts"].encode("ascii")}).tolist(),
            "mask": mask,
            "parts": {name: part for name, part in zip(names, parts, strict=True) if part == part},
        }
        for i, (mask, (score, *parts)) in enumerate(zip(masks, numbers, strict=True))
    ]
