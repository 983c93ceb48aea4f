"""The folder of a data set: it appears whole or not at all, and replaces nothing but an unchanged data set of an export.

A new data set is written to a hidden folder beside its final path and renamed at the end. A data set that is replaced is renamed
to another hidden folder and deleted from there.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.exporters.manifest import check_unchanged, read_manifest, write_manifest
from backend.exporters.reporting import Report, keep_quiet
from backend.exporters.staging import DATA, list_stagings, locked, make_staging, remove_if_empty, remove_staging
from ris_core.errors import BadInput


@contextmanager
def new_folder(
    path: Path, is_replaced: bool, about: Mapping[str, Any] | None = None, report: Report = keep_quiet
) -> Iterator[Path]:
    """A folder that is renamed to `path` at the end. What a killed export left beside `path` is deleted first.

    Args:
        is_replaced: An unchanged data set at `path` may be replaced.
        about: Entries of the manifest that say what it was made from; read at the end.
        report: Told of each file that is hashed.

    Raises:
        BadInput: If `path` exists and is not to be replaced, or another export writes there.
        OSError: If the folder cannot be written.
    """
    final = Path(os.path.abspath(path))
    check_path(final, is_replaced)
    final.parent.mkdir(parents=True, exist_ok=True)
    with locked(final):
        if _clean_up(final):
            check_path(final, is_replaced)
        staging = make_staging(final, "part")
        try:
            folder = staging / DATA
            folder.mkdir()
            yield folder
            write_manifest(folder, about, report)
            check_path(
                final, is_replaced
            )  # again: an export takes minutes, and somebody may have used the path meanwhile
            _move_to(final, folder)
        finally:
            remove_staging(staging)


def check_path(path: Path, is_replaced: bool) -> None:
    """Check that a data set may be written to a path.

    Raises:
        BadInput: If something is there; with `is_replaced`, if it is anything but an unchanged data set.
    """
    if not os.path.lexists(path):
        return
    if not is_replaced:
        raise BadInput(f"{path} exists already. Name another folder, or give --replace.")
    if path.is_symlink() or not path.is_dir():
        kind = "a link" if path.is_symlink() else "not a folder"
        raise BadInput(f"{path} is {kind}, so it is not replaced. Move it away, or name another folder.")
    check_unchanged(path)


def _move_to(final: Path, folder: Path) -> None:
    """Rename a whole data set to its final path; the data set that was there is deleted, file by file of its manifest."""
    if not os.path.lexists(final):
        os.rename(folder, final)
        return
    staging = make_staging(final, "old")
    old = staging / DATA
    try:
        os.rename(final, old)
        try:
            os.rename(folder, final)
        except BaseException:
            os.rename(old, final)
            raise
    finally:
        _remove_old(staging)


def _remove_old(staging: Path) -> None:
    """Delete a replaced data set; files that somebody added at the last moment stay."""
    old = staging / DATA
    for name in read_manifest(old) or {} if old.is_dir() else ():
        if (old / name).is_symlink() or (old / name).is_file():
            (old / name).unlink()
    for folder, _, _ in os.walk(old, topdown=False):
        remove_if_empty(Path(folder))
    if not old.exists():
        remove_staging(staging)


def _clean_up(final: Path) -> bool:
    """Delete what killed exports left beside a path; whether a data set that one was about to replace is back at the path.

    No export is writing there: the caller holds the lock.
    """
    is_back = False
    for staging in list(list_stagings(final)):
        if not staging.name.endswith(".old"):
            remove_staging(staging)
            continue
        if not os.path.lexists(final) and (staging / DATA).is_dir():
            os.rename(staging / DATA, final)  # killed between the two renames
            is_back = True
        _remove_old(staging)
    return is_back
