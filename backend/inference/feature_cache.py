"""Encoded images on disk: one safetensors file for each (image, encoder), the least recently used go first.

    <folder>/<encode_fp>/<first two of image_sha256>/<image_sha256>.safetensors
    <folder>/prompt-<embed_fp>/<first two of image_sha256>/<image_sha256>.safetensors

A file holds the proposals (masks as packed bits) and the features; or, the second kind, what clicks and boxes are answered
from. Files appear whole or not at all, so any number of processes may share a folder. A file's time of modification is the time
of its last use.

A file says which image it is of and what made it, and holds a checksum (those of former versions hold none). One that cannot be
read, or whose checksum is wrong, is a miss and is deleted; one that is of something else than its name says is a miss and stays,
until a put takes its place. Only files of such names are counted and deleted: whatever else lies in the folder stays.

`<folder>/size` says how many bytes all files have together, so that a put need not look at each of them. Every look at all of
them sets it right again: the first put of a process, each that passes the limit, and each that finds no such file.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

import numpy as np
import structlog
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from backend.base.redaction import reason_of
from ris_core.output.file_names import check_name
from ris_core.types import EncodedImage, Proposals
from ris_core.types.prompts import PromptEmbedding

log = structlog.get_logger(__name__)
T = TypeVar("T")

SUFFIX = ".safetensors"
FORMAT = "1"
"""Changes when files of before can no longer be read."""
UNFINISHED_KEPT_S = 3600
"""Files of writers that died are deleted after this time."""
SHARE_KEPT = 0.95
"""Of the limit, when it is passed: the next puts then find room without a look at all files."""
_NAME = re.compile(rf"(?P<folder>[0-9a-f]{{2}})/(?P=folder)[0-9a-f]{{62}}{re.escape(SUFFIX)}")
"""Where a file of ours lies below the folder of what made it."""
_PART = re.compile(r"[0-9a-f]{2}/\.[0-9a-f]{32}\.part")
_CHECKSUM = "sha256"
_SIZE = "size"
_FEATURE = "feature."
_PROMPT = "prompt-"


class FeatureCache:
    """Encoded images by what made them and which image it is.

    Args:
        folder: Where the files are; made when it is needed.
        max_bytes: Size of all files together that is kept to; 0 keeps nothing.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._has_looked = False

    def get(self, encode_fp: str, image_sha256: str) -> EncodedImage | None:
        """The encoded image, or None if it is not here."""
        about = {"image_sha256": image_sha256, "encode_fp": encode_fp}
        return _read(self._file(encode_fp, image_sha256), about, _unpack_image)

    def put(self, encoded: EncodedImage) -> None:
        """Keep an encoded image, and delete others if there is no room; a full disk only costs the entry."""
        self._keep(self._file(encoded.encode_fp, encoded.image_sha256), *_pack_image(encoded))

    def get_embedding(self, embed_fp: str, image_sha256: str) -> PromptEmbedding | None:
        """What clicks and boxes on an image are answered from, or None if it is not here."""
        about = {"image_sha256": image_sha256, "embed_fp": embed_fp}
        return _read(self._file(_PROMPT + embed_fp, image_sha256), about, _unpack_embedding)

    def put_embedding(self, embedding: PromptEmbedding) -> None:
        """Keep what clicks and boxes on an image are answered from, as `put` keeps encoded images."""
        self._keep(self._file(_PROMPT + embedding.embed_fp, embedding.image_sha256), *_pack_embedding(embedding))

    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(entry.bytes for entry in self._entries())

    def _file(self, made_by: str, image_sha256: str) -> Path:
        check_name(made_by, "What encoded an image")
        check_name(image_sha256, "An image's digest")
        return self._folder / made_by / image_sha256[:2] / f"{image_sha256}{SUFFIX}"

    def _keep(self, file: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
        unfinished = file.with_name(f".{uuid.uuid4().hex}.part")
        # safetensors writes the buffer as it lies: a transposed view would come back scrambled
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            save_file(whole, unfinished, {"format": FORMAT, **about, _CHECKSUM: _checksum(whole, about)})
            with self._size_file() as size:
                grown = _size_of(unfinished) - _size_of(file)
                os.replace(unfinished, file)
                self._make_room(size, grown)
        except (OSError, SafetensorError) as error:
            log.warning("an encoded image cannot be kept", file=str(file), error=reason_of(error))
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _size_file(self) -> Iterator[TextIO]:
        """The file that holds the size of all; one process at a time has it."""
        with open(self._folder / _SIZE, "a+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _make_room(self, size: TextIO, grown: int) -> None:
        """Note that the files have grown by so many bytes; if they are too large now, the least recently used go."""
        size.seek(0)
        known = size.read()
        total = int(known) + grown if known.isdecimal() else None
        if total is None or total > self._max_bytes or not self._has_looked:
            total, self._has_looked = self._evict(), True
        size.truncate(0)
        size.write(str(max(0, total)))

    def _evict(self) -> int:
        """Look at every file, and delete the least recently used if they are too large together; bytes that are left."""
        entries = sorted(self._entries(), key=lambda entry: entry.used_at)
        total = sum(entry.bytes for entry in entries)
        kept = self._max_bytes * SHARE_KEPT if total > self._max_bytes else total
        for entry in entries:
            if total <= kept or (entry is entries[-1] and total <= self._max_bytes):
                break
            with contextlib.suppress(OSError):
                entry.file.unlink(missing_ok=True)
                total -= entry.bytes
        return total

    def _entries(self) -> Iterator["_Entry"]:
        for file in self._folder.glob("*/*/*"):
            name = f"{file.parent.name}/{file.name}"
            try:
                found = file.lstat()
            except OSError:
                continue  # another process was faster
            if not stat.S_ISREG(found.st_mode):
                continue
            if _NAME.fullmatch(name):
                yield _Entry(found.st_mtime, found.st_size, file)
            elif _PART.fullmatch(name) and found.st_mtime < time.time() - UNFINISHED_KEPT_S:
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)


class _Entry(NamedTuple):
    used_at: float
    bytes: int
    file: Path


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _read(
    file: Path, wanted: Mapping[str, str], unpack: Callable[[Mapping[str, np.ndarray], Mapping[str, str]], T]
) -> T | None:
    """What a file holds, if it is of what is wanted."""
    try:
        with safe_open(file, framework="np") as opened:
            about = opened.metadata() or {}
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (not a mapping)
        if about.get("format") != FORMAT:
            raise ValueError(f"format {about.get('format')!r} instead of {FORMAT!r}")
        if is_other := {name: about.get(name) for name, value in wanted.items() if about.get(name) != value}:
            log.warning("a file of the feature cache is of something else and is not used", file=str(file), **is_other)
            return None
        _check(arrays, about)
        found = unpack(arrays, about)
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        is_gone = _delete_damaged(file)
        what = "is deleted" if is_gone else "is left"
        log.warning(f"a file of the feature cache cannot be read and {what}", file=str(file), error=reason_of(error))
        return None
    with contextlib.suppress(OSError):  # a folder that may only be read
        os.utime(file)
    return found


def _delete_damaged(file: Path) -> bool:
    """Delete a file that could be read and made no sense, but nothing else that has its name; whether it went."""
    try:
        if not stat.S_ISREG(file.lstat().st_mode) or not os.access(file, os.R_OK):
            return False
        file.unlink()
    except OSError:
        return False
    return True


def _check(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
    told = dict(about)
    checksum = told.pop(_CHECKSUM, None)
    told.pop("format")
    if checksum is not None and checksum != _checksum(arrays, told):
        raise ValueError("its checksum is wrong")


def _checksum(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> str:
    """sha256 over everything that a file says and holds."""
    digest = hashlib.sha256(json.dumps(dict(about), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, str(array.dtype), list(array.shape)]).encode())
        digest.update(np.ascontiguousarray(array).tobytes() if array.ndim == 0 else np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _pack_image(encoded: EncodedImage) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    proposals = encoded.proposals
    arrays = {
        "masks": np.packbits(proposals.masks, axis=-1),
        "boxes_xywh": proposals.boxes_xywh,
        "predicted_iou": proposals.predicted_iou,
        "stability": proposals.stability,
        **{_FEATURE + name: array for name, array in encoded.features.items()},
    }
    about = {
        "image_sha256": encoded.image_sha256,
        "encode_fp": encoded.encode_fp,
        "size_hw": _write_size(encoded.size_hw),
    }
    return arrays, about


def _unpack_image(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> EncodedImage:
    height, width = json.loads(about["size_hw"])
    proposals = Proposals(
        masks=np.unpackbits(arrays["masks"], axis=-1, count=width).astype(bool),
        boxes_xywh=arrays["boxes_xywh"],
        predicted_iou=arrays["predicted_iou"],
        stability=arrays["stability"],
    )
    if proposals.masks.shape[1:] != (height, width):
        raise ValueError(f"masks are {proposals.masks.shape[1:]} instead of {(height, width)}")
    return EncodedImage(
        image_sha256=about["image_sha256"],
        size_hw=(height, width),
        proposals=proposals,
        features={name.removeprefix(_FEATURE): array for name, array in arrays.items() if name.startswith(_FEATURE)},
        encode_fp=about["encode_fp"],
    )


def _pack_embedding(embedding: PromptEmbedding) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    about = {
        "image_sha256": embedding.image_sha256,
        "embed_fp": embedding.embed_fp,
        "size_hw": _write_size(embedding.size_hw),
    }
    return {"array": embedding.array}, about


def _unpack_embedding(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> PromptEmbedding:
    height, width = json.loads(about["size_hw"])
    return PromptEmbedding(about["image_sha256"], (height, width), arrays["array"], about["embed_fp"])


def _write_size(size_hw: tuple[int, int]) -> str:
    return json.dumps([int(side) for side in size_hw])
