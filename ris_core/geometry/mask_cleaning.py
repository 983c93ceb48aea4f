"""Masks made light: specks dropped, pin-holes filled, rims smoothed. What a brush's run lengths cost is mostly their raggedness."""

import cv2
import numpy as np
from jaxtyping import Bool, Int

from ris_core.arrays import Array
from ris_core.geometry import boxes
from ris_core.geometry.masks import Stack
from ris_core.geometry.run_length_masks import RunLengthMasks

SPECK_SHARE = 0.01
"""Parts and holes smaller than this share of a mask's area are no part and no hole of the thing."""


def clean(mask: Bool[Array, "h w"], smooth_px: float = 0.0) -> Bool[Array, "h w"]:
    """A mask without specks and pin-holes, itself if it has none; an empty one stays empty, and none becomes empty.

    Args:
        mask: bool (H, W).
        smooth_px: Standard deviation, in pixels, of the blur that the rim is smoothed with; 0 leaves it as it is.

    Raises:
        ValueError: If `smooth_px` is negative.
    """
    if smooth_px < 0:
        raise ValueError(f"smooth_px is {smooth_px}; give 0 or more pixels.")
    if not mask.any():
        return mask
    left, upper, width, height = boxes.from_masks(mask[None])[0].astype(int)
    as_it_is = mask[upper : upper + height, left : left + width]  # the rest of a large image costs nothing
    inside = _smooth(as_it_is, smooth_px) if smooth_px else as_it_is
    least = SPECK_SHARE * inside.sum()
    clean_inside = _fill_holes(_drop_parts(inside, least), least)
    if clean_inside is as_it_is:
        return mask
    clean_mask = np.zeros_like(mask)
    clean_mask[upper : upper + height, left : left + width] = clean_inside
    return clean_mask


def clean_all(masks: Stack, smooth_px: float = 0.0) -> Stack:
    """Each of a stack of masks, cleaned. Run lengths stay run lengths, and those of what is clean already stay as they are."""
    if isinstance(masks, RunLengthMasks):
        return masks.map_inside(lambda mask: clean(mask, smooth_px))
    cleaned = np.empty_like(masks)
    for clean_mask, mask in zip(cleaned, masks, strict=True):
        clean_mask[:] = clean(mask, smooth_px)
    return cleaned


def _smooth(mask: Bool[Array, "y x"], smooth_px: float) -> Bool[Array, "y x"]:
    """Blurred and cut at a half; beyond the edge of the crop there is nothing, at the image's edge this takes a corner."""
    margin = int(np.ceil(3 * smooth_px))
    padded = np.pad(mask.astype(np.float32), margin)
    smooth = cv2.GaussianBlur(padded, (0, 0), smooth_px)[margin:-margin, margin:-margin] >= 0.5
    return smooth if smooth.any() else mask  # thinner than the blur


def _drop_parts(mask: Bool[Array, "y x"], least_px: float) -> Bool[Array, "y x"]:
    """Without parts of fewer pixels; the largest stays."""
    labels, areas = _find_parts(mask, connectivity=8)
    is_kept = areas >= min(least_px, areas[1:].max())
    is_kept[0] = False
    return mask if is_kept[1:].all() else is_kept[labels]


def _fill_holes(mask: Bool[Array, "y x"], least_px: float) -> Bool[Array, "y x"]:
    """Without holes of fewer pixels. What is open at the crop's edge is no hole."""
    labels, areas = _find_parts(~np.pad(mask, 1), connectivity=4)
    is_filled = areas < least_px
    is_filled[[0, labels[0, 0]]] = False
    return mask | is_filled[labels][1:-1, 1:-1] if is_filled.any() else mask


def _find_parts(mask: Bool[Array, "y x"], connectivity: int) -> tuple[Int[Array, "y x"], Int[Array, "n"]]:
    """A number for each pixel's part, 0 for none, and the parts' areas in pixels."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=connectivity)
    return labels, statistics[:, cv2.CC_STAT_AREA]
