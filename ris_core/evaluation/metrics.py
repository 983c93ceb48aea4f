"""The numbers of the papers, each as a ratio of two sums over expressions, so that all are resampled alike.

Sources: [0] Yang et al., "LAVT", CVPR 2022, for oIoU, mIoU and Pr@t as the RefCOCO family is counted; [1] Liu, Ding, Jiang,
"GRES", CVPR 2023, for gIoU, cIoU, N-acc and T-acc of gRefCOCO.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array
from ris_core.evaluation.results import MethodResults, Results


class Ratio(NamedTuple):
    """Numerator and denominator of each expression, float64 (S,); an expression that does not count has 0 and 0."""

    numerator: Float[Array, "s"]
    denominator: Float[Array, "s"]

    def among(self, counts: Bool[Array, "s"]) -> "Ratio":
        """The same over some of the expressions."""
        return Ratio(self.numerator * counts, self.denominator * counts)


Metric = Callable[[Results, MethodResults], Ratio]


def mean_iou(results: Results, answers: MethodResults) -> Ratio:
    """mIoU: mean IoU of the expressions that mean something; an empty answer has 0."""
    return _share(answers.iou, results.targets > 0)


def overall_iou(results: Results, answers: MethodResults) -> Ratio:
    """oIoU: summed intersections over summed unions, of the expressions that mean something."""
    counts = results.targets > 0
    return Ratio(answers.intersection_px * counts, answers.union_px * counts)


def share_of_oracle(results: Results, answers: MethodResults, oracle: MethodResults) -> Ratio:
    """mIoU of the answers over mIoU of the best choice among the proposals."""
    counts = results.targets > 0
    return Ratio(answers.iou * counts, oracle.iou * counts)


def precision(threshold: float, *, inclusive: bool) -> Metric:
    """Pr@t: share of the expressions that mean something whose IoU is above t, or at least t if that is included."""

    def count(results: Results, answers: MethodResults) -> Ratio:
        passes = answers.iou >= threshold if inclusive else answers.iou > threshold
        return _share(passes, results.targets > 0)

    return count


def accuracy(k: int) -> Metric:
    """acc@k: share of the expressions that mean something for which one of the k best candidates is right."""

    def count(results: Results, answers: MethodResults) -> Ratio:
        return _share((answers.first_hit >= 1) & (answers.first_hit <= k), results.targets > 0)

    return count


def generalized_iou(results: Results, answers: MethodResults) -> Ratio:
    """gIoU of [1]: mean over all expressions; one that means nothing has 1 if the answer is empty, else 0."""
    silent = (results.targets == 0) & (answers.answer_px == 0)
    return _share(np.where(results.targets > 0, answers.iou, silent), np.ones(len(results.targets), bool))


def cumulative_iou(results: Results, answers: MethodResults) -> Ratio:
    """cIoU of [1]: summed intersections over summed unions of all expressions.

    A rightly empty answer adds nothing. A wrongly empty one adds the union of the first candidate, that was there but not
    given, with the truth.
    """
    missed = (results.targets > 0) & (answers.answer_px == 0)
    return Ratio(answers.intersection_px, np.where(missed, answers.first_union_px, answers.union_px))


def no_target_accuracy(results: Results, answers: MethodResults) -> Ratio:
    """N-acc of [1]: share of the expressions that mean nothing whose answer is empty."""
    return _share(answers.answer_px == 0, results.targets == 0)


def target_accuracy(results: Results, answers: MethodResults) -> Ratio:
    """T-acc of [1]: share of the expressions that mean something whose answer is not empty."""
    return _share(answers.answer_px > 0, results.targets > 0)


def _share(values: Array, counts: Array) -> Ratio:
    return Ratio(np.where(counts, values, 0).astype(float), counts.astype(float))
