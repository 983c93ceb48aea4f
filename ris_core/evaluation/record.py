"""What is written down of a run: per image, what each method answered to each expression, in pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Bool

from ris_core.arrays import Array
from ris_core.geometry import masks
from ris_core.types import Prediction

IS_RIGHT = 0.5
"""IoU from which a candidate counts as the thing that is meant."""


@dataclass(frozen=True)
class ScoredAnswer:
    """One answer against the truth.

    Attributes:
        intersection_px, union_px: Of the answer and the truth.
        answer_px: Area of the answer; 0 if nothing was selected.
        first_union_px: Union of the first candidate and the truth, whether or not it was selected.
        first_hit: Rank, from 1, of the first candidate that is right: that has an IoU of `IS_RIGHT` with one of the targets or
            with all of them together; 0 if none is.
        score: Score of the first candidate, in [0, 1]; 0 if there is none.
    """

    intersection_px: int
    union_px: int
    answer_px: int
    first_union_px: int
    first_hit: int
    score: float


@dataclass(frozen=True)
class EvaluatedExpression:
    """One expression, what it means, and what was answered.

    Attributes:
        id, text, kind, same_class: As in `Sample`; the kind is filled in.
        targets: How many objects it means.
        truth_px: Their area together.
        outcomes: By name of the method; "oracle" is the best choice among the proposals.
    """

    id: str
    text: str
    kind: str
    same_class: int
    targets: int
    truth_px: int
    outcomes: Mapping[str, ScoredAnswer]


@dataclass(frozen=True)
class EvaluatedImage:
    """Everything about one image: one line of a journal.

    Attributes:
        image_id, part: As in `Item`.
        image_px: Its area.
        proposals: How many masks were proposed.
        encode_s: Seconds that encoding took, of the clock; 0 if nothing was encoded.
        object_px: Area of each annotated object.
        object_iou: IoU of each with its best proposal.
        asked: The expressions.
    """

    image_id: str
    part: str
    image_px: int
    proposals: int
    encode_s: float
    object_px: Sequence[int]
    object_iou: Sequence[float]
    asked: Sequence[EvaluatedExpression]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Undo `to_json`.

        Raises:
            KeyError, TypeError: If the values are something else.
        """
        expressions = [
            EvaluatedExpression(**{**a, "outcomes": {name: ScoredAnswer(**o) for name, o in a["outcomes"].items()}})
            for a in values["asked"]
        ]
        return cls(**{**values, "asked": expressions})


def judge(prediction: Prediction, truth: Bool[Array, "h w"], targets: Bool[Array, "t h w"]) -> ScoredAnswer:
    """Hold an answer against the truth.

    Args:
        prediction: The answer with its candidates.
        truth: Union of the targets.
        targets: Each target alone; none if nothing is meant.
    """
    answer, candidates = prediction.answer, np.asarray(prediction.masks)
    truths = np.concatenate([targets, truth[None]]) if len(targets) else targets
    right = overlap(candidates, truths).max(1, initial=0) >= IS_RIGHT
    first = candidates[0] if len(candidates) else np.zeros_like(truth)
    return ScoredAnswer(
        intersection_px=_count(answer & truth),
        union_px=_count(answer | truth),
        answer_px=_count(answer),
        first_union_px=_count(first | truth),
        first_hit=int(right.argmax()) + 1 if right.any() else 0,
        score=float(np.nan_to_num(prediction.scores[0])) if len(candidates) else 0.0,  # a quirk may give NaN
    )


def judge_silence(truth: Bool[Array, "h w"]) -> ScoredAnswer:
    """The outcome of no answer at all."""
    return ScoredAnswer(0, _count(truth), 0, _count(truth), 0, 0.0)


def judge_oracle(
    proposals: Bool[Array, "n h w"], overlaps: Array, truth: Bool[Array, "h w"], targets: Bool[Array, "t h w"]
) -> ScoredAnswer:
    """The outcome of the best choice among the proposals: for each target its best one, or one for all of them.

    Args:
        proposals: The masks to choose from.
        overlaps: (T, N), IoU of each target with each proposal.
        truth: Union of the targets.
        targets: Each target alone.
    """
    if not len(targets) or not len(proposals):
        return judge_silence(truth)
    answer = proposals[overlaps.argmax(1)].any(0)
    if len(targets) > 1:
        together = overlap(truth[None], proposals)[0]
        if together.max() > overlap(truth[None], answer[None])[0, 0]:
            answer = proposals[together.argmax()]
    union_px = _count(answer | truth)
    return ScoredAnswer(
        intersection_px=_count(answer & truth),
        union_px=union_px,
        answer_px=_count(answer),
        first_union_px=union_px,
        first_hit=int(overlaps.max() >= IS_RIGHT),
        score=1.0,
    )


def overlap(one: Bool[Array, "n h w"], two: Bool[Array, "m h w"]) -> Array:
    """Pairwise IoU, float32 (N, M); either stack may be empty."""
    return masks.iou(one, two) if len(one) and len(two) else np.zeros((len(one), len(two)), np.float32)


def _count(mask: Bool[Array, "h w"]) -> int:
    return int(np.count_nonzero(mask))
