"""Hugging Face: `data/<split>-*.parquet`, written by their library `datasets`, and a head of YAML on the card.

A row is a target with its image, its mask and its sentences; a sentence that means nothing in its image has a row without a mask and
without a label, and an image that shows nothing has a row without sentences. Pictures are in the rows, so no files of them are left.
"""

import io
import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pil

from backend.exporters.categories import UNLABELLED, Categories
from backend.exporters.targets import AnnotatedImage, DatasetImage, DatasetTarget, Name, Written
from backend.label_studio.protocol import Json
from ris_core.errors import BadInput
from ris_core.geometry.masks import Rle, from_rle
from ris_core.output.plain_text import one_line, to_json, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGES = "images"
"""Folder of the images until they are in a row."""
DEFAULT_SPLIT = "train"
SHARD_BYTES = 32 << 20
"""Bytes of pictures from which a shard is written; so many are in memory for each split."""
LICENCES = ("apache-2.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "mit")
"""Names that the hub knows; another licence is called "other" there, and by its name beside it."""
_SPLIT = re.compile(r"\w+(\.\w+)*")
"""What `datasets` takes for a split."""


@dataclass
class _Shards:
    """The shards of a split.

    Attributes:
        rows: Of the next one.
        size: Bytes of their pictures.
        files: Those that are written, each with the number of labels that were known then.
    """

    rows: list[Json] = field(default_factory=list)
    size: int = 0
    files: list[tuple[Path, int]] = field(default_factory=list)


class HfWriter:
    """Writes a data set for `datasets.load_dataset`."""

    def __init__(self, folder: Path, categories: Categories) -> None:
        import datasets  # here, not at the top: it is in an extra, and only this format needs it

        self._datasets: Any = datasets
        self.written = Written()
        self._images, self._data, self._categories = folder / IMAGES, folder / "data", categories
        self._splits: dict[str, _Shards] = {}
        self._last = 0

    def add(self, annotated: AnnotatedImage) -> list[Name]:
        """Add a row for each target and absent sentence, and for an image that shows nothing; the ids of the targets."""
        if not (annotated.targets or annotated.absent or annotated.is_empty):
            return []
        about, picture = self._describe(annotated.image), self._take_picture(annotated.image)
        split = annotated.image.split or DEFAULT_SPLIT
        names: list[Name] = []
        for target in annotated.targets:
            self._last += 1
            names.append(self._last)
            self.written.sentences += len(target.sentences)
            self._add_row(split, {"id": self._last, "image": picture, **self._describe_target(target), **about})
        self.written.absent += len(annotated.absent)
        for sentences in [[one] for one in annotated.absent] or ([[]] if annotated.is_empty else []):
            self._add_row(split, {"image": picture, "sentences": list(map(whole, sentences)), **about})
        return names

    def close(self, about: Mapping[str, Any]) -> None:
        """Write the last shards, and give all of them their final names and the final list of labels."""
        if not self._splits:
            self._shards(DEFAULT_SPLIT)
        for split, shards in self._splits.items():
            if shards.rows or not shards.files:
                self._write_shard(split, shards)
            for number, (part, known) in enumerate(shards.files):
                if known != len(self._names()):
                    self._rewrite_labels(part)
                part.rename(self._data / f"{split}-{number:05}-of-{len(shards.files):05}.parquet")
        self.written.head = self._make_head(about)

    def _describe(self, image: DatasetImage) -> Json:
        return {"image_key": image.key, "file_name": image.file_name, "group": whole(image.group)}

    def _describe_target(self, target: DatasetTarget) -> Json:
        return {
            "mask": {"bytes": _to_png(target.mask), "path": None},
            "sentences": list(map(whole, target.sentences)),
            "label": self._categories.id_of(target.label) - 1 if target.label else None,
            "verified": target.is_verified,
            "agreement": round(target.agreement, 4),
        }

    def _take_picture(self, image: DatasetImage) -> Json | None:
        """The image's bytes, whose file is deleted; None in a data set without images."""
        file = self._images / image.file_name
        if not file.exists():
            return None
        content = file.read_bytes()
        file.unlink()
        return {"bytes": content, "path": image.file_name}

    def _shards(self, split: str) -> _Shards:
        if split not in self._splits:
            if not _SPLIT.fullmatch(split):
                raise BadInput(
                    f"The split {split!r} cannot be one of Hugging Face's: letters, digits, _ and dots only.",
                    "Rename it in the tasks' data.",
                )
            self._data.mkdir(exist_ok=True)
            self._splits[split] = _Shards()
        return self._splits[split]

    def _add_row(self, split: str, row: Json) -> None:
        shards = self._shards(split)
        shards.rows.append(row)
        shards.size += sum(len(row[name]["bytes"]) for name in ("image", "mask") if row.get(name))
        if shards.size >= SHARD_BYTES:
            self._write_shard(split, shards)

    def _write_shard(self, split: str, shards: _Shards) -> None:
        import pyarrow

        part = self._data / f".{split}-{len(shards.files)}.part"
        features = self._features()
        columns = {name: [row.get(name) for row in shards.rows] for name in features}
        # not `to_parquet(part)`: where a file cannot be written, the Parquet library ends the process
        buffer = pyarrow.BufferOutputStream()
        with self._without_bars():
            self._datasets.Dataset.from_dict(columns, features=features).to_parquet(buffer)
        part.write_bytes(buffer.getvalue())
        shards.files.append((part, len(self._names())))
        shards.rows, shards.size = [], 0

    def _rewrite_labels(self, part: Path) -> None:
        """A label that nobody knew of before has come since; labels that were known keep their ids."""
        from pyarrow import parquet

        table = parquet.read_table(part).replace_schema_metadata(self._features().arrow_schema.metadata)
        parquet.write_table(table, part)

    def _names(self) -> list[str]:
        return self._categories.list_names() or [UNLABELLED]

    def _features(self) -> Any:
        kind = self._datasets
        return kind.Features(
            {
                "id": kind.Value("int64"),
                "image": kind.Image(),
                "mask": kind.Image(),
                "sentences": kind.List(kind.Value("string")),
                "label": kind.ClassLabel(names=self._names()),
                "verified": kind.Value("bool"),
                "agreement": kind.Value("float64"),
                "image_key": kind.Value("string"),
                "file_name": kind.Value("string"),
                "group": kind.Value("string"),
            }
        )

    @contextmanager
    def _without_bars(self) -> "Iterator[None]":
        is_quiet = self._datasets.utils.are_progress_bars_disabled()
        self._datasets.utils.disable_progress_bars()
        try:
            yield
        finally:
            if not is_quiet:
                self._datasets.utils.enable_progress_bars()

    def _make_head(self, about: Mapping[str, Any]) -> str:
        """What the card begins with: which files hold which split, and what the hub shows."""
        licence = str(about.get("licence", ""))
        known = licence.lower() in LICENCES
        return "\n".join(
            [
                "---",
                f"pretty_name: {_quote(about.get('title', ''))}",
                f"license: {licence.lower() if known else 'other'}",
                *([] if known else [f"license_name: {_quote(licence)}"]),
                "task_categories: [image-segmentation]",
                "configs:",
                "- config_name: default",
                "  data_files:",
                *(f'  - {{split: {_quote(split)}, path: "data/{split}-*.parquet"}}' for split in self._splits),
                "---",
                "",
                "",
            ]
        )


def _to_png(mask: Rle) -> bytes:
    buffer = io.BytesIO()
    Pil.fromarray(from_rle(mask).astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


def _quote(text: object) -> str:
    """Any text as a value of YAML, of which JSON's strings are part."""
    return to_json(one_line(whole(str(text))))
