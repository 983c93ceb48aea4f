"""The order of cleanlab's scores of boxes, beside which `ris bench suspicion` puts ours.

Source: Tkachenko, Thyagarajan and Mueller, "ObjectLab: Automated Diagnosis of Mislabeled Images in Object Detection Data", 2023,
as cleanlab computes it. Its scores of badly placed boxes and of swapped labels are of one annotated box each; that of overlooked boxes
is of none, and is left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from pycocotools import mask as coco

from backend.review.suspicion import SuspectRegion
from ris_core.arrays import Array
from ris_core.geometry.masks import Rle

INSTALL = "pip install cleanlab==2.9.0"


class BoxedRegion(NamedTuple):
    """A region, and the label of what its words mean, which is what a detector would have predicted."""

    region: SuspectRegion
    meant: str


def is_installed() -> bool:
    """Whether cleanlab is there. The project does not need it."""
    try:
        import cleanlab  # noqa: F401  # only asked for
    except ModuleNotFoundError:
        return False
    return True


def score_boxes(boxed: Sequence[BoxedRegion]) -> Float[Array, "n"]:
    """Quality of each region in [0, 1], the lowest first to be looked at: the lower one of its box and its label.

    Raises:
        ModuleNotFoundError: If cleanlab is not installed.
    """
    from cleanlab.object_detection import rank

    names = {name for region, meant in boxed for name in (region.label, meant)}
    classes = {name: number for number, name in enumerate(sorted(names))}
    by_task: dict[str, list[int]] = {}
    for place, one in enumerate(boxed):
        by_task.setdefault(one.region.task, []).append(place)
    labels = [_annotated([boxed[i] for i in places], classes) for places in by_task.values()]
    predictions = [_predicted([boxed[i] for i in places], classes) for places in by_task.values()]
    scores = np.ones(len(boxed))
    for compute in (rank.compute_badloc_box_scores, rank.compute_swap_box_scores):
        for places, own in zip(by_task.values(), compute(labels=labels, predictions=predictions), strict=True):
            scores[places] = np.minimum(scores[places], own)
    return scores


def _annotated(boxed: Sequence[BoxedRegion], classes: dict[str, int]) -> dict[str, Array]:
    """The annotated boxes of an image and their classes."""
    boxes = np.array([_corners(one.region.mask) for one in boxed])
    return {"bboxes": boxes, "labels": np.array([classes[one.region.label] for one in boxed])}


def _predicted(boxed: Sequence[BoxedRegion], classes: dict[str, int]) -> Array:
    """The proposals of an image as a detector's: for each class the corners of its boxes, and their probabilities."""
    rows: list[list[list[float]]] = [[] for _ in classes]
    for region, meant in boxed:
        if region.proposed is not None and region.probability is not None:
            rows[classes[meant]].append([*_corners(region.proposed), region.probability])
    predicted = np.empty(len(classes), object)
    predicted[:] = [np.array(own).reshape(-1, 5) for own in rows]
    return predicted


def _corners(mask: Rle) -> list[float]:
    """Left, top, right and bottom of a mask's box, in pixels."""
    x, y, width, height = coco.toBbox(mask).tolist()
    return [x, y, x + width, y + height]
