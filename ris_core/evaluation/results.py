"""The expressions of a run as parallel arrays, to count with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int

from ris_core.arrays import Array
from ris_core.evaluation.record import EvaluatedImage, ScoredAnswer


@dataclass(frozen=True, eq=False)
class MethodResults:
    """The answers of one method to S expressions; see `record.Outcome`. All are float64 (S,)."""

    intersection_px: Float[Array, "s"]
    union_px: Float[Array, "s"]
    answer_px: Float[Array, "s"]
    first_union_px: Float[Array, "s"]
    first_hit: Float[Array, "s"]
    score: Float[Array, "s"]

    @property
    def iou(self) -> Float[Array, "s"]:
        """IoU of each answer with the truth, in [0, 1]; 0 where both are empty."""
        return np.divide(self.intersection_px, self.union_px, out=np.zeros(len(self.union_px)), where=self.union_px > 0)

    @property
    def is_right(self) -> Bool[Array, "s"]:
        """Whether the first candidate is right: what its score should be the probability of."""
        hits: Bool[Array, "s"] = self.first_hit == 1
        return hits


@dataclass(frozen=True, eq=False)
class Results:
    """S expressions on G images.

    Attributes:
        images: G.
        image: int (S,), row of the image, in [0, G).
        kind, part: str (S,).
        truth_px, truth_share: float (S,), area of the truth in pixels, and as a share of its image.
        targets, same_class: int (S,).
        methods: Answers by name of the method, the oracle among them.
    """

    images: int
    image: Int[Array, "s"]
    kind: Array
    part: Array
    truth_px: Float[Array, "s"]
    truth_share: Float[Array, "s"]
    targets: Int[Array, "s"]
    same_class: Int[Array, "s"]
    methods: Mapping[str, MethodResults]

    @classmethod
    def of(cls, records: Iterable[EvaluatedImage], *, skip_without_proposals: bool = False) -> Self:
        """Line the expressions up.

        Args:
            records: Images; those without expressions are left out.
            skip_without_proposals: Leave images without proposals out too (quirk Q-EMPTY-GL).
        """
        kept = [r for r in records if r.asked and (r.proposals or not skip_without_proposals)]
        rows = [(row, record, one) for row, record in enumerate(kept) for one in record.asked]
        names = list(kept[0].asked[0].outcomes) if kept else []
        return cls(
            images=len(kept),
            image=np.array([row for row, _, _ in rows], int),
            kind=np.array([one.kind for _, _, one in rows], str),
            part=np.array([record.part for _, record, _ in rows], str),
            truth_px=np.array([one.truth_px for _, _, one in rows], float),
            truth_share=np.array([one.truth_px / record.image_px for _, record, one in rows], float),
            targets=np.array([one.targets for _, _, one in rows], int),
            same_class=np.array([one.same_class for _, _, one in rows], int),
            methods={
                name: MethodResults(
                    **{
                        field.name: np.array([getattr(one.outcomes[name], field.name) for _, _, one in rows], float)
                        for field in fields(ScoredAnswer)
                    }
                )
                for name in names
            },
        )
