"""Boxes: XYWH in pixels, tight and half-open (a one-pixel mask has width 1)."""

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array
from ris_core.geometry.run_length_masks import RunLengthMasks


def from_masks(masks: Bool[Array, "n h w"] | RunLengthMasks) -> Float[Array, "n 4"]:
    """Tight boxes of masks, float32 (N, 4); an empty mask has the box (0, 0, 0, 0)."""
    if isinstance(masks, RunLengthMasks):
        return masks.boxes_xywh
    boxes = np.zeros((len(masks), 4), np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        if len(columns):
            box[:] = columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
    return boxes


def iou(one: Float[Array, "n 4"], two: Float[Array, "m 4"]) -> Float[Array, "n m"]:
    """Pairwise IoU of two lists of boxes, in [0, 1]; 0 where both are empty."""
    low = np.maximum(one[:, None, :2], two[None, :, :2])
    high = np.minimum(one[:, None, :2] + one[:, None, 2:], two[None, :, :2] + two[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(-1)
    union = one[:, 2:].prod(-1)[:, None] + two[:, 2:].prod(-1)[None] - overlap
    ratios = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    # The sides of a box need not be whole pixels, and then the overlap may round to more than the union.
    ious: Float[Array, "n m"] = np.clip(ratios, 0, 1)
    return ious
