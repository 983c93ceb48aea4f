"""Binary masks: IoU, de-duplication, COCO run lengths, resizing to a token grid."""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array
from ris_core.geometry import run_length_masks
from ris_core.geometry.run_length_masks import RunLengthMasks

Stack = Array | RunLengthMasks
"""Masks of one image: an array bool (N, H, W), or run lengths."""


class Rle(TypedDict):
    """COCO compressed run lengths; `size` is height, width."""

    size: list[int]
    counts: str


def take(stack: Stack, numbers: Sequence[int]) -> Stack:
    """Some masks of a stack; those that are kept as run lengths stay so."""
    return stack.take(numbers) if isinstance(stack, RunLengthMasks) else stack[list(numbers)]


def iou(one: Bool[Array, "n h w"] | RunLengthMasks, two: Bool[Array, "m h w"] | RunLengthMasks) -> Float[Array, "n m"]:
    """Pairwise IoU of two stacks of masks of the same size, in [0, 1]; 0 where both are empty. Run lengths are compared as they are."""
    if isinstance(one, RunLengthMasks) and isinstance(two, RunLengthMasks):
        return one.iou(two)
    pixels = math.prod(one.shape[1:])  # -1 would not do: of no masks it cannot be told
    a, b = (stack.reshape(len(stack), pixels).astype(np.float32) for stack in map(np.asarray, (one, two)))
    overlap = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1)[None] - overlap
    ratios = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    ious: Float[Array, "n m"] = np.clip(ratios, 0, 1)  # above 2^24 pixels a float32 count is not exact
    return ious


def keep_distinct(
    masks: Bool[Array, "n h w"] | RunLengthMasks, priority: Float[Array, "n"], max_iou: float
) -> list[int]:
    """Indices of masks that survive mask-IoU suppression, highest priority first.

    Nested masks of similar boxes survive, which box suppression would drop (quirk Q-NMS of the released code).
    """
    overlaps = iou(masks, masks)
    kept: list[int] = []
    for i in np.argsort(-priority, kind="stable"):
        if not any(overlaps[i, j] > max_iou for j in kept):
            kept.append(int(i))
    return kept


def to_rle(mask: Bool[Array, "h w"]) -> Rle:
    """Encode as COCO compressed run lengths, exactly."""
    return {"size": [int(side) for side in mask.shape], "counts": run_length_masks.encode(mask).decode("ascii")}


def to_rles(stack: Bool[Array, "n h w"] | RunLengthMasks) -> list[Rle]:
    """Encode a stack; run lengths are as they are."""
    if not isinstance(stack, RunLengthMasks):
        return [to_rle(mask) for mask in stack]
    return [{"size": list(stack.shape[1:]), "counts": counts.decode("ascii")} for counts in stack.counts]


def from_rle(rle: Rle) -> Bool[Array, "h w"]:
    """Decode COCO compressed run lengths, exactly."""
    return run_length_masks.decode(rle["counts"].encode("ascii"), np.empty(rle["size"], bool))


def to_grid(masks: Bool[Array, "n h w"], side: int) -> Float[Array, "n side side"]:
    """Share of each cell of a square grid that a mask covers, float32 in [0, 1].

    The average is over areas, so a mask that has a pixel has a cell (unlike quirk Q-VANISH of the released code).
    """
    rows, columns = (_cell_shares(length, side) for length in masks.shape[1:])
    grids = np.zeros((len(masks), side, side), np.float32)
    for grid, mask in zip(grids, masks, strict=True):  # one by one: all at once would take four times the masks' memory
        grid[:] = rows @ mask.astype(np.float32) @ columns.T
    return np.clip(grids, 0, 1, out=grids)  # a sum of parts of a cell may round to more than the cell


def _cell_shares(length: int, cells: int) -> Float[Array, "cells length"]:
    """How much of each of `cells` equal cells each of `length` pixels fills."""
    pixels, starts = np.arange(length), np.arange(cells)[:, None] * (length / cells)
    overlap = np.minimum(pixels + 1, starts + length / cells) - np.maximum(pixels, starts)
    shares: Float[Array, "cells length"] = (np.clip(overlap, 0, None) * (cells / length)).astype(np.float32)
    return shares
