"""Statistics of corrections: counts of outcomes, IoUs of saved and offered masks, lead times."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from backend.corrections.outcome_kinds import NAMES, VERDICTS
from backend.corrections.queries import Correction, is_newest
from backend.db.correction_tables import annotation_version, outcome

RIGHT_IOU = 0.5
"""An edited proposal with at least this IoU counts as right."""

Group = Callable[[Correction], str]

GROUPS: Mapping[str, Group] = {
    "label": lambda correction: correction.outcome.label or "-",
    "annotator": lambda correction: "-" if correction.annotator is None else str(correction.annotator),
    "model_version": lambda correction: correction.outcome.model_version or "-",
}
"""Properties by which corrections can be divided, besides the kind of their expression."""


class JudgedProposal(NamedTuple):
    """A proposal's score, and whether the proposal was right."""

    score: float
    is_right: bool


@dataclass
class OutcomeSummary:
    """Counts and measures of a group of corrections.

    Attributes:
        counts: Number of regions by outcome.
        flags: Number of regions that were "relabelled", "reworded", and "refined" by clicks or a box.
        ious, boundary_ious: In [0, 1], of regions that were offered and saved.
        judged: Proposals that have a score and one of the outcomes in `VERDICTS`, without refined ones: their scores are of the
            clicks, not of the expression.
    """

    counts: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    ious: list[float] = field(default_factory=list)
    boundary_ious: list[float] = field(default_factory=list)
    judged: list[JudgedProposal] = field(default_factory=list)

    def add(self, correction: Correction) -> None:
        """Count a correction."""
        result = correction.outcome
        self.counts[result.outcome] += 1
        self.flags["relabelled"] += result.is_relabelled
        self.flags["reworded"] += result.is_reworded
        self.flags["refined"] += result.is_refined
        if result.iou is not None:
            self.ious.append(result.iou)
        if result.boundary_iou is not None:
            self.boundary_ious.append(result.boundary_iou)
        if result.score is not None and result.outcome in VERDICTS and not result.is_refined:
            is_right = result.outcome in ("accepted", "edited") and (result.iou or 0.0) >= RIGHT_IOU
            self.judged.append(JudgedProposal(result.score, is_right))

    @property
    def accepted_share(self) -> float | None:
        """Share of accepted ones among the proposals that were answered; None if there were none."""
        answered = sum(self.counts[name] for name in VERDICTS)
        return self.counts["accepted"] / answered if answered else None

    def row(self) -> dict[str, float | int | None]:
        """Counts, share and medians by column name, for tables; None where there is no value."""
        return {
            **{name: self.counts[name] for name in NAMES},
            "accepted_share": self.accepted_share,
            "median_iou": float(np.median(self.ious)) if self.ious else None,
            "median_boundary_iou": float(np.median(self.boundary_ious)) if self.boundary_ious else None,
        }


def summarise(corrections: Iterable[Correction], group: Group | None = None) -> dict[str, OutcomeSummary]:
    """Summaries by the name of the group, in the order of names; before them that of all corrections, "all"."""
    summaries: dict[str, OutcomeSummary] = defaultdict(OutcomeSummary)
    everything = summaries["all"]
    for correction in corrections:
        everything.add(correction)
        if group:
            summaries[group(correction)].add(correction)
    return {name: summaries[name] for name in sorted(summaries, key=lambda name: (name != "all", name))}


class LeadTimes(NamedTuple):
    """Lead times in seconds of annotations to which something was offered, and of those without."""

    with_proposals: list[float]
    without_proposals: list[float]


def lead_times(db: sa.Connection, project: int) -> LeadTimes:
    """Lead times of the newest version of every annotation of a project that is not deleted or skipped."""
    has_offer = (
        sa.select(outcome.c.id)
        .where((outcome.c.version_id == annotation_version.c.id) & outcome.c.offered_region.is_not(None))
        .exists()
    )
    rows = db.execute(
        sa.select(annotation_version.c.lead_time_s, has_offer.label("has_offer"))
        .where((annotation_version.c.project == project) & is_newest())
        .where(annotation_version.c.lead_time_s.is_not(None))
        .order_by(annotation_version.c.id)
    ).all()
    return LeadTimes([row[0] for row in rows if row[1]], [row[0] for row in rows if not row[1]])
