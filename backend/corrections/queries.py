"""Queries of corrections. Unless history is requested: of the newest version of each annotation that is not deleted or skipped."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from backend.corrections.outcome_kinds import NAMES
from backend.corrections.outcomes import RegionOutcome
from backend.db.correction_tables import annotation_deleted, annotation_version, outcome
from backend.label_studio.protocol import Json
from ris_core.errors import UnknownName

ROWS_AT_ONCE = 200
"""Rows in memory at a time; each may have two masks."""

_MASKS = ("mask", "offered_mask")


@dataclass(frozen=True)
class Correction:
    """The outcome of a region, and the annotation that it is in.

    Attributes:
        is_current: The annotation is not deleted or skipped, and this is its newest version.
        outcome: Its masks are None unless the query asked for them.
    """

    annotation: int
    project: int
    task: str
    annotator: int | None
    created_at: float
    updated_at: float
    lead_time_s: float | None
    is_reviewed: bool
    is_current: bool
    outcome: RegionOutcome

    def to_json(self) -> Json:
        """All fields on one level, for tables and dumps."""
        own = {name: value for name, value in vars(self).items() if name != "outcome"}
        return {**own, **asdict(self.outcome)}


def read_corrections(
    db: sa.Connection,
    project: int,
    *,
    outcomes: Sequence[str] = (),
    task: str | None = None,
    annotator: int | None = None,
    with_history: bool = False,
    with_masks: bool = False,
) -> Iterator[Correction]:
    """Corrections of a project in the order of tasks, annotations and versions; few are in memory at a time.

    Args:
        outcomes, task, annotator: Only corrections with these; all if empty or None.
        with_history: Also those of former versions and of deleted annotations.
        with_masks: Read the masks too.

    Raises:
        UnknownName: If there is no such outcome.
    """
    if unknown := [name for name in outcomes if name not in NAMES]:
        raise UnknownName(f"No outcome named {unknown[0]!r}. Available: {', '.join(NAMES)}.")
    is_current = is_newest()
    condition = (annotation_version.c.project == project) & (sa.true() if with_history else is_current)
    if outcomes:
        condition &= outcome.c.outcome.in_(outcomes)
    if task is not None:
        condition &= annotation_version.c.task == task
    if annotator is not None:
        condition &= annotation_version.c.annotator == annotator
    result = [c for c in outcome.c if c.name not in ("id", "version_id", *(() if with_masks else _MASKS))]
    own = [c for c in annotation_version.c if c.name in Correction.__dataclass_fields__]
    rows = db.execute(
        sa.select(*own, is_current.label("is_current"), *result)
        .join(annotation_version, annotation_version.c.id == outcome.c.version_id)
        .where(condition)
        .order_by(*by_task(annotation_version.c.task), annotation_version.c.annotation)
        .order_by(annotation_version.c.updated_at, outcome.c.region),
        execution_options={
            "yield_per": ROWS_AT_ONCE
        },  # not of the connection, whose later statements would have it too
    )
    for row in rows.mappings():
        yield _correction(dict(row))


@dataclass(frozen=True)
class VersionOutcomes:
    """A version of an annotation, and the outcomes of its regions.

    Attributes:
        was_cancelled: The annotator skipped the task.
        is_deleted: The annotation was deleted.
        is_current: The annotation is not deleted or skipped, and this is its newest version.
    """

    annotation: int
    project: int
    task: str
    annotator: int | None
    updated_at: float
    was_cancelled: bool
    is_deleted: bool
    is_current: bool
    corrections: tuple[Correction, ...]


def read_past(db: sa.Connection, project: int, task: str) -> list[VersionOutcomes]:
    """Every version of every annotation of a task, also those without regions, by annotation and in the order of saving."""
    own = annotation_version.c
    columns = (own.annotation, own.project, own.task, own.annotator, own.updated_at, own.was_cancelled)
    rows = db.execute(
        sa.select(*columns, _is_deleted().label("is_deleted"), is_newest().label("is_current"))
        .where((own.project == project) & (own.task == task))
        .order_by(own.annotation, own.updated_at)
    ).mappings()
    corrections_of: dict[tuple[int, float], list[Correction]] = {}
    for correction in read_corrections(db, project, task=task, with_history=True):
        corrections_of.setdefault((correction.annotation, correction.updated_at), []).append(correction)
    flags = ("was_cancelled", "is_deleted", "is_current")
    return [
        VersionOutcomes(
            **{**row, **{name: bool(row[name]) for name in flags}},
            corrections=tuple(corrections_of.get((row["annotation"], row["updated_at"]), ())),
        )
        for row in rows
    ]


def list_projects(db: sa.Connection) -> list[int]:
    """The projects that have annotations."""
    return sorted(db.scalars(sa.select(annotation_version.c.project).distinct()))


def find_projects(db: sa.Connection, task: str) -> list[int]:
    """The projects that have annotations of a task with this number."""
    own = annotation_version.c
    return sorted(db.scalars(sa.select(own.project).where(own.task == task).distinct()))


def read_images(db: sa.Connection, project: int, tasks: Collection[str]) -> dict[str, str | None]:
    """Image address by task, from the task's newest annotation; None if its label config did not name the field."""
    rows = db.execute(
        sa.select(annotation_version.c.task, annotation_version.c.image)
        .where((annotation_version.c.project == project) & annotation_version.c.task.in_(sorted(tasks)))
        .order_by(annotation_version.c.updated_at)
    )
    return {row.task: row.image for row in rows}


def is_newest() -> sa.ColumnElement[bool]:
    """Condition: the version is the newest of its annotation, which was neither deleted nor skipped."""
    later = annotation_version.alias("later")
    is_outdated = (
        sa.select(later.c.id)
        .where(_is_same(later))
        .where(later.c.updated_at > annotation_version.c.updated_at)
        .exists()
    )
    return ~is_outdated & ~_is_deleted() & ~annotation_version.c.was_cancelled


def _is_deleted() -> sa.ColumnElement[bool]:
    return (
        sa.select(annotation_deleted.c.annotation)
        .where(annotation_deleted.c.annotation == annotation_version.c.annotation)
        .where(annotation_deleted.c.project == annotation_version.c.project)
        .exists()
    )


def _is_same(other: sa.FromClause) -> sa.ColumnElement[bool]:
    own = annotation_version.c
    same = (other.c.annotation == own.annotation) & (other.c.project == own.project)
    return same & (other.c.task == own.task)


def by_task(task: sa.ColumnElement[str]) -> tuple[sa.ColumnElement[Any], ...]:
    """Sort keys for task ids, which are text: by length first, so that they sort as numbers."""
    return sa.func.length(task), task


def _correction(row: Mapping[str, Any]) -> Correction:
    result = RegionOutcome(**{name: row.get(name) for name in RegionOutcome.__dataclass_fields__})  # type: ignore[arg-type]
    own = {name: row[name] for name in Correction.__dataclass_fields__ if name != "outcome"}
    return Correction(**{**own, "is_current": bool(own["is_current"])}, outcome=result)
