"""What judged answers say: the features of each answer's best candidate, and whether it was right.

The features are read from what is stored of an answer, its candidates with their parts and masks, so answers of the past count
as well as new ones. What is not stored is the number that was asked for ("two dogs"); answers that note none count as one thing, or
as an open number where several candidates answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ris_core.arrays import Array
from ris_core.geometry import duplicates
from ris_core.geometry.run_length_masks import RunLengthMasks

FEATURES = ("look", "clauses", "margin")
"""What a calibrator weighs, as `ris_core.methods.guided.answer_features` makes them."""
_NO_CLAUSES = frozenset({"look", "look_rank", "probability", "predicted_iou", "stability"})
_EDGE = 1e-4
"""Looks nearer to 0 or 1 than this are taken for it, as the method takes them."""


@dataclass(frozen=True)
class AnswerFeatures:
    """The best candidate of an answer.

    Attributes:
        index: Its place among the candidates.
        values: Its features, by name.
    """

    index: int
    values: Mapping[str, float]


def read_features(
    candidates: Sequence[Mapping[str, Any]], size_hw: tuple[int, int], number: int | None = 1
) -> AnswerFeatures | None:
    """The features of a stored answer; None if it has no candidates, or another method than `guided` made it.

    Args:
        candidates: As `ris_core.output.documents.list_candidates` makes them.
        size_hw: Of their masks, in pixels.
        number: How many things were asked for; None for an open number.
    """
    if not candidates or any("look" not in one["parts"] for one in candidates):
        return None
    looks = np.clip([one["parts"]["look"] for one in candidates], _EDGE, 1 - _EDGE)
    factors = [[value for name, value in one["parts"].items() if name not in _NO_CLAUSES] for one in candidates]
    clauses = np.array([np.prod(own) if own else 1.0 for own in factors])
    fits = looks * clauses
    best = int(fits.argmax())
    return AnswerFeatures(
        index=best,
        values={
            "look": float(np.log(looks[best] / (1 - looks[best]))),
            "clauses": float(np.log(clauses[best])),
            "margin": 0.0 if number is None else _margin(fits, best, _same_things(candidates, size_hw), number),
        },
    )


@dataclass(frozen=True, eq=False)
class JudgedAnswers:
    """M answers of which it is known whether they were right.

    Attributes:
        features: float (M,) by name, of each answer's best candidate.
        is_right: Whether that overlaps what is meant with an IoU of at least 0.5.
        has_target: Whether anything is meant.
        knows_target: Whether that is known: of a rejected answer it may not be.
        image: int (M,), the same number for answers on the same image.
    """

    features: Mapping[str, Float[Array, "m"]]
    is_right: Bool[Array, "m"]
    has_target: Bool[Array, "m"]
    knows_target: Bool[Array, "m"]
    image: Int[Array, "m"]

    def __len__(self) -> int:
        return len(self.is_right)

    def take(self, chosen: Bool[Array, "m"]) -> "JudgedAnswers":
        """Those of a mask."""
        features = {name: values[chosen] for name, values in self.features.items()}
        return JudgedAnswers(
            features,
            self.is_right[chosen],
            self.has_target[chosen],
            self.knows_target[chosen],
            self.image[chosen],
        )


def collect(
    features: Sequence[AnswerFeatures],
    is_right: Sequence[bool],
    has_target: Sequence[bool | None],
    images: Sequence[str],
) -> JudgedAnswers:
    """Judged answers from one value for each.

    Args:
        has_target: None where it is not known.
        images: Digests of the images.
    """
    _, image = np.unique(np.array(images, str), return_inverse=True)
    return JudgedAnswers(
        features={name: np.array([one.values[name] for one in features], float) for name in FEATURES},
        is_right=np.array(is_right, bool),
        has_target=np.array([bool(one) for one in has_target], bool),
        knows_target=np.array([one is not None for one in has_target], bool),
        image=image.reshape(-1),
    )


def _margin(fits: Float[Array, "k"], best: int, same: Bool[Array, "k k"], number: int) -> float:
    """Logarithm of the best one's share against the best other thing that would be left over."""
    is_thing = duplicates.representatives(fits, same)
    rivals = np.sort(fits[is_thing & ~same[best]])[::-1][number - 1 : number]
    return float(np.log(fits[best] / (fits[best] + rivals.sum())))


def _same_things(candidates: Sequence[Mapping[str, Any]], size_hw: tuple[int, int]) -> Bool[Array, "k k"]:
    counts = [one["mask"]["counts"].encode("ascii") for one in candidates]
    return duplicates.same_thing(duplicates.overlaps(RunLengthMasks(counts, size_hw)))
