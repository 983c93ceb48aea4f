"""A data set's folder: whole under its name or not at all, and in the place of nothing but a data set that an export wrote.

`manifest.json` lists what an export wrote, with the sha256 of each file. Only a folder that holds nothing else, each file as it
was written, is replaced. What is on its way lies in a folder beside it that says whose it is, and so does what is replaced until
it is deleted; folders of the same names that do not say so are left alone.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ris_core.errors import BadInput

MANIFEST = "manifest.json"
CARD = "README.md"
MADE_BY = "label-studio-ris"
SHOWN = 3
"""Files that a refusal names."""
_MARK = ".made-by-label-studio-ris"
"""File in a folder beside the data set that says whose it is, and of which data set."""
_DATA = "data"
_TRIES = 100


@contextmanager
def new_folder(place: Path, is_replaced: bool) -> Iterator[Path]:
    """A folder beside a place that takes it in the end; what a killed export left there is swept away.

    Args:
        is_replaced: What is there may be replaced, if it is a data set that an export wrote and nobody changed.

    Raises:
        BadInput: If the place is taken, or another export writes there.
        OSError: If the folder cannot be written.
    """
    final = Path(os.path.abspath(place))
    check_place(final, is_replaced)
    final.parent.mkdir(parents=True, exist_ok=True)
    with _locked(final):
        if _sweep(final):
            check_place(final, is_replaced)
        holder = _make_holder(final, "part")
        try:
            part = holder / _DATA
            part.mkdir()
            yield part
            _write_manifest(part)
            check_place(final, is_replaced)
            _take_place(part, final)
        finally:
            _remove_holder(holder)


def check_place(place: Path, is_replaced: bool) -> None:
    """Look whether a data set may be written to a place.

    Raises:
        BadInput: If it is taken by anything, or, where it may be replaced, by anything but an unchanged data set.
    """
    if not os.path.lexists(place):
        return
    if not is_replaced:
        raise BadInput(f"{place} exists already. Name another folder, or give --replace.")
    if place.is_symlink() or not place.is_dir():
        kind = "a link" if place.is_symlink() else "not a folder"
        raise BadInput(f"{place} is {kind}, so it is not replaced. Move it away, or name another folder.")
    listed = _read_manifest(place)
    if listed is None:
        raise BadInput(
            f"{place} is not replaced: no export of this version wrote it, for it has no {MANIFEST} of one. "
            "Move it away, or name another folder."
        )
    found = _list_files(place)
    strange = sorted(found - listed.keys())
    changed = [name for name in sorted(found & listed.keys()) if _digest(place / name) != listed[name]]
    for names, what in ((strange, "holds what no export wrote"), (changed, "was changed since it was written")):
        if names:
            some = ", ".join(map(ascii, names[:SHOWN])) + (
                f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            )
            raise BadInput(f"{place} is not replaced: it {what}: {some}. Move it away, or name another folder.")


def _take_place(part: Path, final: Path) -> None:
    """Give a whole data set its name; what had it is deleted file by file, as its manifest lists them."""
    if not os.path.lexists(final):
        os.rename(part, final)
        return
    holder = _make_holder(final, "old")
    old = holder / _DATA
    try:
        os.rename(final, old)
        try:
            os.rename(part, final)
        except BaseException:
            os.rename(old, final)
            raise
    finally:
        _remove_old(holder)


def _remove_old(holder: Path) -> None:
    """Delete a replaced data set; what came into it at the last moment stays."""
    old = holder / _DATA
    for name in _read_manifest(old) or {} if old.is_dir() else ():
        if (old / name).is_symlink() or (old / name).is_file():
            (old / name).unlink()
    for folder, _, _ in os.walk(old, topdown=False):
        _remove_if_empty(Path(folder))
    if not old.exists():
        _remove_holder(holder)


def _sweep(final: Path) -> bool:
    """Delete what killed exports to this place left beside it; whether the place is taken again by what one took from it.

    Nobody writes there now: the lock is held.
    """
    is_back = False
    for holder in final.parent.glob(f".{_escaped(final.name)}.*"):
        if not _is_ours(holder, final):
            continue
        if holder.name.endswith(".old") and not os.path.lexists(final) and (holder / _DATA).is_dir():
            os.rename(holder / _DATA, final)  # killed between the two: it stands as it did
            is_back = True
        if holder.name.endswith(".old"):
            _remove_old(holder)
        else:
            _remove_holder(holder)
    return is_back


def _make_holder(final: Path, kind: str) -> Path:
    """A new folder beside the final one, with the mark in it."""
    for number in range(_TRIES):
        holder = final.with_name(f".{final.name}.{f'{number}.' if number else ''}{kind}")
        try:
            holder.mkdir(mode=0o700)
        except FileExistsError:
            continue  # somebody else's
        (holder / _MARK).write_text(_mark_of(final), encoding="utf-8")
        return holder
    raise BadInput(f"{final.parent} is full of folders named .{final.name}.…{kind}. Move them away.")


def _remove_holder(holder: Path) -> None:
    """Delete a folder that has the mark, and what is in it; the mark goes last."""
    shutil.rmtree(holder / _DATA, ignore_errors=True)
    if not (holder / _DATA).exists():
        (holder / _MARK).unlink(missing_ok=True)
        _remove_if_empty(holder)


def _is_ours(holder: Path, final: Path) -> bool:
    mark = holder / _MARK
    if holder.is_symlink() or not holder.is_dir() or mark.is_symlink() or not mark.is_file():
        return False
    return mark.read_bytes() == _mark_of(final).encode()


def _mark_of(final: Path) -> str:
    return f"{MADE_BY}: an export to {final.name!a} is on its way, or was killed.\n"


@contextmanager
def _locked(final: Path) -> Iterator[None]:
    """One export at a time writes to a place. The lock's file is deleted if an export made it, as it says."""
    file = final.with_name(f".{final.name}.lock")
    mark = _mark_of(final).encode()
    lock = _open_lock(file, mark)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_taken = not os.path.samestat(os.fstat(lock), os.stat(file))  # deleted by who had it until now
        except (BlockingIOError, FileNotFoundError):
            is_taken = True
        if is_taken:
            raise BadInput(f"Another export writes {final}. Wait for it, or name another folder.")
        try:
            yield
        finally:
            if os.pread(lock, len(mark) + 1, 0) == mark:
                file.unlink(missing_ok=True)
    finally:
        os.close(lock)


