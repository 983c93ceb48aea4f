"""How many regions above a threshold can be wrong at most, however often one looks and whichever threshold is chosen then.

A lead audits regions of a project in a random order and slides a threshold meanwhile. A Clopper-Pearson interval holds for one
threshold and one number of audits, both chosen before; whoever stops where it looks best is told too little too often. Here each
threshold of a fixed grid has a confidence sequence, which holds at all times at once, and the grid shares the risk (a union bound).

With N regions of which K are wrong, n audited without replacement and k of them wrong, the confidence sequence consists of all K for
which the prior-posterior ratio π_0(K) / π_n(K) is below 1 / risk. It is a martingale under the true K for every prior; here the prior
is beta-binomial, Beta(1, 20), as the regions above a threshold are wrong seldom.

Source: Waudby-Smith and Ramdas, "Confidence sequences for sampling without replacement", NeurIPS 2020, section 2 (arXiv 2006.04347).
Their sequence has two sides; only its upper end is used here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import bdtr, betaln, gammaln

from ris_core.arrays import Array

THRESHOLDS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""The grid of least probabilities that a bound is given for; fixed, since the risk is shared among them."""
RISK = 0.05
"""Probability that any of the bounds is ever wrong."""
_PRIOR_WRONG, _PRIOR_RIGHT = 1.0, 20.0


@dataclass(frozen=True)
class ErrorBound:
    """What an audit says about the regions from a threshold on.

    Attributes:
        threshold: Least probability of the regions, in [0, 1].
        regions: How many there are.
        audited, wrong: How many of them were audited, and found wrong.
        most: Largest share of them that is wrong, in [0, 1], at a confidence of 1 - `RISK` for all thresholds and all times.
    """

    threshold: float
    regions: int
    audited: int
    wrong: int
    most: float

    @property
    def text(self) -> str:
        """The bound as a sentence."""
        if not self.audited:
            return f"p >= {self.threshold:g}: nothing was audited of {self.regions:,} regions, so nothing is known of them."
        return (
            f"p >= {self.threshold:g}: with {100 * (1 - RISK):g} % confidence at most {100 * self.most:.1f} % of these {self.regions:,} "
            f"regions are wrong ({self.audited:,} audited, {self.wrong:,} wrong)."
        )


def bound_errors(
    probabilities: Float[Array, "regions"],
    is_wrong: Float[Array, "regions"],
    overlooked: float = 0.0,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[ErrorBound]:
    """The bound of each threshold after an audit.

    Of the regions above a threshold those before the first that is not audited count: whoever leaves out the difficult ones gains nothing.

    Args:
        probabilities: Of all regions, in [0, 1], in the random order of the audit.
        is_wrong: What the audit found: 1 wrong, 0 right, NaN not audited.
        overlooked: Share of the wrong regions that whoever audits takes for right, in [0, 1); as `bound_overlooked` has it.
        thresholds: The grid; the same at each look.

    Raises:
        ValueError: If everything wrong is overlooked.
    """
    counts = []
    for threshold in thresholds:
        above = is_wrong[probabilities >= threshold]
        audited = int(np.append(np.isnan(above), True).argmax())
        counts.append((len(above), audited, int(above[:audited].sum())))
    return bound_counts(counts, overlooked, thresholds)


def bound_counts(
    counts: Sequence[tuple[int, int, int]], overlooked: float = 0.0, thresholds: Sequence[float] = THRESHOLDS
) -> list[ErrorBound]:
    """As `bound_errors`, of regions that were counted.

    Args:
        counts: For each threshold how many regions there are, how many of them count as audited, and how many of those are wrong.

    Raises:
        ValueError: If everything wrong is overlooked.
    """
    if not 0 <= overlooked < 1:
        raise ValueError(f"overlooked is {overlooked:g}; give a share from 0 to below 1.")
    bounds = []
    for threshold, (regions, audited, wrong) in zip(thresholds, counts, strict=True):
        looks = np.array([regions]), np.array([audited]), np.array([wrong])
        errors = int(bound_overlooked(*looks, RISK / len(thresholds), overlooked)[0]) if regions else 0
        bounds.append(ErrorBound(threshold, regions, audited, wrong, errors / max(1, regions)))
    return bounds


def bound_wrong(
    regions: int | Int[Array, "looks"], audited: Int[Array, "looks"], wrong: Int[Array, "looks"], risk: float
) -> Int[Array, "looks"]:
    """The upper end of the confidence sequence at several looks: how many of the regions are wrong at most.

    Args:
        regions: How many there are, at least 1.
        audited, wrong: How many were audited so far, and how many of those are wrong.
        risk: Probability that the true number is ever above, in (0, 1).
    """
    total = np.broadcast_to(np.asarray(regions), audited.shape)
    most = wrong + total - audited  # as if all the others were wrong
    # The ratio is smallest where the numbers seen are most likely, at most 1 there, and rises from there on.
    low = np.clip(wrong * (total + 1) // np.maximum(audited, 1), wrong, most)
    limit = -np.log(risk)
    is_whole = _ratio(most, total, audited, wrong) < limit
    high = most
    while (high - low > 1).any():
        middle = (low + high) // 2
        is_in = _ratio(middle, total, audited, wrong) < limit
        low, high = np.where(is_in, middle, low), np.where(is_in, high, middle)
    return np.where(is_whole, most, low)


def bound_overlooked(
    regions: Int[Array, "looks"],
    audited: Int[Array, "looks"],
    wrong: Int[Array, "looks"],
    risk: float,
    overlooked: float,
) -> Int[Array, "looks"]:
    """As `bound_wrong`, where each wrong region is taken for right with a probability, independently of the others.

    Half of the risk is for how many would be found wrong, at all times; the other half for how many of those that are wrong that
    is, which is a binomial number and is drawn once.

    Args:
        overlooked: That probability, in [0, 1); of 0 the answer is that of `bound_wrong`.
    """
    if not overlooked:
        return bound_wrong(regions, audited, wrong, risk)
    low = bound_wrong(regions, audited, wrong, risk / 2)
    high = np.broadcast_to(np.asarray(regions), low.shape) + 1
    found = low
    while (high - low > 1).any():
        middle = (low + high) // 2
        is_in = bdtr(found, middle, 1 - overlooked) > risk / 2
        low, high = np.where(is_in, middle, low), np.where(is_in, high, middle)
    return low


def _ratio(
    errors: Int[Array, "looks"], total: Int[Array, "looks"], audited: Int[Array, "looks"], wrong: Int[Array, "looks"]
) -> Float[Array, "looks"]:
    """Logarithm of prior over posterior probability of a number of errors."""
    prior = _log_beta_binomial(errors, total, _PRIOR_WRONG, _PRIOR_RIGHT)
    rest = _log_beta_binomial(errors - wrong, total - audited, _PRIOR_WRONG + wrong, _PRIOR_RIGHT + audited - wrong)
    return np.asarray(prior - rest)


def _log_beta_binomial(
    count: Int[Array, "looks"], total: Int[Array, "looks"], first: float | Array, second: float | Array
) -> Float[Array, "looks"]:
    choices = gammaln(total + 1) - gammaln(count + 1) - gammaln(total - count + 1)
    return np.asarray(choices + betaln(count + first, total - count + second) - betaln(first, second))
