"""COCO's files: `annotations/instances*.json`, one for each split, and their images.

Run lengths, polygons and crowds are read. Sentences are in `sentences` of an annotation, where `ris export` writes them.

Source: the format as https://cocodataset.org/#format-data describes it.
"""

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Bool

from backend.base.redaction import reason_of
from backend.importers.json_stream import read_elements
from backend.importers.source import DataSource, SourceImage, SourceObject
from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.evaluation.instances import rasterise
from ris_core.images.decoding import MAX_PIXELS


class CocoImage(NamedTuple):
    """An image as the file states it."""

    file_name: str
    size_hw: tuple[int, int]


class CocoObject(NamedTuple):
    """An annotation as the file states it; its segmentation as JSON text, which takes an eighth of the memory."""

    id: int
    category_id: int
    segmentation: bytes
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class CocoFile:
    """What is needed of an `instances.json`.

    Attributes:
        images: By id.
        objects: By id of the image, in the file's order.
        categories: Name by id.
    """

    file: Path
    images: dict[int, CocoImage] = field(default_factory=dict)
    objects: dict[int, list[CocoObject]] = field(default_factory=lambda: defaultdict(list))
    categories: dict[int, str] = field(default_factory=dict)

    def add_image(self, element: Mapping[str, Any]) -> None:
        """Take an element of `images`."""
        size_hw = int(element["height"]), int(element["width"])
        self.images[int(element["id"])] = CocoImage(str(element["file_name"]), size_hw)

    def add_category(self, element: Mapping[str, Any]) -> None:
        """Take an element of `categories`."""
        self.categories[int(element["id"])] = str(element["name"])

    def image(self, image_id: int) -> CocoImage:
        """An image.

        Raises:
            BadInput: If the file has no such image.
        """
        if image_id not in self.images:
            raise BadInput(f"The image {image_id} is not in {self.file}.", "Get both files of the same release.")
        return self.images[image_id]

    def source_object(self, one: CocoObject, size_hw: tuple[int, int], sentences: tuple[str, ...]) -> SourceObject:
        """An annotation with its sentences."""
        what = f"The segmentation of annotation {one.id} in {self.file}"
        label = self.categories.get(one.category_id, "")
        return SourceObject(str(one.id), label, sentences, partial(_draw, one.segmentation, size_hw, what))


def read_coco_file(file: Path, only: Collection[int] | None = None) -> CocoFile:
    """Read an `instances.json`, an element at a time.

    Args:
        only: Ids of the annotations that are kept; all if None.

    Raises:
        BadInput: If it cannot be read, or is not in COCO's format.
    """
    content = CocoFile(file)

    def add_object(element: Mapping[str, Any]) -> None:
        if only is None or int(element["id"]) in only:
            content.objects[int(element["image_id"])].append(_read_object(element))

    members = {"images": content.add_image, "categories": content.add_category, "annotations": add_object}
    for member, add in members.items():
        for element in read_elements(file, member):
            try:
                add(element)
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
                raise BadInput(
                    f"An element of {member!a} in {file} is not in COCO's format: {type(error).__name__} {reason_of(error)}.",
                    "Images have id, file_name, height and width; annotations have id, image_id, category_id and segmentation.",
                ) from error
    return content


def read_coco(root: Path, images: Path | None = None) -> DataSource:
    """Read a data set in COCO's format.

    Args:
        images: Folder of the images; `images`, `images/SPLIT` or `SPLIT` in the root if None.

    Raises:
        BadInput: If it has no annotations, or they are not in the format.
    """
    names = sorted((root / "annotations").glob("instances*.json"))
    if not names:
        raise BadInput(f"{root} has no annotations/instances*.json.", "Put COCO's files there, or name another --root.")
    files = [read_coco_file(name) for name in names]
    count = sum(len(file.images) for file in files)
    if not count:
        raise BadInput(f"{', '.join(map(str, names))}: no images are listed.", "Get COCO's instances files.")
    labels = dict.fromkeys(label for file in files for label in file.categories.values())
    return DataSource("coco", tuple(labels), count, partial(_images, root, images, files))


def _images(root: Path, folder: Path | None, files: list[CocoFile]) -> Iterator[SourceImage]:
    for file in files:
        split = file.file.stem.removeprefix("instances").removeprefix("_")
        places = [root / "images" / split, root / split] if split else []
        place = folder or next((place for place in places if place.is_dir()), root / "images")
        for image_id, image in file.images.items():
            objects = file.objects.get(image_id, [])
            yield SourceImage(
                id=f"{file.file.stem}/{image_id}",
                folder=place,
                name=image.file_name,
                size_hw=image.size_hw,
                split=split,
                objects=tuple(file.source_object(one, image.size_hw, one.sentences) for one in objects),
                absent=(),
                content=describe(objects, [one.sentences for one in objects]),
            )


def describe(objects: Collection[CocoObject], sentences: Any) -> str:
    """What objects and their sentences are, as text."""
    return json.dumps([[[one.id, one.category_id, one.segmentation.decode()] for one in objects], sentences])


def _read_object(element: Mapping[str, Any]) -> CocoObject:
    sentences = element.get("sentences") or ()
    is_list = isinstance(sentences, list) and all(isinstance(sentence, str) for sentence in sentences)
    return CocoObject(
        id=int(element["id"]),
        category_id=int(element["category_id"]),
        segmentation=json.dumps(element["segmentation"]).encode(),
        sentences=tuple(sentences) if is_list else (),  # RefCOCO's are in other files
    )


def _draw(segmentation: bytes, size_hw: tuple[int, int], what: str) -> Bool[Array, "h w"]:
    if not 0 < size_hw[0] * size_hw[1] <= MAX_PIXELS or min(size_hw) < 1:
        raise BadInput(f"{what} is of an image of {size_hw} (H, W).", f"Images have 1 to {MAX_PIXELS:,} pixels.")
    content = json.loads(segmentation)
    _check(content, size_hw, what)
    return rasterise(content, size_hw)


def _check(content: Any, size_hw: tuple[int, int], what: str) -> None:
    """Refuse what would take memory without end: sizes and coordinates far beyond the image."""
    limit = 4 * max(size_hw)
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict):
            if part.get("size") != list(size_hw):
                raise BadInput(
                    f"{what} is for {part.get('size')!a} (H, W), its image is {size_hw}.", "Get the file again."
                )
        elif not isinstance(part, list) or not all(
            isinstance(number, int | float) and math.isfinite(number) and abs(number) <= limit for number in part
        ):
            raise BadInput(
                f"{what} has corners that are no numbers, or far outside of the image.", "Get the file again."
            )
