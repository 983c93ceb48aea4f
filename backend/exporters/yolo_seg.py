"""YOLO's segmentation labels: `labels/<split>/<image>.txt` beside `images/<split>/<image>`, and `data.yaml`.

A line of a label file is a class, counted from 0, and a polygon whose x and y are shares of the image's width and height. An image
whose label file is empty shows nothing. The format has no place for sentences.

Source: Ultralytics' description of the format for segmentation.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Int

from backend.corrections.matching import area
from backend.exporters.categories import Categories
from backend.exporters.targets import AnnotatedImage, Name, Written
from ris_core.arrays import Array
from ris_core.geometry.masks import from_rle
from ris_core.geometry.polygons import to_polygon
from ris_core.output.plain_text import one_line, to_json, whole

IMAGES = "images"
"""Folder of the images' folders, one for each split."""
DEFAULT_SPLIT = "train"
RESERVED = ("path", "names", "nc", "download", "channels", "kpt_shape", "flip_idx")
"""Words of `data.yaml` that say something else; a split that is called so stands in a comment."""
STEPS = 10**6
"""Coordinates are written in this fraction of a side."""


class YoloSegWriter:
    """Writes a data set for YOLO."""

    def __init__(self, folder: Path, categories: Categories) -> None:
        self.written = Written()
        self._folder, self._categories = folder, categories
        self._splits: set[str] = set()

    def add(self, annotated: AnnotatedImage) -> list[Name]:
        """Write a line for each target: label file and number of the line. Without targets a file only if nothing is there to see."""
        if not annotated.targets and not annotated.is_empty:
            return []
        split = annotated.image.split or DEFAULT_SPLIT
        self._splits.add(split)
        self._move_image(split, annotated.image.file_name)
        file = self._folder / "labels" / split / f"{Path(annotated.image.file_name).stem}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="ascii") as lines:
            for target in annotated.targets:
                polygon, size_hw = to_polygon(from_rle(target.mask)).reshape(-1, 2), annotated.image.size_hw
                drawn = draw(polygon, size_hw)
                self.written.ious.append(area(target.mask) / max(int(drawn.sum()), 1))
                lines.write(f"{self._categories.id_of(target.label) - 1} {_to_shares(polygon, size_hw)}\n")
        name = f"{split}/{file.name}"
        return [f"{name}:{number}" for number in range(1, len(annotated.targets) + 1)]

    def close(self, about: Mapping[str, Any]) -> None:
        """Write `data.yaml`."""
        lines = [f"# {one_line(whole(str(about.get('title', ''))))}"]
        splits = sorted(self._splits) or [DEFAULT_SPLIT]
        for role in ("train", "val"):
            if role not in splits:
                lines.append(f"# There is no split {role!r}. Readers ask for one, so this is {splits[0]!r}.")
            lines.append(f"{role}: {_quote(f'{IMAGES}/{role if role in splits else splits[0]}')}")
        lines += [
            f"{'# ' * (split in RESERVED)}{_quote(split)}: {_quote(f'{IMAGES}/{split}')}"
            for split in splits
            if split not in ("train", "val")
        ]
        names = enumerate(self._categories.list_names())
        lines += ["names:", *(f"  {number}: {_quote(name)}" for number, name in names)]
        (self._folder / "data.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _move_image(self, split: str, name: str) -> None:
        """Into the folder of its split; nothing in a data set without image files."""
        images = self._folder / IMAGES
        if (images / name).exists():
            (images / split).mkdir(exist_ok=True)
            (images / name).rename(images / split / name)


def draw(polygon: Int[Array, "n 2"], size_hw: tuple[int, int]) -> Bool[Array, "h w"]:
    """What YOLO's readers draw: OpenCV fills a polygon with its border, so bridges and the pixels around the mask are set too."""
    canvas = np.zeros(size_hw, np.uint8)
    cv2.fillPoly(canvas, [polygon.astype(np.int32)], 1)
    return canvas.astype(bool)


def _to_shares(polygon: Int[Array, "n 2"], size_hw: tuple[int, int]) -> str:
    """The polygon's numbers."""
    height, width = size_hw
    across, down = _list_shares(width), _list_shares(height)
    return " ".join(f"{across[x]} {down[y]}" for x, y in polygon.tolist())


@lru_cache(16)
def _list_shares(side: int) -> tuple[str, ...]:
    """The share of a side for each of its pixels' edges. Readers cut pixels to whole ones, so it is a little too large."""
    numbers = np.minimum(np.round(np.arange(side + 1) / side * STEPS) + 1, STEPS) / STEPS
    return tuple(f"{number:.6f}" for number in numbers.tolist())


def _quote(text: str) -> str:
    """Any text as a value or a key of YAML, of which JSON's strings are part."""
    return to_json(one_line(whole(text)))
