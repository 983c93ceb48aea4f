"""Files of a cache: one for each image and what made it, the least recently used go first.

    <folder>/<made_by>/<first two of image_sha256>/<image_sha256>.safetensors

Files appear whole or not at all, so any number of processes may share a folder. A file's time of modification is the time of its last
use.

A file says which image it is of and what made it, and holds a checksum. One that cannot be read, or whose checksum is wrong, is a
miss and is deleted; one that is of something else than its name says is a miss and stays, until a put takes its place. Only files of
such names are counted and deleted: whatever else lies in the folder stays.

`<folder>/size` says how many bytes all files have together, so that a put need not look at each of them. Every look at all of
them sets it right again: the first put of a process, each that passes the limit, and each that finds no such file.
"""

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

import numpy as np
import structlog
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from backend.base.redaction import reason_of
from ris_core.output.file_names import check_name

log = structlog.get_logger(__name__)
T = TypeVar("T")
Arrays = Mapping[str, np.ndarray]
About = Mapping[str, str]

SUFFIX = ".safetensors"
UNFINISHED_KEPT_S = 3600
"""Files of writers that died are deleted after this time."""
SHARE_KEPT = 0.95
"""Of the limit, when it is passed: the next puts then find room without a look at all files."""
SAMPLED = 200
"""Files whose mean size is taken for that of all."""
_NAME = re.compile(rf"(?P<folder>[0-9a-f]{{2}})/(?P=folder)[0-9a-f]{{62}}{re.escape(SUFFIX)}")
"""Where a file of ours lies below the folder of what made it."""
_PART = re.compile(r"[0-9a-f]{2}/\.[0-9a-f]{32}\.part")
_CHECKSUM = "sha256"
_SIZE = "size"


@dataclass(frozen=True)
class FileFormat:
    """How the files of a folder are written.

    Attributes:
        version: Changes when files of before can no longer be read.
        needs_checksum: A file without one is damaged.
        is_former: Another version of this program keeps these files: they are read, and never changed or deleted.
    """

    version: str
    needs_checksum: bool = True
    is_former: bool = False


