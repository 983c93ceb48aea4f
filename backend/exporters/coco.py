"""COCO: `annotations/instances.json`, or one file for each split; masks as run lengths, or as polygons that are drawn exactly.

Source: the format as https://cocodataset.org/#format-data describes it. Sentences and provenance are in keys of
their own, which readers of COCO ignore.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.exporters.instances import InstancesFile, polygons_of
from backend.exporters.targets import AnnotatedImage

IMAGES = "images"
"""Folder of the images."""


class CocoWriter:
    """Writes a data set as COCO.

    Args:
        polygons: Write polygons instead of run lengths; both are exact.
    """

    def __init__(self, folder: Path, polygons: bool = False) -> None:
        self._folder, self._polygons = folder / "annotations", polygons
        self._files: dict[str, InstancesFile] = {}

    def add(self, annotated: AnnotatedImage) -> list[int | str]:
        """Write an annotation for each target; their ids."""
        file = self._file(annotated.image.split)
        file.image_id(annotated.image)  # an image without targets is listed too
        return [
            file.add(annotated.image, target, polygons_of(target.mask) if self._polygons else target.mask)["id"]
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
