"""Hidden folders beside a data set, for what is being written and what is being replaced, and the lock on them.

Each has a marker file that names the program and the data set. A folder or lock of the same name without the marker belongs to
somebody else and is left alone.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from backend.exporters.manifest import PROGRAM
from ris_core.errors import BadInput

DATA = "data"
"""Folder of the data set inside a staging folder."""
_MARKER = ".made-by-label-studio-ris"
_TRIES = 100

Kind = Literal["part", "old"]
"""A staging folder's use: a data set being written, or one being replaced."""


@contextmanager
def locked(final: Path) -> Iterator[None]:
    """Hold the lock of a data set's path: one export at a time writes there. The lock file is deleted only if an export made it.

    Raises:
        BadInput: If another export holds the lock.
    """
    file = final.with_name(f".{final.name}.lock")
    marker = _marker_of(final).encode()
    lock = _open_lock(file, marker)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # whoever held the lock may have deleted the file after we opened it: then we hold the lock of no file
            is_held = not os.path.samestat(os.fstat(lock), os.stat(file))
        except (BlockingIOError, FileNotFoundError):
            is_held = True
        if is_held:
            raise BadInput(f"Another export writes to {final}. Wait until it ends, or name another folder.")
        try:
            yield
        finally:
            if os.pread(lock, len(marker) + 1, 0) == marker:
                file.unlink(missing_ok=True)
    finally:
        os.close(lock)


def make_staging(final: Path, kind: Kind) -> Path:
    """Make a staging folder with its marker beside a data set's path.

    Raises:
        BadInput: If all names for it are taken.
    """
    for number in range(_TRIES):
        staging = final.with_name(f".{final.name}.{f'{number}.' if number else ''}{kind}")
        try:
            staging.mkdir(mode=0o700)
        except FileExistsError:
            continue  # somebody else's
        (staging / _MARKER).write_text(_marker_of(final), encoding="utf-8")
        return staging
    raise BadInput(f"{final.parent} is full of folders named .{final.name}.…{kind}. Move them away.")


def list_stagings(final: Path) -> Iterator[Path]:
    """The staging folders of a data set's path that have its marker."""
    for folder in final.parent.glob(f".{_escape_glob(final.name)}.*"):
        marker = folder / _MARKER
        if folder.is_symlink() or not folder.is_dir() or marker.is_symlink() or not marker.is_file():
            continue
        if marker.read_bytes() == _marker_of(final).encode():
            yield folder


def remove_staging(staging: Path) -> None:
    """Delete a staging folder and its content; the marker last, so that an interrupted deletion can be continued."""
    shutil.rmtree(staging / DATA, ignore_errors=True)
    if not (staging / DATA).exists():
        (staging / _MARKER).unlink(missing_ok=True)
        remove_if_empty(staging)


def remove_if_empty(folder: Path) -> None:
    """Delete a folder, unless somebody put something into it."""
    try:
        folder.rmdir()
    except OSError:
        return


def _open_lock(file: Path, marker: bytes) -> int:
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        try:
            return os.open(file, os.O_RDWR | os.O_NOFOLLOW)
        except OSError as error:
            raise BadInput(
                f"{file} cannot be locked ({error.strerror}). Move it away, or name another folder."
            ) from error
    os.write(lock, marker)
    return lock


def _marker_of(final: Path) -> str:
    # these bytes must not change: folders and locks of killed exports of older versions are recognised by them
    return f"{PROGRAM}: an export to {final.name!a} is on its way, or was killed.\n"


def _escape_glob(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