class CacheFiles:
    """Arrays by what made them and which image they are of.

    Args:
        folder: Where the files are; made when it is needed.
        max_bytes: Size of all files together that is kept to; 0 keeps nothing.
    """

    def __init__(self, folder: Path, max_bytes: int, file_format: FileFormat) -> None:
        self._folder, self.max_bytes, self._format = folder, max_bytes, file_format
        self._has_looked = False

    def file(self, made_by: str, image_sha256: str) -> Path:
        """Where the file of an image is, or would be.

        Raises:
            BadInput: If one of the names is none that a file may have.
        """
        check_name(made_by, "What encoded an image")
        check_name(image_sha256, "An image's digest")
        return self._folder / made_by / image_sha256[:2] / f"{image_sha256}{SUFFIX}"

    def read(self, made_by: str, image_sha256: str, wanted: About, unpack: Callable[[Arrays, About], T]) -> T | None:
        """What the file of an image holds; None if there is none, or it is of something else than `wanted` says."""
        file = self.file(made_by, image_sha256)
        try:
            with safe_open(file, framework="np") as opened:
                about = opened.metadata() or {}
                arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (not a mapping)
            if about.get("format") != self._format.version:
                raise ValueError(f"format {about.get('format')!r} instead of {self._format.version!r}")
            if is_other := {name: about.get(name) for name, value in wanted.items() if about.get(name) != value}:
                log.warning(
                    "a file of the feature cache is of something else and is not used", file=str(file), **is_other
                )
                return None
            self._check(arrays, about)
            content = unpack(arrays, about)
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, OSError, EOFError) as error:
            is_gone = not self._format.is_former and _delete_damaged(file)
            what = "is deleted" if is_gone else "is left"
            log.warning(
                f"a file of the feature cache cannot be read and {what}", file=str(file), error=reason_of(error)
            )
            return None
        self.touch(made_by, image_sha256)
        return content

    def touch(self, made_by: str, image_sha256: str) -> None:
        """Note that the file of an image was used now."""
        with contextlib.suppress(OSError):  # a folder that may only be read
            os.utime(self.file(made_by, image_sha256))

    def keep(self, made_by: str, image_sha256: str, arrays: Arrays, about: About) -> None:
        """Write the file of an image, and delete others if there is no room; a full disk only costs this file."""
        file = self.file(made_by, image_sha256)
        unfinished = file.with_name(f".{uuid.uuid4().hex}.part")
        # safetensors writes the buffer as it lies: a transposed view would come back scrambled
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            save_file(whole, unfinished, {"format": self._format.version, **about, _CHECKSUM: _checksum(whole, about)})
            with self._size_file() as size:
                grown = _size_of(unfinished) - _size_of(file)
                os.replace(unfinished, file)
                self._make_room(size, grown)
        except (OSError, SafetensorError) as error:
            log.warning("an encoded image cannot be kept", file=str(file), error=reason_of(error))
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(entry.bytes for entry in self._entries())

    def known_bytes(self) -> int:
        """Size of all files together, as it was noted last, without a look at each; 0 before the first is written."""
        try:
            text = (self._folder / _SIZE).read_text(encoding="ascii")
        except (OSError, ValueError):
            return 0
        return int(text) if text.isdecimal() else 0

    def mean_bytes(self, made_by: str | None = None) -> float | None:
        """Mean size of files, of one maker or of all; of a sample where there are many. None without any."""
        sizes = [entry.bytes for entry in itertools.islice(self._entries(made_by or "*"), SAMPLED)]
        return sum(sizes) / len(sizes) if sizes else None

    @contextlib.contextmanager
    def _size_file(self) -> Iterator[TextIO]:
        """The file that holds the size of all; one process at a time has it."""
        with open(self._folder / _SIZE, "a+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _make_room(self, size: TextIO, grown: int) -> None:
        """Note that the files have grown by so many bytes; if they are too large now, the least recently used go."""
        size.seek(0)
        text = size.read()
        total = int(text) + grown if text.isdecimal() else None
        if total is None or total > self.max_bytes or not self._has_looked:
            total, self._has_looked = self._evict(), True
        size.truncate(0)
        size.write(str(max(0, total)))

    def _evict(self) -> int:
        """Look at every file, and delete the least recently used if they are too large together; bytes that are left."""
        entries = sorted(self._entries(), key=lambda entry: entry.used_at)
        total = sum(entry.bytes for entry in entries)
        kept = self.max_bytes * SHARE_KEPT if total > self.max_bytes else total
        for entry in entries:
            if total <= kept or (entry is entries[-1] and total <= self.max_bytes):
                break
            with contextlib.suppress(OSError):
                entry.file.unlink(missing_ok=True)
                total -= entry.bytes
        return total

    def _entries(self, made_by: str = "*") -> Iterator["_Entry"]:
        for file in self._folder.glob(f"{made_by}/*/*"):
            name = f"{file.parent.name}/{file.name}"
            try:
                status = file.lstat()
            except OSError:
                continue  # another process was faster
            if not stat.S_ISREG(status.st_mode):
                continue
            if _NAME.fullmatch(name):
                yield _Entry(status.st_mtime, status.st_size, file)
            elif (
                _PART.fullmatch(name)
                and status.st_mtime < time.time() - UNFINISHED_KEPT_S
                and not self._format.is_former
            ):
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)

    def _check(self, arrays: Arrays, about: About) -> None:
        words = dict(about)
        checksum = words.pop(_CHECKSUM, None)
        words.pop("format")
        if checksum is None and self._format.needs_checksum:
            raise ValueError("it has no checksum")
        if checksum is not None and checksum != _checksum(arrays, words):
            raise ValueError("its checksum is wrong")


class _Entry(NamedTuple):
    used_at: float
    bytes: int
    file: Path


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _delete_damaged(file: Path) -> bool:
    """Delete a file that could be read and made no sense, but nothing else that has its name; whether it went."""
    try:
        if not stat.S_ISREG(file.lstat().st_mode) or not os.access(file, os.R_OK):
            return False
        file.unlink()
    except OSError:
        return False
    return True


def _checksum(arrays: Arrays, about: About) -> str:
    """sha256 over everything that a file says and holds."""
    digest = hashlib.sha256(json.dumps(dict(about), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, str(array.dtype), list(array.shape)]).encode())
        digest.update(np.ascontiguousarray(array).tobytes() if array.ndim == 0 else np.ascontiguousarray(array).data)
    return digest.hexdigest()
