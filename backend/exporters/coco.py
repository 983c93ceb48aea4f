"""COCO: `annotations/instances.json`, or one file for each split; masks as exact run lengths, or as polygons.

Source: the format as https://cocodataset.org/#format-data describes it. Sentences and provenance are in keys of
their own, which readers of COCO ignore.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from backend.exporters.instances import InstancesFile
from backend.exporters.targets import AnnotatedImage
from ris_core.geometry.masks import Rle, from_rle

IMAGES = "images"
"""Folder of the images."""


class CocoWriter:
    """Writes a data set as COCO.

    Args:
        polygons: Write polygons instead of run lengths; holes are filled.
    """

    def __init__(self, folder: Path, polygons: bool = False) -> None:
        self._folder, self._polygons = folder / "annotations", polygons
        self._files: dict[str, InstancesFile] = {}

    def add(self, annotated: AnnotatedImage) -> list[int | str]:
        """Write an annotation for each target; their ids."""
        file = self._file(annotated.image.split)
        file.image_id(annotated.image)  # an image without targets is listed too
        return [
            file.add(annotated.image, target, _to_polygons(target.mask) if self._polygons else target.mask)["id"]
            for target in annotated.targets
        ]

    def close(self, about: Mapping[str, Any]) -> None:
        """Finish the files; without any image, an empty one."""
        if not self._files:
            self._file("")
        for file in self._files.values():
            file.close(about)

    def _file(self, split: str) -> InstancesFile:
        if split not in self._files:
            name = f"instances_{split}.json" if split else "instances.json"
            self._files[split] = InstancesFile(self._folder / name)
        return self._files[split]


def _to_polygons(rle: Rle) -> list[list[float]]:
    """A polygon along the outer pixel edges of each part of a mask, as x, y, x, y, …"""
    mask = from_rle(rle)
    grid = np.zeros(
        (2 * mask.shape[0] + 1, 2 * mask.shape[1] + 1), np.uint8
    )  # odd indices are pixels, even ones their edges
    grid[1::2, 1::2] = mask
    rims = cv2.dilate(grid, np.ones((3, 3), np.uint8))
    outlines, _ = cv2.findContours(rims, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [(outline.reshape(-1, 2) / 2).ravel().tolist() for outline in outlines if len(outline) >= 3]
