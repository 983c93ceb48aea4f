"""Reading pickles of foreign data sets: plain values only, so that nothing in a file can run."""

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

from ris_core.errors import BadInput

HARMLESS = {(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset)}
"""What a pickle may name. Everything else that data sets hold (dict, list, str, int, float, None) needs no name."""

DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)
"""What the unpickler raises on files that are cut or are no pickles."""


def load(file: Path) -> Any:
    """The plain values of a pickle, of Python 2 or 3.

    Strings of Python 2 are read as UTF-8, and if that fails anywhere, all as Latin-1.

    Raises:
        BadInput: If the file is missing, damaged, names a class or function, or would take memory without end.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"The file {file} cannot be read ({error.strerror}). Check the path.") from error
    try:
        _check_numbers(content, file)
        try:
            return _Unpickler(content, "utf-8").load()
        except UnicodeDecodeError:
            return _Unpickler(content, "latin1").load()
    except _Refused as refused:
        raise BadInput(
            f"The pickle {file} names {refused}, which could run code. Only dicts, lists, strings and numbers are read; "
            "get the original file."
        ) from refused
    except DAMAGE as error:
        raise BadInput(f"The file {file} is no whole pickle ({error}). Get it again.") from error


def _check_numbers(content: bytes, file: Path) -> None:
    """Refuse numbers of values that no writer gives: the unpickler takes memory for all numbers up to the largest."""
    for opcode, number, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT") and isinstance(number, int) and number > len(content):
            raise BadInput(
                f"The pickle {file} numbers a value {number}, of {len(content)} bytes. Get the original file."
            )


class _Refused(Exception):
    """A pickle names something else than plain values."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, encoding: str) -> None:
        super().__init__(io.BytesIO(content), encoding=encoding)

    def find_class(self, module: str, name: str) -> Any:
        """Give the few harmless types, refuse all others."""
        try:
            return HARMLESS[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None
