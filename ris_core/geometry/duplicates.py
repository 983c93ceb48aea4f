"""Which proposals show the same thing: near copies, wholes and their parts."""

import numpy as np
from jaxtyping import Bool, Float, Int

from ris_core.arrays import Array
from ris_core.geometry.run_length_masks import RunLengthMasks

COMPARED_PX = 128
"""Masks are compared at no more than this long side."""
SAME_IOU = 0.5
"""Proposals that overlap more are one thing."""
PART = 0.8
"""A proposal of which this share lies in another is a part of it."""


def sample(masks: Bool[Array, "n h w"] | RunLengthMasks) -> Bool[Array, "n p"]:
    """Every mask at the same few pixels: every k-th row and column, so that no side is above `COMPARED_PX`."""
    step = max(1, -(-max(masks.shape[1:]) // COMPARED_PX))
    height, width = (-(-side // step) for side in masks.shape[1:])
    samples = np.empty((len(masks), height * width), bool)
    for i, mask in enumerate(masks):  # one by one: of run lengths only one mask is decoded at a time
        samples[i] = mask[::step, ::step].ravel()
    return samples


def intersections(masks: Bool[Array, "n h w"] | RunLengthMasks) -> Int[Array, "n n"]:
    """Samples that two masks share, by `sample`; exact."""
    small = sample(masks).astype(np.float32)  # counts are below 2^24, so float32 holds them exactly
    shared: Int[Array, "n n"] = (small @ small.T).astype(np.int64)
    return shared


def inside(shared: Int[Array, "n n"]) -> Float[Array, "n n"]:
    """Share of the first proposal that lies in the second, in [0, 1], from what `intersections` gives."""
    counts = shared.astype(np.float32)
    shares: Float[Array, "n n"] = counts / np.maximum(counts.diagonal(), 1)[:, None]
    return shares


def overlaps(masks: Bool[Array, "n h w"] | RunLengthMasks) -> Float[Array, "n n"]:
    """Share of the first mask that lies in the second, in [0, 1]."""
    return inside(intersections(masks))


def copies(shares: Float[Array, "n n"]) -> Bool[Array, "n n"]:
    """Whether two proposals are the same region, by what `overlaps` gives."""
    inverse_iou = 1 / np.maximum(shares, 1e-9) + 1 / np.maximum(shares.T, 1e-9) - 1
    is_copy: Bool[Array, "n n"] = (1 / inverse_iou > SAME_IOU) | np.eye(len(shares), dtype=bool)
    return is_copy


def same_thing(shares: Float[Array, "n n"]) -> Bool[Array, "n n"]:
    """Whether two proposals show one thing: as copies, or as a whole and its part."""
    return copies(shares) | (np.maximum(shares, shares.T) > PART)


def representatives(weights: Float[Array, "n"], same: Bool[Array, "n n"]) -> Bool[Array, "n"]:
    """One proposal for each thing: the best that is not the same thing as a better one."""
    is_best = np.zeros(len(weights), bool)
    for i in np.argsort(-weights, kind="stable"):
        is_best[i] = not (same[i] & is_best).any()
    return is_best
