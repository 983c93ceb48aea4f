"""gRefCOCO: `grefcoco/grefs(unc).json` and `.p`, and `grefcoco/instances.json`. A sentence means several objects, one or none.

Source: Liu, Ding, Jiang, "GRES: Generalized Referring Expression Segmentation", CVPR 2023: ids are lists; a sentence without an
object has the list [-1]. A mask is a list with one polygon, as in RefCOCO.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.corrections.wording import fold
from backend.exporters.categories import Categories
from backend.exporters.instances import InstancesFile, polygons_of
from backend.exporters.refcoco import Refs
from backend.exporters.targets import AnnotatedImage, Name, Written

IMAGES = "images/train2014"
"""Folder of the images, where the family's loaders look for them."""
NO_TARGET = [-1]


class GRefCocoWriter:
    """Writes a data set as gRefCOCO."""

    def __init__(self, folder: Path, categories: Categories) -> None:
        self.written = Written()
        self._folder = folder / "grefcoco"
        self._instances = InstancesFile(self._folder / "instances.json", categories)
        self._refs = Refs()

    def add(self, annotated: AnnotatedImage) -> list[Name]:
        """Write an annotation for each target, and a ref for each set of targets that sentences mean; ids of the annotations."""
        image, image_id = annotated.image, self._instances.image_id(annotated.image)
        annotations = [self._instances.add(image, target, polygons_of(target.mask)) for target in annotated.targets]
        categories = {annotation["id"]: annotation["category_id"] for annotation in annotations}
        targets_of: dict[str, tuple[str, list[int]]] = {}  # by wording: the sentence, and the ids that it means
        for annotation, target in zip(annotations, annotated.targets, strict=True):
            for sentence in target.sentences:
                targets_of.setdefault(fold(sentence), (sentence, []))[1].append(annotation["id"])
        by_targets: dict[tuple[int, ...], list[str]] = {}
        for sentence, ids in targets_of.values():
            by_targets.setdefault(tuple(ids), []).append(sentence)
        for targets, sentences in by_targets.items():
            category_ids = [categories[id] for id in targets]
            self._refs.add(image, image_id, list(targets), category_ids, sentences, image.file_name)
        for sentence in annotated.absent:
            self._refs.add(image, image_id, list(NO_TARGET), list(NO_TARGET), [sentence], image.file_name)
        self.written.sentences += len(targets_of)
        self.written.absent += len(annotated.absent)
        return [annotation["id"] for annotation in annotations]

    def close(self, about: Mapping[str, Any]) -> None:
        """Write the files."""
        self._instances.close(about)
        self._refs.write(self._folder / "grefs(unc)")
