"""Large JSON files, element by element: COCO's annotations take gigabytes as Python values."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ris_core.errors import BadInput

CHUNK = 1 << 16
"""Characters that are read at a time; twice as many each time that one value needs more."""
_BLANK = " \t\r\n"
_DECODER = json.JSONDecoder()


def read_elements(file: Path) -> Iterator[tuple[str, Any]]:
    """The elements of the arrays in a JSON object, each with the array's name, in the file's order; other members are skipped.

    Raises:
        BadInput: If the file cannot be read, or is no JSON object.
    """
    try:
        with file.open(encoding="utf-8-sig") as stream:
            yield from _read_members(_Buffer(stream))
    except OSError as error:
        raise BadInput(f"The file {file} cannot be read ({error.strerror}).", "Check --root.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The file {file} is no JSON object ({error}).", "Get it again.") from error


def _read_members(buffer: "_Buffer") -> Iterator[tuple[str, Any]]:
    buffer.take("{")
    is_first = True
    while not buffer.has("}"):
        if not is_first:
            buffer.take(",")
        is_first = False
        name = buffer.value()
        if not isinstance(name, str):
            raise ValueError(f"{str(name)[:40]!r} where the name of a member belongs")
        buffer.take(":")
        if not buffer.has("["):
            buffer.value()
            continue
        is_empty = True
        while not buffer.has("]"):
            if not is_empty:
                buffer.take(",")
            is_empty = False
            yield name, buffer.value()
    buffer.end()


class _Buffer:
    """The part of a text that is looked at."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._text, self._at, self._is_whole = stream, "", 0, False

    def has(self, sign: str) -> bool:
        """Whether a sign is next; it is taken then."""
        if self._next() != sign:
            return False
        self._at += 1
        return True

    def take(self, sign: str) -> None:
        """Take a sign that must be next."""
        if not self.has(sign):
            raise ValueError(f"{self._next()!r} where {sign!r} belongs")

    def value(self) -> Any:
        """Take a value."""
        self._next()
        size = CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                if self._is_whole:
                    raise
            else:
                if end < len(self._text) or self._is_whole:  # a number may go on in what is not read yet
                    self._at = end
                    return value
            self._fill(size)
            size *= 2

    def end(self) -> None:
        """Look that nothing follows."""
        if rest := self._next():
            raise ValueError(f"{rest!r} after the object")

    def _next(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._text) or self._is_whole:
                return self._text[self._at : self._at + 1]
            self._fill(CHUNK)

    def _fill(self, size: int) -> None:
        more = self._stream.read(size)
        self._is_whole = not more
        self._text, self._at = self._text[self._at :] + more, 0
