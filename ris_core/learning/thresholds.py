"""A threshold for each label: the least probability from which few answers are wrong, with exact bounds.

For each threshold of a fixed grid the share of wrong answers has a one-sided Clopper-Pearson bound. A label takes the lowest threshold
whose bound is at most what is allowed; since it looks at all of them, the risk is shared among the grid (a union bound). The bound
holds for one label; of many labels one in 1 / `RISK` may be wrong.

Source: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika 1934.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array

GRID = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
RISK = 0.05
"""Probability that the chosen threshold of a label lets more wrong answers through than is allowed."""


@dataclass(frozen=True)
class LabelThreshold:
    """What is known of a label.

    Attributes:
        threshold: The lowest that keeps the error small enough; None if none is known to.
        answers, wrong: From that threshold on; of all the label's answers if there is none.
        most: Upper bound of the share of wrong ones among them, in [0, 1].
    """

    label: str
    threshold: float | None
    answers: int
    wrong: int
    most: float


def choose_threshold(
    label: str, probability: Float[Array, "m"], is_right: Bool[Array, "m"], max_error: float
) -> LabelThreshold:
    """The lowest threshold of `GRID` from which at most a share of `max_error` of a label's answers is wrong.

    Args:
        probability: Of judged answers that were handed out, by a calibrator that did not see their images.
        max_error: In (0, 1).
    """
    options = []
    for threshold in GRID:
        kept = probability >= threshold
        wrong = int((kept & ~is_right).sum())
        options.append(LabelThreshold(label, threshold, int(kept.sum()), wrong, bound(wrong, int(kept.sum()))))
    good = next((one for one in options if one.most <= max_error), None)
    every = options[0]
    return good or LabelThreshold(label, None, every.answers, every.wrong, every.most)


def bound(wrong: int, answers: int) -> float:
    """Upper bound of the share of wrong answers, in [0, 1], at a risk of `RISK` for the whole grid."""
    from scipy.stats import beta  # slow to import

    if wrong == answers:
        return 1.0
    return float(beta.ppf(1 - RISK / len(GRID), wrong + 1, answers - wrong))


def least_answers(max_error: float) -> int:
    """How many answers a label needs at least, if none of them is wrong."""
    return int(np.ceil(np.log(RISK / len(GRID)) / np.log(1 - max_error)))
