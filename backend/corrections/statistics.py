"""Numbers about corrections: counts of outcomes, how alike what was offered and what was saved are, time taken."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from backend.corrections.outcomes import NAMES
from backend.corrections.queries import Correction, is_newest
from backend.db.correction_tables import annotation_version, outcome

RIGHT_IOU = 0.5
"""A proposal that was left so much alike was right, only not exact."""

ANSWERED = ("accepted", "edited", "replaced", "rejected")
"""Outcomes of proposals that an annotator did something about."""

Group = Callable[[Correction], str]

GROUPS: Mapping[str, Group] = {
    "label": lambda one: one.outcome.label or "-",
    "annotator": lambda one: str(one.annotator) if one.annotator is not None else "-",
    "model_version": lambda one: one.outcome.model_version or "-",
}
"""What corrections can be divided by, besides the kind of their expression."""


class JudgedProposal(NamedTuple):
    """A proposal whose score can be compared with what became of it."""

    score: float
    is_right: bool


@dataclass
class OutcomeSummary:
    """Of some corrections.

    Attributes:
        counts: Regions by outcome.
        flags: Regions that were "relabelled" or "reworded".
        ious, boundary_ious: Of regions that were offered and saved, in [0, 1].
        judged: Proposals with a score that were taken, changed or refused.
    """

    counts: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    ious: list[float] = field(default_factory=list)
    boundary_ious: list[float] = field(default_factory=list)
    judged: list[JudgedProposal] = field(default_factory=list)

    def add(self, one: Correction) -> None:
        """Count one."""
        result = one.outcome
        self.counts[result.outcome] += 1
        self.flags["relabelled"] += result.is_relabelled
        self.flags["reworded"] += result.is_reworded
        if result.iou is not None:
            self.ious.append(result.iou)
        if result.boundary_iou is not None:
            self.boundary_ious.append(result.boundary_iou)
        if result.score is not None and result.outcome in ANSWERED:
            is_kept = result.outcome in ("accepted", "edited") and (result.iou or 0.0) >= RIGHT_IOU
            self.judged.append(JudgedProposal(result.score, is_kept))

    @property
    def accepted_share(self) -> float | None:
        """Share of what was offered and answered that was taken as it was; None of nothing."""
        answered = sum(self.counts[name] for name in ANSWERED)
        return self.counts["accepted"] / answered if answered else None

    def row(self) -> dict[str, float | int | None]:
        """For tables: counts, shares, medians."""
        return {
            **{name: self.counts[name] for name in NAMES},
            "accepted_share": self.accepted_share,
            "median_iou": float(np.median(self.ious)) if self.ious else None,
            "median_boundary_iou": float(np.median(self.boundary_ious)) if self.boundary_ious else None,
        }


def summarise(corrections: Iterable[Correction], group: Group | None = None) -> dict[str, OutcomeSummary]:
    """Summaries by group, "all" first; in the order of names."""
    found: dict[str, OutcomeSummary] = defaultdict(OutcomeSummary)
    everything = found["all"]
    for one in corrections:
        everything.add(one)
        if group:
            found[group(one)].add(one)
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "all", name))}


class LeadTimes(NamedTuple):
    """Seconds that annotations took: those that began with or asked for proposals, and those that had none."""

    with_proposals: list[float]
    without_proposals: list[float]


def lead_times(db: sa.Connection, project: int) -> LeadTimes:
    """Of every annotation as it stands."""
    was_offered = (
        sa.select(outcome.c.id)
        .where((outcome.c.version_id == annotation_version.c.id) & outcome.c.offered_region.is_not(None))
        .exists()
    )
    rows = db.execute(
        sa.select(annotation_version.c.lead_time_s, was_offered.label("was_offered"))
        .where((annotation_version.c.project == project) & is_newest())
        .where(annotation_version.c.lead_time_s.is_not(None))
        .order_by(annotation_version.c.id)
    ).all()
    return LeadTimes([row[0] for row in rows if row[1]], [row[0] for row in rows if not row[1]])
