"""A simulated annotator at one expression: accepts, mends or repaints what is offered, wherever that comes from.

One accepts a mask whose IoU with the truth is at least `ACCEPTED_IOU`. Else, as far as the feature is there: the next candidates are
looked through if one of them is right; the middle of the largest error is clicked on, up to `MAX_CLICKS` times, and what
else a click can mean is looked through if that is right; and in the end the mask is repainted.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ris_core.geometry import masks

ACCEPTED_IOU = 0.85
"""An annotator accepts a mask that overlaps the true one at least so much."""
MAX_CLICKS = 5
REPAINT_ACTIONS = 10
"""What repainting is taken to cost: taking the brush and its size, strokes along the outline, filling."""

Mask = Bool[ndarray, "h w"]


class OfferedMask(NamedTuple):
    """What an annotator sees.

    Attributes:
        mask: bool (H, W), everything that is offered together; empty if nothing is.
        others: bool (K, H, W), what "next" would show, in its order.
    """

    mask: ndarray
    others: ndarray


class Workplace(Protocol):
    """Where an annotator works at one expression."""

    def ask(self) -> OfferedMask:
        """Type the expression."""

    def click(self, points_xy: Float[ndarray, "p 2"], is_positive: Bool[ndarray, "p"]) -> OfferedMask:
        """Click for the last time; all clicks since the expression was answered, in pixels."""


@dataclass(frozen=True)
class RefinementLog:
    """How one mask was reached.

    Attributes:
        nexts: Candidates that were looked through, after the last click if there was one.
        clicks: Clicks that were made.
        is_repainted: None of it helped.
        iou: Of the mask that was accepted with the truth, or of the last one that was not.
    """

    nexts: int
    clicks: int
    is_repainted: bool
    iou: float

    @property
    def actions(self) -> int:
        """Everything the annotator did, accepting or repainting included."""
        return self.nexts + self.clicks + (REPAINT_ACTIONS if self.is_repainted else 1)


def mend(place: Workplace, truth: Mask, may: Collection[str]) -> RefinementLog:
    """Ask, and go on until the mask is right or it is repainted.

    Args:
        truth: What the expression means; not empty.
        may: "next", "clicks", both or none of them.
    """
    seen, clicks = place.ask(), 0
    points_xy: ndarray = np.zeros((0, 2))
    is_positive: ndarray = np.zeros(0, bool)
    while True:
        if (overlap := measure_iou(seen.mask, truth)) >= ACCEPTED_IOU:
            return RefinementLog(0, clicks, False, overlap)
        if "next" in may and (found := _look_through(seen.others, truth)):
            return RefinementLog(found[0], clicks, False, found[1])
        if "clicks" not in may or clicks == MAX_CLICKS:
            return RefinementLog(0, clicks, True, overlap)
        at, adds = _find_error(seen.mask, truth)
        points_xy, is_positive, clicks = np.vstack([points_xy, at]), np.append(is_positive, adds), clicks + 1
        seen = place.click(points_xy, is_positive)


def measure_iou(one: Mask, two: Mask) -> float:
    """IoU of two masks."""
    return float(masks.iou(one[None], two[None])[0, 0])


def _look_through(offered: Bool[ndarray, "k h w"], truth: Mask) -> tuple[int, float] | None:
    """How many candidates an annotator looks at until the right one, and its IoU; None if there is none, which is seen at once."""
    overlaps = [measure_iou(mask, truth) for mask in offered]
    right = next((i for i, overlap in enumerate(overlaps) if overlap >= ACCEPTED_IOU), None)
    return None if right is None else (right + 1, overlaps[right])


def _find_error(mask: Mask, truth: Mask) -> tuple[ndarray, bool]:
    """The middle of the largest connected error, x and y in pixels, and whether it is missing from the mask."""
    largest = max(_list_errors(mask, truth), key=lambda found: found[1].sum())
    is_missing, error = largest
    depth = cv2.distanceTransform(np.pad(error, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return np.array([x + 0.5, y + 0.5]), is_missing


def _list_errors(mask: Mask, truth: Mask) -> Iterator[tuple[bool, Mask]]:
    for is_missing, wrong in ((True, truth & ~mask), (False, mask & ~truth)):
        count, labels = cv2.connectedComponents(wrong.astype(np.uint8))
        for i in range(1, count):
            yield is_missing, labels == i
