"""The list of a project's regions, in SQL: a page of it costs a page, however large the project is.

It is made of the other tables, task by task. Whatever changes a task's regions notes the task (`backend.db.listing`), and whoever reads
the list has the noted tasks listed anew first. A decision changes the list at once.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from backend.corrections.store import CorrectionStore
from backend.db.review_tables import listed_region, review, to_list
from backend.review.bound import THRESHOLDS, ErrorBound, bound_counts
from backend.review.decisions import STATES, WRONG, RegionMask, State, Verdict, add_decision
from backend.review.queues import QUEUES, find_queue
from backend.review.regions import RegionRecord, ReviewedRegion, read_regions
from ris_core.errors import UnknownName

TASKS_AT_ONCE = 20
"""Tasks that are listed in one transaction, during which nobody else can write."""

_own = listed_region.c


@dataclass(frozen=True)
class ListedRegion(RegionRecord):
    """A region as it was listed, with the last decision about its mask; what was decided as `Decision` has it.

    Attributes:
        id: Its name in addresses: a digest of project, task, region and annotation.
        decision: Id of the last decision; None if there is none.
        suspicion: Its highest score, in [0, 1]; None if it is not scored yet.
        suspicion_reason: Of which kind it is, and why, in words; None if the score is 0.
    """

    id: str
    state: State
    decision: int | None
    reason: str | None = None
    comment: str | None = None
    reviewer: int | None = None
    at: float | None = None
    suspicion: float | None = None
    suspicion_reason: str | None = None


@dataclass(frozen=True)
class RegionFilter:
    """Which regions of a project are listed; what is None or empty leaves them be.

    Attributes:
        queue: Name of a queue, which also gives the order.
        at_least, below: Bounds of the probability, in [0, 1].

    Raises:
        UnknownName: If there is no such queue.
    """

    queue: str | None = None
    states: tuple[State, ...] = ()
    outcome: str | None = None
    model_version: str | None = None
    at_least: float | None = None
    below: float | None = None

    def __post_init__(self) -> None:
        if self.queue is not None:
            find_queue(self.queue)

    def matches(self, project: int) -> sa.ColumnElement[bool]:
        """The condition on the list."""
        condition = _own.project == project
        if self.states:
            condition &= _own.state.in_(self.states)
        for name in ("outcome", "model_version"):
            if (value := getattr(self, name)) is not None:
                condition &= _own[name] == value
        if self.at_least is not None:
            condition &= _own.probability >= self.at_least
        if self.below is not None:
            condition &= _own.probability < self.below
        return condition & QUEUES[self.queue].has if self.queue is not None else condition

    @property
    def order(self) -> tuple[sa.ColumnElement[Any], ...]:
        """The sort keys."""
        return (
            (*QUEUES[self.queue].order, _own.id) if self.queue is not None else (_own.task_order, _own.region, _own.id)
        )


def refresh(correction_store: CorrectionStore, project: int, within_s: float | None = None) -> int:
    """List the noted tasks of a project anew; returns how many wait still.

    Args:
        within_s: No task is begun after so many seconds; all are listed if None.
    """
    began = time.monotonic()
    noted = sa.select(to_list.c.task).where(to_list.c.project == project).distinct()
    while True:
        with correction_store.reading() as db:
            tasks = db.scalars(noted.limit(TASKS_AT_ONCE)).all()
        if not tasks:
            return 0
        if within_s is not None and time.monotonic() - began > within_s:
            with correction_store.reading() as db:
                return db.scalar(sa.select(sa.func.count()).select_from(noted.subquery())) or 0
        with correction_store.writing() as db:
            for task in tasks:
                list_task(db, project, task)


def list_task(db: sa.Connection, project: int, task: str) -> None:
    """List a task's regions anew, if it is noted."""
    is_meant = (to_list.c.project == project) & (to_list.c.task == task)
    notes = db.scalars(sa.select(to_list.c.id).where(is_meant)).all()  # later ones are about what is not read yet
    if not notes:
        return
    listed = (_own.project == project) & (_own.task == task)
    scores = {tuple(row[:-3]): row[-3:] for row in db.execute(sa.select(*_COMPARED, *_SCORES).where(listed))}
    rows = [_to_row(one, scores) for one in read_regions(db, project, task)]
    db.execute(sa.delete(listed_region).where(listed))
    if rows:
        db.execute(sa.insert(listed_region), rows)
    for start in range(0, len(notes), 500):  # the number of parameters of one statement is limited
        db.execute(sa.delete(to_list).where(to_list.c.id.in_(notes[start : start + 500])))


def count_regions(db: sa.Connection, project: int, chosen: RegionFilter) -> int:
    """How many regions match."""
    return db.scalar(sa.select(sa.func.count()).select_from(listed_region).where(chosen.matches(project))) or 0


def read_listed(
    db: sa.Connection, project: int, chosen: RegionFilter, limit: int, start: int = 0
) -> list[ListedRegion]:
    """The regions that match, in their order, from a place on."""
    return _read_page(db, chosen.matches(project), chosen.order, limit, start)


def read_sample(db: sa.Connection, project: int, chosen: RegionFilter, limit: int) -> list[ListedRegion]:
    """Some of the regions that match, drawn by the random order of the audit."""
    return _read_page(db, chosen.matches(project), (_own.audit_order,), limit)


