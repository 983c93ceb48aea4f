"""The numbers and cases of a report, read once from the correction store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from backend.corrections.disagreements import Disagreement, read_disagreements, sort_widest
from backend.corrections.queries import Correction, read_corrections, read_images
from backend.corrections.statistics import GROUPS, Group, LeadTimes, OutcomeSummary, lead_times
from backend.corrections.store import CorrectionStore
from backend.db.tables import connection
from backend.review.decisions import read_present
from backend.review.regions import count_states, read_regions

WORST = 12
"""How many of the worst cases the page shows."""


@dataclass(frozen=True)
class ReportData:
    """What the report says about a project.

    Attributes:
        all: Summary of all corrections.
        groups: Summaries by the name of the division ("label", "annotator", …) and the name of the group.
        times: Lead times of annotations with and without proposals.
        worst: Corrections with their masks, the worst first.
        images: Image address by task, of the tasks in `worst`.
        reviews: How many regions are in each state of quality review; empty if nothing was reviewed.
        disagreements: Of two people about one expression, the widest first.
    """

    project: int
    all: OutcomeSummary
    groups: Mapping[str, Mapping[str, OutcomeSummary]]
    times: LeadTimes
    worst: Sequence[Correction]
    images: Mapping[str, str | None]
    reviews: Mapping[str, int] = field(default_factory=dict)
    disagreements: Sequence[Disagreement] = ()


def read_report_data(correction_store: CorrectionStore, project: int, kind: Group | None = None) -> ReportData:
    """Read a project's corrections.

    Args:
        kind: Returns the kind of a correction's expression; without it, the page has no division by kind.
    """
    divisions: dict[str, Group] = {**GROUPS, **({"kind": kind} if kind else {})}
    groups: dict[str, dict[str, OutcomeSummary]] = {name: {} for name in divisions}
    everything, ranking = OutcomeSummary(), []
    with correction_store.reading() as db:
        # masks are large: the first pass reads every correction without them, the second only the worst with them
        for correction in read_corrections(db, project):
            everything.add(correction)
            for name, group_of in divisions.items():
                groups[name].setdefault(group_of(correction), OutcomeSummary()).add(correction)
            if (quality := _quality(correction)) is not None:
                ranking.append((quality, _key(correction)))
        worst_keys = [key for _, key in sorted(ranking)[:WORST]]
        tasks = {task for task, _, _ in worst_keys}
        with_masks = {
            _key(correction): correction
            for task in sorted(tasks)
            for correction in read_corrections(db, project, task=task, with_masks=True)
        }
        images = read_images(db, project, tasks)
        times = lead_times(db, project)
        reviews = count_states(read_regions(db, project)) if read_present(db, project) else {}
        disagreements = sort_widest(read_disagreements(db, project))
    sorted_groups = {name: dict(sorted(summaries.items())) for name, summaries in groups.items()}
    worst = [with_masks[key] for key in worst_keys]
    return ReportData(project, everything, sorted_groups, times, worst, images, reviews, disagreements)


def read_studio_url(correction_store: CorrectionStore, project: int) -> str | None:
    """The address that Label Studio gave for itself when the project was connected; None if it never did."""
    with correction_store.reading() as db:
        return db.scalar(sa.select(connection.c.hostname).where(connection.c.project == project))


def _quality(correction: Correction) -> float | None:
    """How good a proposal was, for ranking: its IoU, or for a rejected one its negative score; None without a proposal."""
    outcome = correction.outcome
    if outcome.outcome in ("edited", "replaced"):
        return outcome.iou
    return -(outcome.score or 0.0) if outcome.outcome == "rejected" else None  # rejected at a high score is worst


def _key(correction: Correction) -> tuple[str, int, str]:
    return correction.task, correction.annotation, correction.outcome.region
