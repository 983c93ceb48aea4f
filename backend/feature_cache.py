"""Encoded images on disk: one safetensors file for each (image, encoder), the least recently used go first.

    <folder>/<encode_fp>/<first two of image_sha256>/<image_sha256>.safetensors

A file holds the proposals (masks as packed bits) and the features. Files appear whole or not at all, so any number of
processes may share a folder; a file that cannot be read is a miss and is deleted. A file's time of modification is the
time of its last use.
"""

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ris_core.types import EncodedImage, Proposals

log = structlog.get_logger(__name__)

SUFFIX = ".safetensors"
FORMAT = "1"
"""Changes when files of before can no longer be read."""
UNFINISHED_KEPT_S = 3600
"""Files of writers that died are deleted after this time."""
_FEATURE = "feature."


class FeatureCache:
    """Encoded images by what made them and which image it is.

    Args:
        folder: Where the files are; made when it is needed.
        max_bytes: Size of all files together that is kept to; 0 keeps nothing.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes

    def get(self, encode_fp: str, image_sha256: str) -> EncodedImage | None:
        """The encoded image, or None if it is not here."""
        file = self._file(encode_fp, image_sha256)
        try:
            encoded = _read(file)
            os.utime(file)
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            log.warning("a file of the feature cache cannot be read and is deleted", file=str(file), error=str(error))
            file.unlink(missing_ok=True)
            return None
        return encoded

    def put(self, encoded: EncodedImage) -> None:
        """Keep an encoded image, and delete others if there is no room; a full disk only costs the entry."""
        file = self._file(encoded.encode_fp, encoded.image_sha256)
        unfinished = file.with_name(f".{uuid.uuid4().hex}.part")
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(encoded, unfinished)
            os.replace(unfinished, file)
        except (OSError, SafetensorError) as error:
            log.warning("an encoded image cannot be kept", file=str(file), error=str(error))
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
        self._make_room()

    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(entry.bytes for entry in self._entries())

    def _file(self, encode_fp: str, image_sha256: str) -> Path:
        return self._folder / encode_fp / image_sha256[:2] / f"{image_sha256}{SUFFIX}"

    def _make_room(self) -> None:
        entries = sorted(self._entries(), key=lambda entry: entry.used_at, reverse=True)
        total = 0
        for entry in entries:
            total += entry.bytes
            if total > self._max_bytes:
                entry.file.unlink(missing_ok=True)

    def _entries(self) -> Iterator["_Entry"]:
        for file in self._folder.glob("*/*/*"):
            try:
                found = file.stat()
            except FileNotFoundError:
                continue  # another process was faster
            if file.suffix == SUFFIX:
                yield _Entry(found.st_mtime, found.st_size, file)
            elif found.st_mtime < time.time() - UNFINISHED_KEPT_S:
                file.unlink(missing_ok=True)


class _Entry(NamedTuple):
    used_at: float
    bytes: int
    file: Path


def _write(encoded: EncodedImage, file: Path) -> None:
    proposals = encoded.proposals
    arrays = {
        "masks": np.packbits(proposals.masks, axis=-1),
        "boxes_xywh": proposals.boxes_xywh,
        "predicted_iou": proposals.predicted_iou,
        "stability": proposals.stability,
        **{_FEATURE + name: array for name, array in encoded.features.items()},
    }
    about = {
        "format": FORMAT,
        "image_sha256": encoded.image_sha256,
        "encode_fp": encoded.encode_fp,
        "size_hw": json.dumps([int(side) for side in encoded.size_hw]),
    }
    # safetensors writes the buffer as it lies: a transposed view would come back scrambled
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file, about)


def _read(file: Path) -> EncodedImage:
    with safe_open(file, framework="np") as opened:
        about = opened.metadata() or {}
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (not a mapping)
    if about.get("format") != FORMAT:
        raise ValueError(f"format {about.get('format')!r} instead of {FORMAT!r}")
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
