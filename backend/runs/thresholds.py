"""Another `min_score` for answers that are stored, without a model: what it keeps of a pilot, and applying it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from backend.db.records import Answer
from backend.inference.expressions import list_others, select
from backend.runs.answers import drop_repeated
from backend.runs.item import RunItem
from backend.runs.spec import BadRun
from ris_core.arrays import Array
from ris_core.geometry.run_length_masks import RunLengthMasks
from ris_core.types import NO_CHANCE

THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""What a pilot tries."""


@dataclass(frozen=True)
class ThresholdEffect:
    """What a threshold keeps of the masks of a pilot, and of its tasks with any.

    Attributes:
        masks, of_masks: With the threshold, and without one.
        tasks, of_tasks: Those with a mask, and all that were answered.
    """

    min_score: float
    masks: int
    of_masks: int
    tasks: int
    of_tasks: int

    def to_row(self) -> tuple[str, str, str, str]:
        """The threshold, the share of masks that it keeps, the share of tasks with a mask, and the 95 % interval of that (Wilson)."""
        from scipy.stats import binomtest  # slow to import

        low, high = binomtest(self.tasks, self.of_tasks).proportion_ci(method="wilson")
        kept = f"{self.masks / self.of_masks:.0%}" if self.of_masks else "–"
        return (f"{self.min_score:.1f}", kept, f"{self.tasks / self.of_tasks:.0%}", f"{low:.0%} to {high:.0%}")


def try_thresholds(items: Sequence[RunItem]) -> list[ThresholdEffect]:
    """What each of `THRESHOLDS` keeps. Args: items that are answered.

    Raises:
        BadRun: As `with_min_score` does.
    """
    kept: list[ThresholdEffect] = []
    for threshold in THRESHOLDS:
        masks = [sum(len(one.selected) for one in with_min_score(item, threshold)) for item in items]
        total = kept[0].masks if kept else sum(masks)
        kept.append(ThresholdEffect(threshold, sum(masks), total, sum(number > 0 for number in masks), len(items)))
    return kept


def with_min_score(item: RunItem, min_score: float) -> list[Answer]:
    """An item's answers as they would be with this threshold, in [0, 1].

    Raises:
        BadRun: If an older version recorded them, which did not note which candidates answer.
    """
    pairs = zip(item.answers, item.queries, strict=True)
    return drop_repeated([_choose_again(answer, query.is_many, min_score) for answer, query in pairs])


def _choose_again(answer: Answer, is_many: bool, min_score: float) -> Answer:
    if any("answers" not in one for one in answer.candidates):
        raise BadRun("An older version answered these tasks, so no other min_score can be applied. Start a new run.")
    stored = _StoredCandidates(answer)
    handed_out = select(stored, is_many, min_score)
    others = () if is_many else list_others(stored, handed_out, min_score)
    return replace(answer, selected=handed_out, others=others, repeats=None)


class _StoredCandidates:
    """Candidates as they were recorded; what `Prediction` says of them."""

    def __init__(self, answer: Answer) -> None:
        self._answer, self._candidates = answer, answer.candidates

    @property
    def selected(self) -> tuple[int, ...]:
        return tuple(i for i, one in enumerate(self._candidates) if one["answers"])

    @property
    def others(self) -> tuple[int, ...]:
        return tuple(
            i
            for i, one in enumerate(self._candidates)
            if not one["answers"] and one["bbox_xywh"][2] > 0 and one["parts"].get("probability", 1.0) >= NO_CHANCE
        )

    @cached_property
    def scores(self) -> Float[Array, "k"]:
        return np.array([one["score"] for one in self._candidates], float)

    @cached_property
    def masks(self) -> RunLengthMasks:
        counts = [one["mask"]["counts"].encode("ascii") for one in self._candidates]
        return RunLengthMasks(counts, (self._answer.height, self._answer.width))

    @cached_property
    def boxes_xywh(self) -> Float[Array, "k 4"]:
        return np.array([one["bbox_xywh"] for one in self._candidates], np.float32).reshape(-1, 4)
