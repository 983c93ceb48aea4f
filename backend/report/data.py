"""What a report says, as values: read once from the ledger, by any group, with the worst cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from backend.corrections.queries import Correction, read_corrections, read_images
from backend.corrections.statistics import GROUPS, Group, LeadTimes, OutcomeSummary, lead_times
from backend.corrections.store import CorrectionStore
from backend.db.tables import connection

WORST = 12
"""Cases that are shown."""


@dataclass(frozen=True)
class ReportData:
    """What is known about a project.

    Attributes:
        all: Over everything.
        groups: By name of the division and name of the group.
        times: Of annotations with and without proposals.
        worst: Corrections with masks, the least alike first.
        images: Addresses of the images of their tasks.
    """

    project: int
    all: OutcomeSummary
    groups: Mapping[str, Mapping[str, OutcomeSummary]]
    times: LeadTimes
    worst: Sequence[Correction]
    images: Mapping[str, str | None]


def find(correction_store: CorrectionStore, project: int, kind: Group | None = None) -> ReportData:
    """Read a project's corrections.

    Args:
        kind: Tells the kind of a correction's expression; without it there is no such division.
    """
    divisions: dict[str, Group] = {**GROUPS, **({"kind": kind} if kind else {})}
    groups: dict[str, dict[str, OutcomeSummary]] = {name: {} for name in divisions}
    everything, bad = OutcomeSummary(), []
    with correction_store.reading() as db:
        for one in read_corrections(db, project):
            everything.add(one)
            for name, group in divisions.items():
                groups[name].setdefault(group(one), OutcomeSummary()).add(one)
            if (badness := _badness(one)) is not None:
                bad.append((badness, one.task, one.annotation, one.outcome.region))
        chosen = sorted(bad)[:WORST]
        wanted = {key[1:] for key in chosen}
        by_key = {
            (one.task, one.annotation, one.outcome.region): one
            for task in sorted({task for task, _, _ in wanted})
            for one in read_corrections(db, project, task=task, with_masks=True)
        }
        images = read_images(db, project, {task for task, _, _ in wanted})
        times = lead_times(db, project)
    sorted_groups = {name: dict(sorted(found.items())) for name, found in groups.items()}
    return ReportData(project, everything, sorted_groups, times, [by_key[key[1:]] for key in chosen], images)


def find_address(correction_store: CorrectionStore, project: int) -> str | None:
    """Label Studio's address for people, as it says itself when it is connected; None if it never did."""
    with correction_store.reading() as db:
        return db.scalar(sa.select(connection.c.hostname).where(connection.c.project == project))


def _badness(one: Correction) -> float | None:
    """How alike what was offered is to what was saved; None of what says nothing about a proposal."""
    told = one.outcome
    if told.outcome in ("edited", "replaced"):
        return told.iou
    return -1.0 + (1 - (told.score or 0.0)) if told.outcome == "rejected" else None  # refused with confidence is worst
