"""COCO: `annotations/instances.json`, or one file a split; masks as run lengths, exactly, or as polygons.

Source: the format as https://cocodataset.org/#format-data describes it. What it has no place for (sentences, who and when) stands
in keys of its own, which readers ignore.
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
    """Writes the format.

    Args:
        polygons: Outlines instead of run lengths: lossy, holes are filled.
    """

    def __init__(self, folder: Path, polygons: bool = False) -> None:
        self._folder, self._polygons = folder / "annotations", polygons
        self._files: dict[str, InstancesFile] = {}

    def add(self, scene: AnnotatedImage) -> list[int | str]:
        """Write a scene."""
        file = self._file(scene.picture.split)
        file.image_id(scene.picture)
        drawn = [_outlines(target.mask) if self._polygons else target.mask for target in scene.targets]
        made = (file.add(scene.picture, target, one) for target, one in zip(scene.targets, drawn, strict=True))
        return [annotation["id"] for annotation in made]

    def close(self, about: Mapping[str, Any]) -> None:
        """Write what comes last."""
        if not self._files:
            self._file("")
        for file in self._files.values():
            file.close(about)

    def _file(self, split: str) -> InstancesFile:
        if split not in self._files:
            name = f"instances_{split}.json" if split else "instances.json"
            self._files[split] = InstancesFile(self._folder / name)
        return self._files[split]


def _outlines(rle: Rle) -> list[list[float]]:
    """Outlines of a mask's parts as flat x, y lists, along the edges of pixels."""
    mask = from_rle(rle)
    grid = np.zeros((2 * mask.shape[0] + 1, 2 * mask.shape[1] + 1), np.uint8)  # pixels odd, their edges even
    grid[1::2, 1::2] = mask
    grid = cv2.dilate(grid, np.ones((3, 3), np.uint8))
    outlines, _ = cv2.findContours(grid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [(outline.reshape(-1, 2) / 2).ravel().tolist() for outline in outlines if len(outline) >= 3]
