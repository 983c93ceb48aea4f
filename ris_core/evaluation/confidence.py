"""Do the scores say how often the answers are right? Reliability, expected calibration error, risk against coverage.

Sources: [0] Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (ECE, reliability); [1] Geifman, El-Yaniv,
"Selective Classification for Deep Neural Networks", NeurIPS 2017 (risk and coverage).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array

BINS = 10
"""Bins of equal width that scores in [0, 1] are sorted into."""


class Bin(NamedTuple):
    """The n scores in [low, high): their mean, and the share of them that is right; None if there is none."""

    low: float
    high: float
    n: int
    score: float | None
    right: float | None


def reliability(score: Float[Array, "s"], is_right: Bool[Array, "s"], bins: int = BINS) -> list[Bin]:
    """Per bin of the score, what was promised and what came."""
    counts, scores, rights = binned(score, is_right, bins).sum(axis=0).reshape(3, bins)
    return [
        Bin(i / bins, (i + 1) / bins, int(n), *(float(total / n) if n else None for total in (scores[i], rights[i])))
        for i, n in enumerate(counts)
    ]


def binned(score: Float[Array, "s"], is_right: Bool[Array, "s"], bins: int = BINS) -> Float[Array, "s 3_bins"]:
    """Per expression its count, score and rightness, each in the column of its bin: sums of these make the ECE."""
    place = np.clip((score * bins).astype(int), 0, bins - 1)
    one_hot = place[:, None] == np.arange(bins)
    columns: Float[Array, "s 3_bins"] = np.concatenate(
        [one_hot, one_hot * score[:, None], one_hot * is_right[:, None]], axis=1
    ).astype(float)
    return columns


def calibration_error(sums: Float[Array, "r 3_bins"]) -> Float[Array, "r"]:
    """ECE from sums of `binned` columns: mean over expressions of their bin's |share right - mean score|, [0] Eq. 3."""
    counts, scores, rights = np.split(sums, 3, axis=-1)
    total = counts.sum(axis=-1)
    error: Float[Array, "r"] = np.divide(
        np.abs(rights - scores).sum(axis=-1), total, out=np.full(total.shape, np.nan), where=total > 0
    )
    return error


def risk_at_coverage(score: Float[Array, "s"], is_right: Bool[Array, "s"]) -> Float[Array, "s"]:
    """Share of wrong answers among the 1, 2, … S answers of the highest scores, [1] Eq. 2.

    Among equal scores the order is left open: each counts as the mean of them.
    """
    levels, place, sizes = np.unique(-score, return_inverse=True, return_counts=True)
    wrong = np.bincount(place, ~is_right, minlength=len(levels)) / sizes
    return np.cumsum(np.repeat(wrong, sizes)) / np.arange(1, len(score) + 1)
