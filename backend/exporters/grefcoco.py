"""gRefCOCO: `grefcoco/grefs(unc).json` and `.p`, `grefcoco/instances.json`: a sentence means several things, one, or nothing.

Source: Liu, Ding, Jiang, "GRES: Generalized Referring Expression Segmentation", CVPR 2023: ids are lists; a sentence that means
nothing has the list [-1].
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.exporters.instances import InstancesFile
from backend.exporters.refcoco import IMAGES as IMAGES
from backend.exporters.refcoco import Refs
from backend.exporters.targets import AnnotatedImage

NOTHING = [-1]


class GRefCocoWriter:
    """Writes the format."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "grefcoco"
        self._instances = InstancesFile(self._folder / "instances.json")
        self._refs = Refs()

    def add(self, scene: AnnotatedImage) -> list[int | str]:
        """Write a scene: an annotation for each target, and a ref for each set of targets that sentences mean."""
        picture, image_id = scene.picture, self._instances.image_id(scene.picture)
        made = [self._instances.add(picture, target, [target.mask]) for target in scene.targets]
        categories = {annotation["id"]: annotation["category_id"] for annotation in made}
        meant: dict[str, tuple[str, list[int]]] = {}
        for annotation, target in zip(made, scene.targets, strict=True):
            for sentence in target.sentences:
                wording = " ".join(sentence.casefold().split())
                meant.setdefault(wording, (sentence, []))[1].append(annotation["id"])
        by_targets: dict[tuple[int, ...], list[str]] = {}
        for sentence, ids in meant.values():
            by_targets.setdefault(tuple(ids), []).append(sentence)
        for targets, sentences in by_targets.items():
            of = [categories[id] for id in targets]
            self._refs.add(picture, image_id, list(targets), of, sentences, picture.file_name)
        for sentence in scene.absent:
            self._refs.add(picture, image_id, list(NOTHING), list(NOTHING), [sentence], picture.file_name)
        return [annotation["id"] for annotation in made]

    def close(self, about: Mapping[str, Any]) -> None:
        """Write what comes last."""
        self._instances.close(about)
        self._refs.write(self._folder / "grefs(unc)")
