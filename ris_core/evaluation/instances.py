"""COCO's `instances.json`: images, annotated objects and their masks."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco

from ris_core.arrays import Array
from ris_core.errors import BadInput

MOST_BITS = 40
"""Of a run length; pycocotools has 32."""


class InstancesImage(NamedTuple):
    """An image as the file states it."""

    file_name: str
    size_hw: tuple[int, int]


class InstanceAnnotation(NamedTuple):
    """An object as the file states it; `segmentation` is a list of polygons, a list of RLEs, or one RLE."""

    image_id: int
    category_id: int
    segmentation: Any
    is_crowd: bool


@dataclass(frozen=True)
class Instances:
    """Everything of an `instances.json` that is needed, by id."""

    file: Path
    pictures: Mapping[int, InstancesImage]
    annotations: Mapping[int, InstanceAnnotation]

    def picture(self, image_id: int) -> InstancesImage:
        """An image.

        Raises:
            BadInput: If the file has no such image.
        """
        if image_id not in self.pictures:
            raise BadInput(f"The image {image_id} is not in {self.file}. Get both files of the same release.")
        return self.pictures[image_id]

    def annotation(self, ann_id: int) -> InstanceAnnotation:
        """An object.

        Raises:
            BadInput: If the file has no such object.
        """
        if ann_id not in self.annotations:
            raise BadInput(f"The annotation {ann_id} is not in {self.file}. Get both files of the same release.")
        return self.annotations[ann_id]

    def same_class(self, annotation: InstanceAnnotation) -> int:
        """How many objects of its class its image has, itself included; crowds are not counted."""
        return self._classes[annotation.image_id, annotation.category_id]

    @cached_property
    def _classes(self) -> Counter[tuple[int, int]]:
        return Counter((a.image_id, a.category_id) for a in self.annotations.values() if not a.is_crowd)


def read_instances(file: Path) -> Instances:
    """Read an `instances.json`.

    Raises:
        BadInput: If it is missing, is not JSON, or lacks what COCO's format has.
    """
    content = read_json(file)
    try:
        return Instances(
            file=file,
            pictures={
                int(i["id"]): InstancesImage(str(i["file_name"]), (int(i["height"]), int(i["width"])))
                for i in content["images"]
            },
            annotations={
                int(a["id"]): InstanceAnnotation(
                    int(a["image_id"]), int(a["category_id"]), a["segmentation"], bool(a.get("iscrowd", 0))
                )
                for a in content["annotations"]
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"The file {file} is not in COCO's format: {type(error).__name__} {error}. It has images (id, file_name, "
            "height, width) and annotations (id, image_id, category_id, segmentation)."
        ) from error


def read_json(file: Path) -> Any:
    """The values of a JSON file.

    Raises:
        BadInput: If it is missing, no JSON, or nested too deep.
    """
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise BadInput(f"The file {file} cannot be read ({error.strerror}). Check the path.") from error
    except ValueError as error:
        raise BadInput(f"The file {file} is no JSON ({error}). Get it again.") from error
    except RecursionError as error:
        raise BadInput(f"The file {file} is nested deeper than any data set. Get it again.") from error


def rasterise(
    segmentation: Any, size_hw: tuple[int, int], *, overlap_is_background: bool = False
) -> Bool[Array, "h w"]:
    """Draw a segmentation as the COCO tools do.

    Args:
        segmentation: A list of polygons (flat lists x, y, x, y, …), a list of RLEs, or one RLE; polygons of fewer than
            three points have no area and are left out.
        size_hw: Height and width of the image.
        overlap_is_background: Pixels under two parts are left out (quirk Q-GTOVERLAP of the released code).

    Raises:
        BadInput: If it is none of those.
    """
    try:
        parts = _run_lengths(segmentation, *size_hw)
        covers = coco.decode(parts).sum(axis=2) if parts else np.zeros(size_hw, int)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise BadInput(
            f"A segmentation is {str(segmentation)[:80]!r}; it must be a list of polygons or of run lengths in COCO's format."
        ) from error
    if covers.shape != size_hw:
        raise BadInput(
            f"A mask's run lengths are for {covers.shape} (H, W), its image is {size_hw}. Get the file again."
        )
    return covers == 1 if overlap_is_background else covers > 0


def _run_lengths(segmentation: Any, height: int, width: int) -> list[dict[str, Any]]:
    parts: Sequence[Any] = [segmentation] if isinstance(segmentation, Mapping) else segmentation
    run_lengths = []
    for part in parts:
        if isinstance(part, Mapping):
            run_lengths.append(
                dict(part) if isinstance(part["counts"], str | bytes) else coco.frPyObjects(part, height, width)
            )
        elif len(part) >= 6:
            run_lengths += coco.frPyObjects([part], height, width)
    for one in run_lengths:
        if _count_pixels(one["counts"]) != math.prod(one["size"]):  # of the others pycocotools shows what was in memory
            raise ValueError("the run lengths are not for all pixels")
    return run_lengths


def _count_pixels(counts: str | bytes) -> int:
    """How many pixels compressed run lengths are for: digits of five bits, and from the fourth on differences to the last but one."""
    runs: list[int] = []
    number = bits = 0
    for byte in counts.encode("ascii") if isinstance(counts, str) else counts:
        digit = byte - ord("0")
        number |= (digit & 31) << bits
        bits += 5
        if bits > MOST_BITS:
            raise ValueError("a run length has no end")
        if not digit & 32:
            signed = number - (1 << bits if digit & 16 else 0)
            runs.append(signed + (runs[-2] if len(runs) > 2 else 0))
            number = bits = 0
    return sum(runs)
