"""Names from data as names of files: made safe by refusing, never by changing, and kept inside their folder."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from ris_core.errors import BadInput

LONGEST_BYTES = 100
"""Of a part of a file's name, in UTF-8; file systems take 255 for the whole."""
_SHOWN = 60
"""Characters of a refused name that a message shows."""
_FORBIDDEN = frozenset('/\\:*?"<>|')
"""Parts of paths, or refused by some file systems."""
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
"""Names of devices on Windows, whatever their ending."""


def check_name(name: str, what: str) -> str:
    """A name that may stand in the name of a file, as it was given.

    Args:
        what: What it names and where it comes from, for the message: "The split of task 7".

    Raises:
        BadInput: If it is empty, too long, holds a separator or what does not print, or means something to a file system.
    """
    if why := _why_not(name):
        excerpt = repr(name[:_SHOWN]) + "…" * (len(name) > _SHOWN)
        raise BadInput(f"{what} is {excerpt}, which cannot be the name of a file: {why}.", "Give it a plain name.")
    return name


def check_distinct(names: Iterable[str], what: str) -> None:
    """Look that no two names are the same file where letters of both cases, or of several encodings, are one.

    Raises:
        BadInput: If two are.
    """
    by_folded_name: dict[str, str] = {}
    for name in sorted(set(names)):
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        if by_folded_name.setdefault(folded, name) != name:
            raise BadInput(
                f"{what} {by_folded_name[folded]!a} and {name!a} would be the same file on some disks.",
                "Rename one of them.",
            )


def inside(folder: Path, name: str, what: str) -> Path:
    """The file of a name that may have folders in it, below a folder.

    Args:
        what: As of `check_name`.

    Raises:
        BadInput: If it would lie elsewhere.
    """
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or not set(parts).isdisjoint(("", ".", "..")):
        raise BadInput(
            f"{what} is {name[:_SHOWN]!r}, which is no file below {folder}.", "Correct it where it comes from."
        )
    return folder.joinpath(*parts)


def _why_not(name: str) -> str:
    """Why a name cannot be one of a file; empty if it can."""
    if not name.strip():
        return "it is empty"
    if bad := _FORBIDDEN & set(name):
        return f"it holds {' '.join(sorted(bad))}"
    if not name.isprintable():
        return "it holds characters that do not print"
    if name[0] in ".-~ " or name[-1] in ". ":
        return f"it {'begins' if name[0] in '.-~ ' else 'ends'} with {name[0] if name[0] in '.-~ ' else name[-1]!r}"
    if len(name.encode()) > LONGEST_BYTES:
        return f"it has more than {LONGEST_BYTES} bytes"
    return "it is the name of a device on Windows" if _RESERVED.fullmatch(name) else ""