def _open_lock(file: Path, mark: bytes) -> int:
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        try:
            return os.open(file, os.O_RDWR | os.O_NOFOLLOW)
        except OSError as error:
            raise BadInput(
                f"{file} cannot be locked ({error.strerror}). Move it away, or name another folder."
            ) from error
    os.write(lock, mark)
    return lock


def _write_manifest(folder: Path) -> None:
    """List everything in a folder, in the same order each time."""
    files = {name: _digest(folder / name) for name in sorted(_list_files(folder))}
    about: dict[str, Any] = {"made_by": MADE_BY, "files": files}
    (folder / MANIFEST).write_text(json.dumps(about, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


def _read_manifest(folder: Path) -> dict[str, str] | None:
    """Files of a data set and their digests, its manifest among them; None if there is none, or no card."""
    file = folder / MANIFEST
    if file.is_symlink() or not file.is_file():
        return None
    try:
        about = json.loads(file.read_bytes())
        files = {str(name): str(digest) for name, digest in about["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if about.get("made_by") != MADE_BY or CARD not in files or not (folder / CARD).is_file():
        return None
    if any(name.startswith("/") or ".." in name.split("/") for name in files):
        return None
    return {**files, MANIFEST: _digest(file)}


def _list_files(folder: Path) -> set[str]:
    """Everything below a folder that is no folder, and folders that hold nothing, by their paths in it."""
    found = set()
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        if not folders and not files and Path(place) != folder:
            found.add(os.path.relpath(place, folder))
        found |= {os.path.relpath(os.path.join(place, name), folder) for name in [*files, *links]}
    return found


def _digest(file: Path) -> str:
    """sha256 of a file; of a link of where it points, of anything else of nothing."""
    if file.is_symlink():
        return "link " + hashlib.sha256(os.fsencode(os.readlink(file))).hexdigest()
    if not file.is_file():
        return "none"
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # somebody put something there


def _escaped(name: str) -> str:
    """A name as a pattern that only it matches."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
