"""JSON lines: `records.jsonl` with a line for each target, its mask as COCO run lengths, and for each absent sentence.

An image that shows nothing has a line without sentences.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.exporters.categories import Categories
from backend.exporters.targets import AnnotatedImage, Name, Written
from ris_core.output.plain_text import to_json

IMAGES = "images"
"""Folder of the images."""


class JsonLinesWriter:
    """Writes a data set as JSON lines."""

    def __init__(self, folder: Path, categories: Categories) -> None:
        self.written = Written()
        self._file = (folder / "records.jsonl").open("w", encoding="utf-8")
        self._last = 0

    def add(self, annotated: AnnotatedImage) -> list[Name]:
        """Write a line for each target and absent sentence; the numbers of the targets."""
        image, numbers = annotated.image, []
        entry = {
            "file": f"{IMAGES}/{image.file_name}",
            "key": image.key,
            "address": image.address,
            "size_hw": list(image.size_hw),
        }
        about = {"image": entry, "split": image.split, "group": image.group}
        for target in annotated.targets:
            self._last += 1
            self.written.sentences += len(target.sentences)
            numbers.append(self._last)
            content = {"label": target.label, "sentences": list(target.sentences), "mask": target.mask}
            self._write({"id": self._last, **about, **content, **target.provenance()})
        self.written.absent += len(annotated.absent)
        nothing = [[sentence] for sentence in annotated.absent] or ([[]] if annotated.is_empty else [])
        for sentences in nothing:
            self._write({"id": None, **about, "label": None, "sentences": sentences, "mask": None})
        return list(numbers)

    def close(self, about: Mapping[str, Any]) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(to_json(line) + "\n")
