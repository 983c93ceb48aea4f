"""PhraseCut (VGPhraseCut_v0): phrases about Visual Genome images, each with all the objects it fits.

    <root>/image_data_split3000.json
    <root>/refer_train.json, refer_val.json, refer_test.json, refer_miniv.json
    <root>/images/<image_id>.jpg

Source: [0] Wu et al., "PhraseCut: Language-based Image Segmentation in the Wild", CVPR 2020, and its published files.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image as Pil
from PIL import ImageDraw

from ris_core.arrays import Array
from ris_core.errors import BadInput, UnknownName
from ris_core.evaluation.dataset import (
    Dataset,
    DatasetItem,
    EvaluationImage,
    EvaluationSample,
    digest_files,
    open_pixels,
    shuffled,
)
from ris_core.evaluation.instances import read_json

SPLITS = ("train", "val", "test", "miniv")


def read_phrasecut(root: Path, split: str) -> Dataset:
    """Read a split of PhraseCut; the target of a phrase is the union of its instances.

    Raises:
        UnknownName: If there is no such split.
        BadInput: If a file is missing or is not in its format.
    """
    if split not in SPLITS:
        raise UnknownName(f"PhraseCut has no split named {split!r}. Available: {', '.join(SPLITS)}.")
    about, phrases = root / "image_data_split3000.json", root / f"refer_{split}.json"
    try:
        sizes_hw = {int(i["image_id"]): (int(i["height"]), int(i["width"])) for i in read_json(about)}
        by_image: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for task in read_json(phrases):
            by_image[int(task["image_id"])].append(
                {"id": str(task["task_id"]), "phrase": str(task["phrase"]), "instances": list(task["Polygons"])}
            )
        items = [
            DatasetItem(str(image_id), partial(_load, root / "images" / f"{image_id}.jpg", sizes_hw[image_id], tasks))
            for image_id, tasks in by_image.items()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{phrases.name} or {about.name} in {root} is not in PhraseCut's format: {type(error).__name__} {error}. "
            "Get both files of VGPhraseCut_v0."
        ) from error
    return Dataset(
        name="phrasecut",
        split=split,
        items=shuffled(items),
        digest=digest_files([about, phrases], "union"),
        precision_at=(0.3, 0.5, 0.7, 0.9),  # [0] with 0.3, the papers without
    )


def draw_polygons(polygons: Sequence[Sequence[Sequence[float]]], size_hw: tuple[int, int]) -> Bool[Array, "h w"]:
    """Fill polygons as [0] does: corners cut to whole pixels, outlines included.

    Args:
        polygons: Each a list of corners [x, y] in pixels; a polygon of fewer than two corners is left out.
        size_hw: Height and width of the image.

    Raises:
        BadInput: If a polygon is none.
    """
    canvas = Pil.new("1", (size_hw[1], size_hw[0]))
    pencil = ImageDraw.Draw(canvas)
    try:
        for corners in ([(int(x), int(y)) for x, y in polygon] for polygon in polygons):
            if len(corners) >= 2:
                pencil.polygon(corners, fill=1, outline=1)
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"A polygon of PhraseCut is {str(polygons)[:80]!r}; its corners must be [x, y]. Get the file again."
        ) from error
    return np.asarray(canvas).copy()


def _load(file: Path, size_hw: tuple[int, int], tasks: Sequence[Mapping[str, Any]]) -> EvaluationImage:
    """The image at the size that the annotations are for; some files have another one."""
    instances = [(number, polygons) for number, task in enumerate(tasks) for polygons in task["instances"]]
    return EvaluationImage(
        image=open_pixels(file, size_hw, resize=True),
        objects=np.array([draw_polygons(polygons, size_hw) for _, polygons in instances], bool).reshape(-1, *size_hw),
        samples=tuple(
            EvaluationSample(
                id=task["id"],
                text=task["phrase"],
                targets=tuple(row for row, (owner, _) in enumerate(instances) if owner == number),
            )
            for number, task in enumerate(tasks)
        ),
    )
