"""Reads the regions of a project for the scores of suspicion, lists the suspicious ones, and keeps their scores in the list of regions.

A label is judged by all the others, so the whole project is scored at a time.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from backend.corrections.matching import boundary_overlap, overlap
from backend.corrections.offered_regions import OfferedRegionsOfTask
from backend.corrections.outcomes import RegionOutcome
from backend.corrections.predicted_tasks import read_predicted_tasks
from backend.corrections.queries import Correction, is_newest, read_corrections
from backend.corrections.store import CorrectionStore
from backend.db.correction_tables import annotation_version
from backend.db.review_tables import listed_region
from backend.review.decisions import State
from backend.review.listing import RegionFilter, name_region
from backend.review.queues import IS_OPEN
from backend.review.suspicion import SuspectRegion, SuspiciousRegion, score_regions, split_words

ROWS_AT_ONCE = 1000
"""Scores that are written in one transaction, during which nobody else can write."""


def list_suspicious(db: sa.Connection, project: int, states: Sequence[State] = ()) -> list[SuspiciousRegion]:
    """The queue: listed regions that are not decided, the most suspicious first.

    Args:
        states: Only regions in these; in any that is not decided if empty.
    """
    condition = RegionFilter(states=tuple(states)).matches(project) & IS_OPEN
    is_open = set(db.scalars(sa.select(listed_region.c.id).where(condition)))
    scored = [one for one in score_regions(read_suspects(db, project)) if one.id in is_open and one.worst.score > 0]
    return sorted(scored, key=lambda one: (*one.order, one.id))


def has_unscored(db: sa.Connection, project: int) -> bool:
    """Whether the list of a project has a region without scores: a new one, or one that was changed."""
    unscored = (listed_region.c.project == project) & listed_region.c.suspicion.is_(None)
    return bool(db.scalar(sa.select(sa.exists().where(unscored))))


def score_listed(correction_store: CorrectionStore, project: int) -> None:
    """Score a project and keep the scores in its list of regions. What was changed meanwhile is left for the next time."""
    own = listed_region.c
    known = sa.select(own.id, own.mask_sha256, own.suspicion, own.suspicion_place, own.suspicion_reason)
    with correction_store.reading() as db:
        listed = db.execute(known.where(own.project == project)).all()
        scored = {one.id: _to_row(one) for one in score_regions(read_suspects(db, project))}
    rows = [
        {"row": id, "mask": mask, **new}
        for id, mask, *old in listed
        if (new := scored.get(id, _NO_SCORE)) != dict(zip(_NO_SCORE, old, strict=True))
    ]
    same = (own.id == sa.bindparam("row")) & (own.mask_sha256 == sa.bindparam("mask"))
    keep = sa.update(listed_region).where(same).values({name: sa.bindparam(name) for name in _NO_SCORE})
    for start in range(0, len(rows), ROWS_AT_ONCE):
        with correction_store.writing() as db:
            db.execute(keep, rows[start : start + ROWS_AT_ONCE])


def read_suspects(db: sa.Connection, project: int) -> Iterator[SuspectRegion]:
    """The regions of a project, task by task: those of annotations first, then those of predictions in tasks without any."""
    corrections = read_corrections(db, project, with_masks=True)
    for _, group in groupby(corrections, key=lambda one: one.annotation):
        yield from _read_annotation(list(group))
    own = annotation_version.c
    annotated = set(db.scalars(sa.select(own.task).where((own.project == project) & is_newest())))
    for task in read_predicted_tasks(db, project):
        if task in annotated:
            continue
        for one in OfferedRegionsOfTask(db, project, task).newest_bulk():
            id = name_region(project, task, one.region, None)
            yield SuspectRegion(id, task, one.label, one.expression, one.score, None, None, one.mask, one.mask)


_NO_SCORE: dict[str, Any] = {"suspicion": 0.0, "suspicion_place": None, "suspicion_reason": None}


def _to_row(one: SuspiciousRegion) -> dict[str, Any]:
    """The columns of the list with its highest score."""
    place, kind, score, reason = min(one.places), *one.worst
    if not score:
        return _NO_SCORE
    return {"suspicion": float(score), "suspicion_place": int(place), "suspicion_reason": f"{kind}: {reason}"}


def _read_annotation(corrections: Sequence[Correction]) -> Iterator[SuspectRegion]:
    """A region that was drawn by hand is compared with the proposal for the same words, if that was deleted."""
    deleted = {
        split_words(one.outcome.expression or ""): one.outcome for one in corrections if one.outcome.mask is None
    }
    for one in corrections:
        saved = one.outcome
        if saved.mask is None:
            continue
        words = split_words(saved.expression or "")
        proposal = deleted.get(words, saved) if words and saved.offered_mask is None else saved
        yield SuspectRegion(
            name_region(one.project, one.task, saved.region, one.annotation),
            one.task,
            saved.label,
            saved.expression or "",
            proposal.score,
            *_compare(saved, proposal),
            saved.mask,
            proposal.offered_mask,
        )


def _compare(saved: RegionOutcome, proposal: RegionOutcome) -> tuple[float | None, float | None]:
    """IoU of the masks, and of their boundaries; None without a proposal."""
    if proposal is saved or saved.mask is None or proposal.offered_mask is None:
        return saved.iou, saved.boundary_iou
    return overlap(saved.mask, proposal.offered_mask), boundary_overlap(saved.mask, proposal.offered_mask)
