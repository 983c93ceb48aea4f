"""Reads the regions of a project for the scores of suspicion, and lists the suspicious ones.

Each list scores the whole project anew, since a label is judged by all the others; nothing is stored.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import sqlalchemy as sa

from backend.corrections.matching import boundary_overlap, overlap
from backend.corrections.offered_regions import OfferedRegionsOfTask
from backend.corrections.outcomes import RegionOutcome
from backend.corrections.predicted_tasks import read_predicted_tasks
from backend.corrections.queries import Correction, is_newest, read_corrections
from backend.db.correction_tables import annotation_version
from backend.db.review_tables import listed_region
from backend.review.decisions import State
from backend.review.listing import RegionFilter, name_region
from backend.review.queues import IS_OPEN
from backend.review.suspicion import SuspectRegion, SuspiciousRegion, score_regions, split_words

SUSPICIOUS = "suspicious"
"""Name of the queue. Its order is not one of SQL, so it is apart from `backend.review.queues`."""
FORMULA = "not decided, a score of suspicion above 0; the highest of each of the four scores in turn"


def list_suspicious(db: sa.Connection, project: int, states: Sequence[State] = ()) -> list[SuspiciousRegion]:
    """The queue: listed regions that are not decided, the most suspicious first.

    Args:
        states: Only regions in these; in any that is not decided if empty.
    """
    condition = RegionFilter(states=tuple(states)).matches(project) & IS_OPEN
    is_open = set(db.scalars(sa.select(listed_region.c.id).where(condition)))
    scored = [one for one in score_regions(read_suspects(db, project)) if one.id in is_open and one.worst.score > 0]
    return sorted(scored, key=lambda one: (*one.order, one.id))


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
