"""Masks: a PNG with the values 0 and 255 for each target, and `index.jsonl` with a line for each PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pil

from backend.exporters.categories import Categories
from backend.exporters.targets import AnnotatedImage, Name, Written
from ris_core.geometry.masks import from_rle
from ris_core.output.plain_text import to_json

IMAGES = "images"
"""Folder of the images."""


class MaskWriter:
    """Writes a data set as PNG masks."""

    def __init__(self, folder: Path, categories: Categories) -> None:
        self.written = Written()
        self._folder = folder / "masks"
        self._folder.mkdir(parents=True)
        self._index = (folder / "index.jsonl").open("w", encoding="utf-8")
        self._numbers: dict[str, int] = {}

    def add(self, annotated: AnnotatedImage) -> list[Name]:
        """Write a PNG for each target; their names."""
        image = annotated.image
        names: list[Name] = []
        for target in annotated.targets:
            number = self._numbers[image.key] = self._numbers.get(image.key, 0) + 1
            name = f"{Path(image.file_name).stem}-{number:03}.png"
            Pil.fromarray(from_rle(target.mask).astype(np.uint8) * 255).save(self._folder / name)
            line = {
                "mask": f"masks/{name}",
                "image": f"{IMAGES}/{image.file_name}",
                "label": target.label,
                "sentences": list(target.sentences),
                "split": image.split,
                "group": image.group,
                **target.provenance(),
            }
            self.written.sentences += len(target.sentences)
            self._index.write(to_json(line) + "\n")
            names.append(name)
        return names

    def close(self, about: Mapping[str, Any]) -> None:
        """Close the index."""
        self._index.close()