def find_neighbours(
    db: sa.Connection, project: int, chosen: RegionFilter, id: str
) -> tuple[str | None, str | None] | None:
    """Ids of the regions before and after one in a list, None at its ends; None if the region is not in it."""
    places = {"before": sa.func.lag(_own.id), "after": sa.func.lead(_own.id)}
    named = [place.over(order_by=chosen.order).label(name) for name, place in places.items()]
    ids = sa.select(_own.id, *named).outerjoin(review, review.c.id == _own.decision)
    page = ids.where(chosen.matches(project)).subquery()
    row = db.execute(sa.select(page.c.before, page.c.after).where(page.c.id == id)).first()
    return None if row is None else (row[0], row[1])


def is_listed_in(db: sa.Connection, region: ListedRegion, chosen: RegionFilter) -> bool:
    """Whether a region matches."""
    return bool(db.scalar(sa.select(sa.exists().where(chosen.matches(region.project) & (_own.id == region.id)))))


def name_region(project: int, task: str, region: str, annotation: int | None) -> str:
    """The id of a region in the list."""
    name = json.dumps([project, task, region, annotation])
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def find_listed(db: sa.Connection, project: int, id: str) -> ListedRegion:
    """The region of an id, of this project.

    Raises:
        UnknownName: If there is none.
    """
    row = db.execute(_select().where((_own.project == project) & (_own.id == id))).mappings().first()
    if row is None:
        raise UnknownName(f"Project {project} has no such region now. Open its list again.")
    return ListedRegion(**row)


def decide_listed(db: sa.Connection, region: ListedRegion, verdict: Verdict) -> None:
    """Add a decision about a region as it was listed."""
    add_decision(
        db,
        region.project,
        region.about,
        verdict,
        annotation=region.annotation,
        saved_at=region.saved_at,
        probability=region.probability,
        model_version=region.model_version,
    )


def count_listed_states(db: sa.Connection, project: int) -> dict[str, int]:
    """How many regions are in each state, in the order of `STATES`."""
    states = sa.select(_own.state, sa.func.count()).where(_own.project == project).group_by(_own.state)
    counts: Mapping[str, int] = {row[0]: row[1] for row in db.execute(states)}
    return {state: counts.get(state, 0) for state in STATES}


def count_queues(db: sa.Connection, project: int, about: RegionMask | None = None) -> dict[str, int]:
    """How many regions stand in each queue.

    Args:
        about: Only those that a decision about this one changes; all if None.
    """
    meant = _own.project == project
    if about is not None:
        meant &= (_own.task == about.task) & (_own.region == about.region)
    sums = [_count_if(queue.has) for queue in QUEUES.values()]
    return dict(zip(QUEUES, db.execute(sa.select(*sums).where(meant)).one(), strict=True))


def bound_listed(db: sa.Connection, project: int, overlooked: float = 0.0) -> list[ErrorBound]:
    """What the audit says about a project's proposals, as `backend.review.regions.bound_regions`; counted in two statements."""
    is_meant = (_own.project == project) & _own.probability.is_not(None)
    above = [_own.probability >= threshold for threshold in THRESHOLDS]
    gaps = [sa.func.min(sa.case((one & _own.first_look.is_(None), _own.audit_order))) for one in above]
    row = db.execute(sa.select(*map(_count_if, above), *gaps).where(is_meant)).one()
    numbers, first_gaps = row[: len(above)], row[len(above) :]
    audited = [
        one if gap is None else one & (_own.audit_order < gap) for one, gap in zip(above, first_gaps, strict=True)
    ]
    wrong = [one & _own.first_look.in_(WRONG) for one in audited]
    looks = db.execute(sa.select(*map(_count_if, audited), *map(_count_if, wrong)).where(is_meant)).one()
    return bound_counts(list(zip(numbers, looks[: len(above)], looks[len(above) :], strict=True)), overlooked)


def _read_page(
    db: sa.Connection,
    condition: sa.ColumnElement[bool],
    order: tuple[sa.ColumnElement[Any], ...],
    limit: int,
    start: int = 0,
) -> list[ListedRegion]:
    """Ids first, which indexes may hold, then the rows of the page."""
    ids = sa.select(_own.id).outerjoin(review, review.c.id == _own.decision).where(condition)
    page = ids.order_by(*order).limit(limit).offset(start).subquery()
    rows = db.execute(_select().join(page, page.c.id == _own.id).order_by(*order))
    return [ListedRegion(**row) for row in rows.mappings()]


def _count_if(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


def _select() -> sa.Select[Any]:
    own = [_own[field.name] for field in fields(ListedRegion) if field.name in _own]
    about = [review.c[name] for name in ("reason", "comment", "reviewer", "at")]
    return sa.select(*own, *about).outerjoin(review, review.c.id == _own.decision)


_COMPARED = tuple(_own[name] for name in ("id", "mask_sha256", "label", "expression", "probability", "iou"))
"""What the scores of suspicion are about: a region in which one of these is another has none yet."""
_SCORES = (_own.suspicion, _own.suspicion_place, _own.suspicion_reason)


def _to_row(one: ReviewedRegion, scores: Mapping[tuple[Any, ...], Sequence[Any]]) -> dict[str, Any]:
    """Its row.

    Args:
        scores: Of the regions as they were listed, by `_COMPARED`.
    """
    own = {column.name: getattr(one, column.name) for column in _own if hasattr(one, column.name)}
    decision = one.decision.id if one.decision else None
    id = name_region(one.project, one.task, one.region, one.annotation)
    task_order = f"{one.task:>20}"  # numbers of tasks in their order
    row = {**own, "task_order": task_order, "id": id, "decision": decision}
    known = scores.get(tuple(row[column.name] for column in _COMPARED), (None, None, None))
    return {**row, **{column.name: value for column, value in zip(_SCORES, known, strict=True)}}
