"""A line of JSON for each target in `records.jsonl`, with its mask as COCO run lengths; nothing is left out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.exporters.targets import AnnotatedImage
from ris_core.output.plain_text import to_json

IMAGES = "images"
"""Folder of the images."""


class JsonLinesWriter:
    """Writes the format."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "records.jsonl").open("w", encoding="utf-8")
        self._last = 0

    def add(self, scene: AnnotatedImage) -> list[int | str]:
        """Write a scene."""
        picture, numbers = scene.picture, []
        image = {
            "file": f"{IMAGES}/{picture.file_name}",
            "key": picture.key,
            "address": picture.address,
            "size_hw": list(picture.size_hw),
        }
        about = {"image": image, "split": picture.split, "group": picture.group}
        for target in scene.targets:
            self._last += 1
            numbers.append(self._last)
            told = {"label": target.label, "sentences": list(target.sentences), "mask": target.mask}
            self._write({"id": self._last, **about, **told, **target.provenance()})
        for sentence in scene.absent:
            self._write({"id": None, **about, "label": None, "sentences": [sentence], "mask": None})
        return list(numbers)

    def close(self, about: Mapping[str, Any]) -> None:
        """Write what comes last."""
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(to_json(line) + "\n")
