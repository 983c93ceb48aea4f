"""A PNG for each mask, 0 and 255, and `index.jsonl` that says what each shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pil

from backend.exporters.targets import AnnotatedImage
from ris_core.geometry.masks import from_rle
from ris_core.output.plain_text import to_json

IMAGES = "images"
"""Folder of the images."""


class MaskWriter:
    """Writes the format."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "masks"
        self._folder.mkdir(parents=True)
        self._index = (folder / "index.jsonl").open("w", encoding="utf-8")
        self._numbers: dict[str, int] = {}

    def add(self, scene: AnnotatedImage) -> list[int | str]:
        """Write a scene."""
        picture = scene.picture
        names: list[int | str] = []
        for target in scene.targets:
            number = self._numbers[picture.key] = self._numbers.get(picture.key, 0) + 1
            name = f"{Path(picture.file_name).stem}-{number:03}.png"
            Pil.fromarray(from_rle(target.mask).astype(np.uint8) * 255).save(self._folder / name)
            line = {
                "mask": f"masks/{name}",
                "image": f"{IMAGES}/{picture.file_name}",
                "label": target.label,
                "sentences": list(target.sentences),
                "split": picture.split,
                "group": picture.group,
                **target.provenance(),
            }
            self._index.write(to_json(line) + "\n")
            names.append(name)
        return names

    def close(self, about: Mapping[str, Any]) -> None:
        """Write what comes last."""
        self._index.close()
