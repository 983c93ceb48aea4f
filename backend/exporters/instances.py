"""COCO's `instances.json`. Annotations are written to a second file as they come, so that they are never all in memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from pycocotools import mask as coco

from backend.corrections.matching import area
from backend.exporters.categories import Categories
from backend.exporters.targets import DatasetImage, DatasetTarget
from backend.label_studio.protocol import Json
from ris_core.geometry.masks import Rle, from_rle
from ris_core.geometry.polygons import to_polygon
from ris_core.output.plain_text import to_json


class InstancesFile:
    """Writes an `instances.json`.

    Args:
        file: The file; its folder is created.
        categories: Of all files of the data set.
    """

    def __init__(self, file: Path, categories: Categories) -> None:
        self._file = file
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._part = file.with_name(f".{file.name}.part")
        self._annotations: TextIO = self._part.open("w", encoding="utf-8")
        self._images: dict[str, Json] = {}
        self._categories = categories
        self._last_id = 0

    def image_id(self, image: DatasetImage) -> int:
        """Id of an image; a new one is added."""
        entry = self._images.get(image.key)
        if entry is None:
            height, width = image.size_hw
            split = {"split": image.split} if image.split else {}
            group = {"group": image.group} if image.group else {}
            entry = {
                "id": len(self._images) + 1,
                "file_name": image.file_name,
                "height": height,
                "width": width,
                "address": image.address,
                "key": image.key,
                **split,
                **group,
            }
            self._images[image.key] = entry
        return int(entry["id"])

    def add(
        self, image: DatasetImage, target: DatasetTarget, segmentation: Any, category_id: int | None = None
    ) -> Json:
        """Write an annotation, and return it without its segmentation, which may be large.

        Args:
            segmentation: Run lengths or polygons, as the format has them.
            category_id: That of the target's label, if None.
        """
        self._last_id += 1
        annotation: Json = {
            "id": self._last_id,
            "image_id": self.image_id(image),
            "category_id": category_id or self._categories.id_of(target.label),
            "bbox": box_of(target.mask),
            "area": area(target.mask),
            "iscrowd": 0,
            "segmentation": segmentation,
            "sentences": list(target.sentences),
            **target.provenance(),
        }
        self._annotations.write(("" if self._last_id == 1 else ",\n") + to_json(annotation))
        del annotation["segmentation"]
        return annotation

    def close(self, about: Mapping[str, Any]) -> None:
        """Write the file: images and categories, then the annotations from the second file."""
        self._annotations.close()
        names = enumerate(self._categories.list_names(), 1)
        categories = [{"id": id, "name": name, "supercategory": ""} for id, name in names]
        with self._file.open("w", encoding="utf-8") as whole, self._part.open(encoding="utf-8") as part:
            whole.write('{"info": ' + to_json({"description": about.get("title", ""), **about}))
            whole.write(',\n"licenses": ' + to_json([{"id": 1, "name": about.get("licence", ""), "url": ""}]))
            whole.write(',\n"categories": ' + to_json(categories))
            whole.write(',\n"images": [' + ",\n".join(to_json(image) for image in self._images.values()))
            whole.write('],\n"annotations": [')
            while chunk := part.read(1 << 20):
                whole.write(chunk)
            whole.write("]}\n")
        self._part.unlink()


def polygons_of(rle: Rle) -> list[list[int]]:
    """A mask as COCO's polygons, exactly: a list of one, whose bridges join all parts and holes."""
    return [to_polygon(from_rle(rle)).tolist()]


def box_of(rle: Rle) -> list[float]:
    """Tight box of a mask: x, y, width, height in pixels."""
    box = coco.toBbox({"size": rle["size"], "counts": rle["counts"].encode("ascii")})
    return [float(side) for side in np.asarray(box)]
