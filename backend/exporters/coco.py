"""COCO: `annotations/instances.json`, or one file for each split; masks as run lengths, or as polygons that are drawn exactly.

Source: the format as https://cocodataset.org/#format-data describes it. Sentences and provenance are in keys of
their own, which readers of COCO ignore.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.corrections.wording import fold
from backend.exporters.categories import Categories
from backend.exporters.instances import InstancesFile, polygons_of
from backend.exporters.targets import AnnotatedImage, DatasetTarget, Name, Written

IMAGES = "images"
"""Folder of the images."""


class CocoWriter:
    """Writes a data set as COCO.

    Args:
        polygons: Write polygons instead of run lengths; both are exact.
        by_sentence: A category is a sentence instead of a label, and a target has an annotation for each of its sentences.
    """

    def __init__(self, folder: Path, categories: Categories, polygons: bool = False, by_sentence: bool = False) -> None:
        self.written = Written()
        self._folder, self._polygons, self._by_sentence = folder / "annotations", polygons, by_sentence
        self._categories = Categories() if by_sentence else categories
        self._wordings: dict[str, str] = {}  # the sentence that is a category's name, by its wording
        self._files: dict[str, InstancesFile] = {}

    def add(self, annotated: AnnotatedImage) -> list[Name]:
        """Write an annotation for each target; their ids. An image is listed if it has targets, or was saved without any."""
        file = self._file(annotated.image.split)
        if annotated.is_empty or any(target.sentences or not self._by_sentence for target in annotated.targets):
            file.image_id(annotated.image)
        self.written.sentences += sum(len(target.sentences) for target in annotated.targets)
        return [self._add_target(file, annotated, target) for target in annotated.targets]

    def close(self, about: Mapping[str, Any]) -> None:
        """Finish the files; without any image, an empty one."""
        if not self._files:
            self._file("")
        for file in self._files.values():
            file.close(about)

    def _add_target(self, file: InstancesFile, annotated: AnnotatedImage, target: DatasetTarget) -> Name:
        if self._by_sentence and not target.sentences:
            return []
        segmentation = polygons_of(target.mask) if self._polygons else target.mask
        if not self._by_sentence:
            return int(file.add(annotated.image, target, segmentation)["id"])
        names = [self._wordings.setdefault(fold(sentence), sentence) for sentence in target.sentences]
        category_ids = [self._categories.id_of(name) for name in names]
        return [int(file.add(annotated.image, target, segmentation, id)["id"]) for id in category_ids]

    def _file(self, split: str) -> InstancesFile:
        if split not in self._files:
            name = f"instances_{split}.json" if split else "instances.json"
            self._files[split] = InstancesFile(self._folder / name, self._categories)
        return self._files[split]
