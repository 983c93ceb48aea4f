"""RefCOCO: `refcoco/refs(unc).p` and `.json`, `refcoco/instances.json`, and the images where the `refer` API expects them.

A ref is an instance and its sentences. A mask is a list with one polygon, which is drawn exactly: the API reads it as it reads those
of RefCOCO, and readers that take polygons only read it too.

Source: Kazemzadeh et al., EMNLP 2014, and Yu et al., ECCV 2016, and their interface `refer` for the files.
"""

import pickle
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.exporters.categories import Categories
from backend.exporters.instances import InstancesFile, polygons_of
from backend.exporters.targets import AnnotatedImage, DatasetImage, Name, Written
from backend.label_studio.protocol import Json
from ris_core.output.plain_text import to_json, whole

IMAGES = "images/mscoco/images/train2014"
"""Folder of the images."""
PICKLE_PROTOCOL = 2
"""The newest protocol of Python 2, for which the original reader was written."""
DEFAULT_SPLIT = "train"
_WORD = re.compile("w+(?:['’\\-\u200c\u200d]w+)*")
"""In a text whose letters, marks and digits are all written as w."""


class RefCocoWriter:
    """Writes a data set as RefCOCO."""

    def __init__(self, folder: Path, categories: Categories) -> None:
        self.written = Written()
        self._folder = folder / "refcoco"
        self._instances = InstancesFile(self._folder / "instances.json", categories)
        self._refs = Refs()

    def add(self, annotated: AnnotatedImage) -> list[Name]:
        """Write an annotation for each target, and a ref for each that has sentences; ids of the annotations."""
        image = annotated.image
        if annotated.targets or annotated.is_empty:
            self._instances.image_id(image)
        annotations = [self._instances.add(image, target, polygons_of(target.mask)) for target in annotated.targets]
        for annotation, target in zip(annotations, annotated.targets, strict=True):
            self.written.sentences += len(target.sentences)
            if target.sentences:
                self._refs.add(
                    image,
                    annotation["image_id"],
                    annotation["id"],
                    annotation["category_id"],
                    target.sentences,
                    f"{Path(image.file_name).stem}_{annotation['id']}{Path(image.file_name).suffix}",
                )
        return [annotation["id"] for annotation in annotations]

    def close(self, about: Mapping[str, Any]) -> None:
        """Write the files."""
        self._instances.close(about)
        self._refs.write(self._folder / "refs(unc)")


class Refs:
    """The refs of a data set. They hold no masks, so all of them fit into memory: 100,000 take about 200 MB."""

    def __init__(self) -> None:
        self._refs: list[Json] = []
        self._sentences = 0

    def add(
        self,
        image: DatasetImage,
        image_id: int,
        ann_id: int | list[int],
        category_id: int | list[int],
        sentences: Iterable[str],
        file_name: str,
    ) -> None:
        """Add a ref.

        Args:
            ann_id, category_id: Of its instance; lists for gRefCOCO.
            sentences: As they were typed.
        """
        entries = []
        for raw in sentences:
            entries.append(make_sentence(self._sentences, raw))
            self._sentences += 1
        self._refs.append(
            {
                "ref_id": len(self._refs),
                "ann_id": ann_id,
                "category_id": category_id,
                "image_id": image_id,
                "split": image.split or DEFAULT_SPLIT,
                "file_name": file_name,
                "sent_ids": [sentence["sent_id"] for sentence in entries],
                "sentences": entries,
            }
        )

    def write(self, stem: Path) -> None:
        """Write them to `stem`.p as a pickle and to `stem`.json."""
        stem.with_name(f"{stem.name}.p").write_bytes(pickle.dumps(self._refs, PICKLE_PROTOCOL))
        with stem.with_name(f"{stem.name}.json").open("w", encoding="utf-8") as file:
            _write_list(self._refs, file.write)


def make_sentence(sent_id: int, raw: str) -> Json:
    """A sentence as RefCOCO has it: as typed ("raw"), in lower case without punctuation ("sent"), and its words ("tokens")."""
    raw = whole(raw)
    tokens = split_words(raw)
    return {"sent_id": sent_id, "raw": raw, "sent": " ".join(tokens), "tokens": tokens}


def split_words(text: str) -> list[str]:
    """The words of a text, in lower case and composed (NFC): letters, marks and digits of any script.

    An apostrophe or a hyphen joins, and so do the joiners of Indic and Arabic scripts.
    """
    text = unicodedata.normalize("NFC", text.lower())
    kinds = "".join("w" if unicodedata.category(sign)[0] in "LMN" or sign == "_" else sign for sign in text)
    return [text[found.start() : found.end()] for found in _WORD.finditer(kinds)]


def _write_list(entries: Sequence[Json], write: Any) -> None:
    write("[")
    for number, entry in enumerate(entries):
        write((",\n" if number else "") + to_json(entry))
    write("]\n")
