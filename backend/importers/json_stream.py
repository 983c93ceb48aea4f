"""Large JSON files, element by element: COCO's annotations take gigabytes as Python values.

The file is checked as it is read: the parser's memory grows with the square of the depth, and a value is in memory whole.
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson
import numpy as np

from backend.base.redaction import reason_of
from ris_core.errors import BadInput

MAX_DEPTH = 100
"""Arrays and objects in each other; COCO's files have 5."""
MAX_BYTES = 64 << 20
"""Of an element as text. The run lengths of 12 megapixels of noise take a third of it."""
ELEMENT_DEPTH = 2
"""Depth of what separates elements: an array that is a member of an object."""
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STEP = np.zeros(256, np.int32)
_STEP[[*b"[{"]], _STEP[[*b"]}"]] = 1, -1
_SEPARATES = np.isin(np.arange(256), [*b"[]{},: \t\r\n"])


def read_elements(file: Path, member: str) -> Iterator[Any]:
    """The elements of an array that is a member of a JSON object, in the file's order; none if there is no such member.

    Raises:
        BadInput: If the file cannot be read, is no JSON, is nested too deep, or has too large an element.
    """
    try:
        with file.open("rb") as stream:
            if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                stream.seek(0)
            yield from ijson.items(_CheckedStream(stream, file), f"{member}.item", use_float=True)
    except OSError as error:
        raise BadInput(f"The file {file} cannot be read ({error.strerror}).", "Check --root.") from error
    except (ijson.JSONError, ValueError) as error:
        raise BadInput(f"The file {file} is no JSON ({reason_of(error)}).", "Get it again.") from error


class _CheckedStream:
    """The bytes of a JSON file, refused where they would take memory without end."""

    def __init__(self, stream: BinaryIO, file: Path) -> None:
        self._stream, self._file = stream, file
        self._depth = 0
        self._is_text = False
        self._is_escape = False
        self._since = 0
        """Bytes since what separates elements came last."""

    def read(self, size: int) -> bytes:
        """The next bytes.

        Raises:
            BadInput: If they are too deep, or of too large an element.
        """
        content = self._stream.read(size)
        if content:
            self._check(content)
        return content

    def _check(self, content: bytes) -> None:
        known = _ESCAPED.sub(b"  ", b"\\" * self._is_escape + content)[self._is_escape :]
        self._is_escape = known.endswith(b"\\")
        signs = np.frombuffer(known, np.uint8)
        is_text = np.logical_xor.accumulate(signs == ord('"')) ^ self._is_text
        depths = np.cumsum(np.where(is_text, 0, _STEP[signs]), dtype=np.int32) + self._depth
        if depths.max() > MAX_DEPTH:
            raise BadInput(
                f"The file {self._file} is nested more than {MAX_DEPTH} deep.",
                "No data set has such a depth; get it again.",
            )
        separators = np.flatnonzero(~is_text & _SEPARATES[signs] & (depths <= ELEMENT_DEPTH))
        gaps = np.diff(separators, prepend=-self._since, append=len(signs))
        if gaps.max() > MAX_BYTES:
            raise BadInput(
                f"The file {self._file} has a value of more than {MAX_BYTES:,} bytes.", "Get a file of smaller values."
            )
        self._since = int(gaps[-1])
        self._depth, self._is_text = int(depths[-1]), bool(is_text[-1])
