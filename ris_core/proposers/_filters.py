"""From what a promptable model answers to proposals: masks without small holes and islands, each thing once.

A record is a mask ("segmentation") with "predicted_iou" and "stability_score", as the `segment_anything` package has it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool
from segment_anything.utils.amg import remove_small_regions

from ris_core.arrays import Array
from ris_core.geometry import boxes, masks
from ris_core.types import Proposals

COMPARED_PX = 256
"""Masks are compared at no more than this long side, the resolution of SAM's mask logits."""


def clean(record: Mapping[str, Any], smallest: float) -> dict[str, Any]:
    """Without holes and islands of a smaller area in pixels, with its "area", and with estimates that are shares."""
    mask = record["segmentation"]
    if smallest > 1:
        mask, _ = remove_small_regions(mask, smallest, mode="holes")
        mask, _ = remove_small_regions(mask, smallest, mode="islands")
    return {
        "segmentation": mask,
        "area": int(mask.sum()),
        "predicted_iou": min(max(record["predicted_iou"], 0.0), 1.0),  # SAM's head is a regression without bounds
        "stability_score": record["stability_score"],
    }


def keep_distinct(
    records: Sequence[dict[str, Any]], quality: Sequence[float], max_mask_iou: float
) -> list[dict[str, Any]]:
    """Those of the highest quality, best first, without others of nearly the same mask."""
    if not records:
        return []
    step = -(-max(records[0]["segmentation"].shape) // COMPARED_PX)
    small = np.stack([record["segmentation"][::step, ::step] for record in records])
    return [records[i] for i in masks.keep_distinct(small, np.array(quality), max_mask_iou)]


def to_proposals(records: Sequence[Mapping[str, Any]], size_hw: tuple[int, int]) -> Proposals:
    """Proposals at the image's size; masks of another size are scaled to it."""
    stack = np.zeros((len(records), *size_hw), bool)
    for mask, record in zip(stack, records, strict=True):
        mask[:] = _enlarge(record["segmentation"], size_hw)
    return Proposals(
        masks=stack,
        boxes_xywh=boxes.from_masks(stack),
        predicted_iou=np.array([record["predicted_iou"] for record in records], np.float32),
        stability=np.array([record["stability_score"] for record in records], np.float32),
    )


def _enlarge(mask: Bool[Array, "y x"], size_hw: tuple[int, int]) -> Bool[Array, "h w"]:
    if mask.shape == size_hw:
        return mask
    return cv2.resize(mask.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_LINEAR) >= 0.5
