"""Similarity of masks, and their assignment to each other.

Sources: [0] Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021; [1] Kuhn, "The
Hungarian method for the assignment problem", 1955, as scipy solves it.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from pycocotools import mask as coco

from ris_core.geometry.masks import Rle, from_rle

BOUNDARY_SHARE = 0.02
"""Width of a mask's boundary, as a share of the image's diagonal: as in [0]."""


def overlaps(first: Sequence[Rle], second: Sequence[Rle]) -> Float[ndarray, "n m"]:
    """Pairwise IoU in [0, 1], without decoding; 0 for masks of different sizes, and for two empty ones."""
    ious = np.zeros((len(first), len(second)))
    for size in {tuple(rle["size"]) for rle in first} & {tuple(rle["size"]) for rle in second}:
        rows = [i for i, rle in enumerate(first) if tuple(rle["size"]) == size]
        columns = [j for j, rle in enumerate(second) if tuple(rle["size"]) == size]
        packed = [[_packed(masks[i]) for i in indices] for masks, indices in ((first, rows), (second, columns))]
        # pycocotools returns NaN for two empty masks
        ious[np.ix_(rows, columns)] = np.nan_to_num(coco.iou(*packed, [False] * len(columns)))
    return ious


def overlap(first: Rle, second: Rle) -> float:
    """IoU of two masks, in [0, 1]."""
    return float(overlaps([first], [second])[0, 0])


def boundary_overlap(first: Rle, second: Rle) -> float:
    """IoU of the boundaries of two masks, in [0, 1]: their pixels near their own outlines, [0] Eq. 2; 0 for different sizes."""
    if first["size"] != second["size"]:
        return 0.0
    if first["counts"] == second["counts"]:
        return 1.0
    width_px = max(1, round(BOUNDARY_SHARE * math.hypot(*first["size"])))
    masks = from_rle(first), from_rle(second)
    rows, columns = (np.flatnonzero((masks[0] | masks[1]).any(axis)) for axis in (1, 0))
    if not len(rows):
        return 0.0
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    boundary, other = (_boundary(mask[inside], width_px) for mask in masks)
    return float((boundary & other).sum() / (boundary | other).sum())


def unite(masks: Sequence[Rle]) -> Rle:
    """All pixels of some masks of one size; of several sizes those of the first mask's size."""
    fitting = [_packed(mask) for mask in masks if mask["size"] == masks[0]["size"]]
    united = coco.merge(fitting)
    return Rle(size=list(masks[0]["size"]), counts=united["counts"].decode("ascii"))


def area(rle: Rle) -> int:
    """Number of pixels of a mask."""
    return int(coco.area(_packed(rle)))


def assign(similarity: Float[ndarray, "n m"], minimum: float) -> list[tuple[int, int]]:
    """Pairs of a row and a column, each in one pair at most, with the greatest total similarity. [1]

    Args:
        similarity: In [0, 1].
        minimum: Pairs with a lower similarity are not made.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    allowed = np.where(similarity >= minimum, similarity, 0.0)
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j] > 0]


def _boundary(mask: Bool[ndarray, "h w"], width_px: int) -> Bool[ndarray, "h w"]:
    padded = np.pad(mask.astype(np.uint8), 1)  # a mask that touches the image's edge has a boundary there
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width_px, borderType=cv2.BORDER_CONSTANT)
    return (padded > inner)[1:-1, 1:-1]


def _packed(rle: Rle) -> dict[str, object]:
    return {"size": rle["size"], "counts": rle["counts"].encode("ascii")}
