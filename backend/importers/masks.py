"""Masks as `ris export --format masks` writes them: `index.jsonl` with a line for each PNG of 0 and 255."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image as Pil

from backend.base.redaction import reason_of
from backend.importers.source import DataSource, SourceImage, SourceObject, find_file
from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.images.decoding import MAX_PIXELS

INDEX = "index.jsonl"
MAX_LINE_BYTES = 1 << 20
"""Of a line of the index."""
MIDDLE = 127
"""A pixel belongs to the mask if its value is above this."""


def read_masks(root: Path, images: Path | None = None) -> DataSource:
    """Read a data set of PNG masks. Of its index, only where each image's lines are is kept in memory.

    Args:
        images: Folder that the names of images begin from; the root if None.

    Raises:
        BadInput: If the index cannot be read, or is not in the format.
    """
    index, labels = root / INDEX, dict[str, None]()
    offsets: dict[str, list[int]] = {}
    for offset, line in _lines(index):
        offsets.setdefault(line["image"], []).append(offset)
        labels[line["label"]] = None
    return DataSource("masks", tuple(labels), len(offsets), partial(_images, root, images or root, offsets))


def _images(root: Path, folder: Path, offsets: Mapping[str, Sequence[int]]) -> Iterator[SourceImage]:
    with (root / INDEX).open("rb") as stream:
        for name, places in offsets.items():
            lines = []
            for place in places:
                stream.seek(place)
                lines.append(json.loads(stream.readline()))
            splits = {str(line.get("split") or "") for line in lines}
            size_hw, problem = _read_size(root, lines[0]["mask"])
            yield SourceImage(
                id=name,
                folder=folder,
                name=name,
                size_hw=size_hw,
                split=splits.pop() if len(splits) == 1 else "",
                objects=tuple(_object(root, line, size_hw) for line in lines),
                absent=(),
                content=json.dumps([[line["mask"], line["label"], line["sentences"]] for line in lines]),
                problem=problem,
            )


def _object(root: Path, line: Mapping[str, Any], size_hw: tuple[int, int]) -> SourceObject:
    return SourceObject(
        line["mask"], line["label"], tuple(line["sentences"]), partial(_draw, root, line["mask"], size_hw)
    )


def _lines(index: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Where each line of an index begins, in bytes, and its values."""
    try:
        with index.open("rb") as stream:
            while True:
                offset, text = stream.tell(), stream.readline(MAX_LINE_BYTES + 1)
                if not text:
                    return
                if len(text) > MAX_LINE_BYTES:
                    raise BadInput(
                        f"The line at byte {offset} of {index} has more than {MAX_LINE_BYTES:,} bytes.", "Get it again."
                    )
                yield offset, _read_line(text, index, offset)
    except OSError as error:
        raise BadInput(
            f"The file {index} cannot be read ({error.strerror}).",
            "Name the folder of a data set of masks with --root.",
        ) from error


def _read_line(text: bytes, index: Path, offset: int) -> dict[str, Any]:
    try:
        line = json.loads(text)
        is_whole = all(isinstance(line[name], str) for name in ("mask", "image", "label"))
        if is_whole and isinstance(line["sentences"], list) and all(isinstance(s, str) for s in line["sentences"]):
            return line
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise BadInput(
        f"The line at byte {offset} of {index} is not in the format.",
        "It is an object with mask, image, label and sentences.",
    )


def _open_mask(root: Path, name: str) -> Pil.Image:
    file = find_file(root, name, "The file of a mask")
    try:
        mask = Pil.open(io.BytesIO(file.read_bytes()), formats=["PNG"])
    except (OSError, ValueError, SyntaxError, Pil.DecompressionBombError) as error:
        raise BadInput(f"The mask {file} cannot be read ({reason_of(error)}).", "Get it again.") from error
    if mask.width * mask.height > MAX_PIXELS:
        raise BadInput(f"The mask {file} has {mask.width} x {mask.height} pixels.", f"At most {MAX_PIXELS:,} are read.")
    return mask


def _read_size(root: Path, name: str) -> tuple[tuple[int, int], str]:
    """The size of a mask as (H, W), or why it cannot be read."""
    try:
        mask = _open_mask(root, name)
    except BadInput as error:
        return (0, 0), str(error)
    return (mask.height, mask.width), ""


def _draw(root: Path, name: str, size_hw: tuple[int, int]) -> Bool[Array, "h w"]:
    try:
        values = np.asarray(_open_mask(root, name).convert("L"))
    except (OSError, ValueError, SyntaxError) as error:
        raise BadInput(f"The mask {root / name} cannot be read ({reason_of(error)}).", "Get it again.") from error
    if values.shape != size_hw:
        raise BadInput(
            f"The mask {root / name} is {values.shape} (H, W), others of its image are {size_hw}.", "Get it again."
        )
    return values > MIDDLE
