"""How answers are with a calibrator and without it: calibration and telling absence, with intervals from drawing images anew."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array
from ris_core.evaluation.confidence import binned, calibration_error
from ris_core.learning.evidence import JudgedAnswers
from ris_core.learning.fitting import log_loss

RESAMPLES = 1000
LEVEL = 95
"""Per cent of the draws inside an interval."""
_BIN_COLUMNS = 30


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What is said of M answers.

    Attributes:
        probability: float (M,), of being right.
        is_found: bool (M,), whether the answer is given at all.
    """

    probability: Float[Array, "m"]
    is_found: Bool[Array, "m"]


@dataclass(frozen=True)
class Figure:
    """A figure before and after, and the change with its interval; NaN where nothing counts."""

    name: str
    before: float
    after: float
    low: float
    high: float

    @property
    def change(self) -> float:
        """After less before."""
        return self.after - self.before


def compare(answers: JudgedAnswers, before: Verdicts, after: Verdicts) -> list[Figure]:
    """Every figure of `FIGURES`, on the same draws of the images."""
    images = int(answers.image.max()) + 1
    rng = np.random.default_rng(0)
    draws = rng.multinomial(images, np.full(images, 1 / images), RESAMPLES).astype(float)
    sums = [_sum_by_image(answers, one, images) for one in (before, after)]
    figures = []
    for name, measure in FIGURES.items():
        values = [float(measure(one.sum(axis=0)[None])[0]) for one in sums]
        changes = measure(draws @ sums[1]) - measure(draws @ sums[0])
        edges = (50 - LEVEL / 2, 50 + LEVEL / 2)
        low, high = np.nanpercentile(changes, edges) if np.isfinite(changes).any() else (np.nan, np.nan)
        figures.append(Figure(name, values[0], values[1], float(low), float(high)))
    return figures


def _sum_by_image(answers: JudgedAnswers, verdicts: Verdicts, images: int) -> Float[Array, "g c"]:
    """Sums by image: of the ECE's columns, the loss, the number, and found and not found where something is meant and where not."""
    there, absent = (answers.knows_target & (answers.has_target == kind) for kind in (True, False))
    columns = np.column_stack(
        [
            binned(verdicts.probability, answers.is_right),
            log_loss(verdicts.probability, answers.is_right),
            np.ones(len(answers)),
            *(kind & (verdicts.is_found == found) for kind in (there, absent) for found in (True, False)),
        ]
    ).astype(float)
    sums = np.zeros((images, columns.shape[1]))
    np.add.at(sums, answers.image, columns)
    return sums


def _loss(sums: Float[Array, "r c"]) -> Float[Array, "r"]:
    return _divide(sums[:, _BIN_COLUMNS], sums[:, _BIN_COLUMNS + 1])


def _share(first: int) -> Callable[[Float[Array, "r c"]], Float[Array, "r"]]:
    def measure(sums: Float[Array, "r c"]) -> Float[Array, "r"]:
        found, lost = sums[:, -4 + first], sums[:, -4 + (first ^ 1)]
        return _divide(found, found + lost)

    return measure


def _correlation(sums: Float[Array, "r c"]) -> Float[Array, "r"]:
    """Matthews correlation of "something is meant" and "an answer is given"; 0 where all are given, or none."""
    found, lost, false, told = sums[:, -4:].T
    scale = np.sqrt((found + false) * (found + lost) * (told + false) * (told + lost))
    return np.where(scale > 0, _divide(found * told - false * lost, np.where(scale > 0, scale, 1.0)), 0.0)


def _divide(one: Float[Array, "r"], other: Float[Array, "r"]) -> Float[Array, "r"]:
    quotient: Float[Array, "r"] = np.divide(one, other, out=np.full(len(one), np.nan), where=other > 0)
    return quotient


FIGURES: Mapping[str, Callable[[Float[Array, "r c"]], Float[Array, "r"]]] = {
    "log loss": _loss,
    "ECE": lambda sums: calibration_error(sums[:, :_BIN_COLUMNS]),
    "T-acc": _share(0),
    "N-acc": _share(3),
    "MCC": _correlation,
}
MEANINGS: Mapping[str, str] = {
    "log loss": "how badly the probabilities foretell what is right; lower is better",
    "ECE": "by how much the probabilities miss the share that is right; 0 at best",
    "T-acc": "share answered, where something is meant",
    "N-acc": 'share answered with "no match", where nothing is meant',
    "MCC": "how well both are told apart; 1 at best, 0 by chance",
}
"""What the figures are."""
