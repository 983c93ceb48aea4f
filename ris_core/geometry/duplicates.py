"""Which proposals show the same thing: near copies, wholes and their parts."""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

COMPARED_PX = 128
"""Masks are compared at no more than this long side."""
SAME_IOU = 0.5
"""Proposals that overlap more are one thing."""
PART = 0.8
"""A proposal of which this share lies in another is a part of it."""


def overlaps(masks: Bool[ndarray, "n h w"]) -> Float[ndarray, "n n"]:
    """Share of the first proposal that lies in the second, in [0, 1]."""
    step = max(1, -(-max(masks.shape[1:]) // COMPARED_PX))
    few = masks[:, ::step, ::step]
    small = few.reshape(len(few), int(np.prod(few.shape[1:]))).astype(np.float32)  # also of no masks at all
    return (small @ small.T) / np.maximum(small.sum(1), 1)[:, None]


def copies(inside: Float[ndarray, "n n"]) -> Bool[ndarray, "n n"]:
    """Whether two proposals are the same region, by what `overlaps` gives."""
    inverse_iou = 1 / np.maximum(inside, 1e-9) + 1 / np.maximum(inside.T, 1e-9) - 1
    return (1 / inverse_iou > SAME_IOU) | np.eye(len(inside), dtype=bool)


def same_thing(inside: Float[ndarray, "n n"]) -> Bool[ndarray, "n n"]:
    """Whether two proposals show one thing: as copies, or as a whole and its part."""
    return copies(inside) | (np.maximum(inside, inside.T) > PART)


def representatives(weights: Float[ndarray, "n"], same: Bool[ndarray, "n n"]) -> Bool[ndarray, "n"]:
    """One proposal for each thing: the best that is not the same thing as a better one."""
    chosen = np.zeros(len(weights), bool)
    for i in np.argsort(-weights, kind="stable"):
        chosen[i] = not (same[i] & chosen).any()
    return chosen
