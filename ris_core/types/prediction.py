"""What a method says of the proposals, and the answer that is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array
from ris_core.geometry import duplicates
from ris_core.geometry.run_length_masks import RunLengthMasks
from ris_core.language.expression import Expression

Decision = Literal["match", "ambiguous", "no_match"]
NO_CHANCE = 0.02
"""A candidate of which a calibrator says a lower probability is not offered as what else could be meant: fewer than one in fifty is
right, and who asks for it loses more than it brings."""


@dataclass(frozen=True, eq=False)
class Scores:
    """A method's judgement of N proposals.

    Attributes:
        values: float64 (N,), in [0, 1], larger is better. A share among the proposals, not a probability of being right;
            of a method that decides, a calibrated probability that the IoU is at least 0.5.
        parts: float (N,) by name: the terms that the values are made of; NaN where a proposal has no such term.
        decision: The method's own; None leaves it to the segmenter.
        selected: Indices of the proposals that answer, if there is a decision: none, one, or several of a plural.
    """

    values: Float[Array, "n"]
    parts: Mapping[str, Float[Array, "n"]]
    decision: Decision | None = None
    selected: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one expression on one image: K candidates, best first, or more if more of them answer.

    Attributes:
        expression: What was asked, as it was read.
        masks: bool (K, H, W), also when the decision is "no_match"; those of a stored encoding are decoded when they are indexed.
        scores: float64 (K,), in [0, 1].
        boxes_xywh: float32 (K, 4), tight and half-open, in pixels.
        parts: For each candidate the terms of its score, by name.
        decision: "match", "ambiguous" or "no_match".
        selected: Indices of the candidates that answer; the answer is the union of their masks.
        model_version: Profile, method and digest of everything that decides the answer.
    """

    expression: Expression
    masks: Bool[Array, "k h w"] | RunLengthMasks
    scores: Float[Array, "k"]
    boxes_xywh: Float[Array, "k 4"]
    parts: Sequence[Mapping[str, float]]
    decision: Decision
    selected: tuple[int, ...]
    model_version: str
    warnings: tuple[str, ...] = field(default=())

    @property
    def others(self) -> tuple[int, ...]:
        """Indices of the candidates that could be meant instead; none that has no chance, where chances are known."""
        rest = (i for i in range(len(self.masks)) if i not in self.selected and self.boxes_xywh[i, 2] > 0)
        return tuple(i for i in rest if self.parts[i].get("probability", 1.0) >= NO_CHANCE)

    @property
    def rival_rank(self) -> int:
        """Rank, from 1, of the best candidate that is another thing than those that answer: what fits nearly as well."""
        stack = self.masks if isinstance(self.masks, RunLengthMasks) else RunLengthMasks.encode(self.masks)
        same = duplicates.same_thing(stack.shares_inside(stack))
        others = (i for i in self.others if not same[i, list(self.selected)].any())
        return 1 + next(others, len(self.selected))

    @property
    def answer(self) -> Bool[Array, "h w"]:
        """Union of the selected masks; empty if nothing was selected."""
        answer: Bool[Array, "h w"] = np.logical_or.reduce(self.masks[list(self.selected)], axis=0)
        return answer
