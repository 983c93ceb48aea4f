"""RefCOCO: `refcoco/refs(unc).p` and `.json`, `refcoco/instances.json`, and the images where the `refer` API looks for them.

A ref is an instance and its sentences. Masks are run lengths in a list, as the API's files for RefCLEF have them: it draws both.

Source: Kazemzadeh et al., EMNLP 2014, and Yu et al., ECCV 2016, and their interface `refer` for the files.
"""

import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.exporters.instances import InstancesFile
from backend.exporters.targets import AnnotatedImage, DatasetImage
from backend.label_studio.protocol import Json
from ris_core.output.plain_text import to_json, whole

IMAGES = "images/mscoco/images/train2014"
"""Folder of the images."""
PICKLE_PROTOCOL = 2
"""The newest that Python 2, for which the original reader was written, can read."""
DEFAULT_SPLIT = "train"


class RefCocoWriter:
    """Writes the format."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "refcoco"
        self._instances = InstancesFile(self._folder / "instances.json")
        self._refs = Refs()

    def add(self, scene: AnnotatedImage) -> list[int | str]:
        """Write a scene: an annotation for each target, and a ref if it has sentences."""
        made = [self._instances.add(scene.picture, target, [target.mask]) for target in scene.targets]
        for annotation, target in zip(made, scene.targets, strict=True):
            if target.sentences:
                self._refs.add(
                    scene.picture,
                    annotation["image_id"],
                    annotation["id"],
                    annotation["category_id"],
                    target.sentences,
                    f"{Path(scene.picture.file_name).stem}_{annotation['id']}{Path(scene.picture.file_name).suffix}",
                )
        return [annotation["id"] for annotation in made]

    def close(self, about: Mapping[str, Any]) -> None:
        """Write what comes last."""
        self._instances.close(about)
        self._refs.write(self._folder / "refs(unc)")


class Refs:
    """A list of refs on its way. It holds no masks, so 100,000 of them take some 200 MB."""

    def __init__(self) -> None:
        self._refs: list[Json] = []
        self._sentences = 0

    def add(
        self,
        picture: DatasetImage,
        image_id: int,
        ann_id: int | list[int],
        category_id: int | list[int],
        sentences: Iterable[str],
        file_name: str,
    ) -> None:
        """Add a ref."""
        made = []
        for raw in sentences:
            made.append(make_sentence(self._sentences, raw))
            self._sentences += 1
        self._refs.append(
            {
                "ref_id": len(self._refs),
                "ann_id": ann_id,
                "category_id": category_id,
                "image_id": image_id,
                "split": picture.split or DEFAULT_SPLIT,
                "file_name": file_name,
                "sent_ids": [sentence["sent_id"] for sentence in made],
                "sentences": made,
            }
        )

    def write(self, stem: Path) -> None:
        """Write them, as a pickle and as JSON."""
        stem.with_name(f"{stem.name}.p").write_bytes(pickle.dumps(self._refs, PICKLE_PROTOCOL))
        with stem.with_name(f"{stem.name}.json").open("w", encoding="utf-8") as file:
            _write_list(self._refs, file.write)


def make_sentence(sent_id: int, raw: str) -> Json:
    """A sentence as typed (raw), in lower case without punctuation (sent), and its words (tokens)."""
    raw = whole(raw)
    tokens = re.findall(r"\w+(?:['’-]\w+)*", raw.lower())
    return {"sent_id": sent_id, "raw": raw, "sent": " ".join(tokens), "tokens": tokens}


def _write_list(entries: Sequence[Json], write: Any) -> None:
    write("[")
    for number, entry in enumerate(entries):
        write((",\n" if number else "") + to_json(entry))
    write("]\n")
