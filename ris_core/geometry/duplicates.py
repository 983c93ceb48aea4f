"""Which proposals show the same thing: near copies, wholes and their parts."""

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array

COMPARED_PX = 128
"""Masks are compared at no more than this long side."""
SAME_IOU = 0.5
"""Proposals that overlap more are one thing."""
PART = 0.8
"""A proposal of which this share lies in another is a part of it."""


def overlaps(masks: Bool[Array, "n h w"]) -> Float[Array, "n n"]:
    """Share of the first proposal that lies in the second, in [0, 1]."""
    step = max(1, -(-max(masks.shape[1:]) // COMPARED_PX))
    few = masks[:, ::step, ::step]
    small = few.reshape(len(few), int(np.prod(few.shape[1:]))).astype(np.float32)  # also of no masks at all
    shares: Float[Array, "n n"] = (small @ small.T) / np.maximum(small.sum(1), 1)[:, None]
    return shares


def copies(inside: Float[Array, "n n"]) -> Bool[Array, "n n"]:
    """Whether two proposals are the same region, by what `overlaps` gives."""
    inverse_iou = 1 / np.maximum(inside, 1e-9) + 1 / np.maximum(inside.T, 1e-9) - 1
    is_copy: Bool[Array, "n n"] = (1 / inverse_iou > SAME_IOU) | np.eye(len(inside), dtype=bool)
    return is_copy


def same_thing(inside: Float[Array, "n n"]) -> Bool[Array, "n n"]:
    """Whether two proposals show one thing: as copies, or as a whole and its part."""
    return copies(inside) | (np.maximum(inside, inside.T) > PART)


def representatives(weights: Float[Array, "n"], same: Bool[Array, "n n"]) -> Bool[Array, "n"]:
    """One proposal for each thing: the best that is not the same thing as a better one."""
    is_best = np.zeros(len(weights), bool)
    for i in np.argsort(-weights, kind="stable"):
        is_best[i] = not (same[i] & is_best).any()
    return is_best
