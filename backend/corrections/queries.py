"""Corrections as they stand: of each annotation that is not deleted and not skipped, its newest version and its outcomes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from backend.corrections.outcomes import NAMES, RegionOutcome
from backend.db.correction_tables import annotation_deleted, annotation_version, outcome
from backend.label_studio.protocol import Json
from ris_core.errors import UnknownName

ROWS_AT_ONCE = 200
"""Rows in memory at a time; each may hold two masks."""

_MASKS = ("mask", "offered_mask")


@dataclass(frozen=True)
class Correction:
    """What became of a region, in which annotation.

    Attributes:
        is_current: It belongs to the newest version of an annotation that is there.
        outcome: Without masks, unless they were asked for.
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
        """Flat, for tables and dumps."""
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
    """Corrections of a project, in the order of tasks, annotations and versions; few in memory at a time.

    Args:
        outcomes: Only these; all if empty.
        with_history: Also of former versions and of deleted annotations.

    Raises:
        UnknownName: If there is no such outcome.
    """
    if unknown := [name for name in outcomes if name not in NAMES]:
        raise UnknownName(f"No outcome named {unknown[0]!r}. Available: {', '.join(NAMES)}.")
    is_current = is_newest()
    wanted = (annotation_version.c.project == project) & (sa.true() if with_history else is_current)
    if outcomes:
        wanted &= outcome.c.outcome.in_(outcomes)
    if task is not None:
        wanted &= annotation_version.c.task == task
    if annotator is not None:
        wanted &= annotation_version.c.annotator == annotator
    shown = [c for c in outcome.c if c.name not in ("id", "version_id", *(() if with_masks else _MASKS))]
    own = [c for c in annotation_version.c if c.name in Correction.__dataclass_fields__]
    rows = db.execution_options(yield_per=ROWS_AT_ONCE).execute(
        sa.select(*own, is_current.label("is_current"), *shown)
        .join(annotation_version, annotation_version.c.id == outcome.c.version_id)
        .where(wanted)
        .order_by(*by_task(annotation_version.c.task), annotation_version.c.annotation)
        .order_by(annotation_version.c.updated_at, outcome.c.region)
    )
    for row in rows.mappings():
        yield _correction(dict(row))


@dataclass(frozen=True)
class VersionOutcomes:
    """A version of an annotation, and what became of its regions.

    Attributes:
        is_deleted: The annotation is not there any more.
        is_current: It is the newest version of an annotation that is there.
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
    """Every version of every annotation of a task, those without regions too, in the order in which they were saved."""
    own = annotation_version.c
    columns = (own.annotation, own.project, own.task, own.annotator, own.updated_at, own.was_cancelled)
    rows = db.execute(
        sa.select(*columns, _is_deleted().label("is_deleted"), is_newest().label("is_current"))
        .where((own.project == project) & (own.task == task))
        .order_by(own.annotation, own.updated_at)
    ).mappings()
    of: dict[tuple[int, float], list[Correction]] = {}
    for one in read_corrections(db, project, task=task, with_history=True):
        of.setdefault((one.annotation, one.updated_at), []).append(one)
    flags = ("was_cancelled", "is_deleted", "is_current")
    return [
        VersionOutcomes(
            **{**row, **{name: bool(row[name]) for name in flags}},
            corrections=tuple(of.get((row["annotation"], row["updated_at"]), ())),
        )
        for row in rows
    ]


def find_projects(db: sa.Connection, task: str) -> list[int]:
    """The projects in which a task of this number has annotations."""
    own = annotation_version.c
    return sorted(db.scalars(sa.select(own.project).where(own.task == task).distinct()))


def read_images(db: sa.Connection, project: int, tasks: Collection[str]) -> dict[str, str | None]:
    """Addresses of the images of tasks, as their newest annotations have them."""
    rows = db.execute(
        sa.select(annotation_version.c.task, annotation_version.c.image)
        .where((annotation_version.c.project == project) & annotation_version.c.task.in_(sorted(tasks)))
        .order_by(annotation_version.c.updated_at)
    )
    return {row.task: row.image for row in rows}


def is_newest() -> sa.ColumnElement[bool]:
    """Whether a version is the newest of an annotation that was neither deleted nor skipped."""
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
    """Order of task ids, which are text, as if they were numbers."""
    return sa.func.length(task), task


def _correction(row: Mapping[str, Any]) -> Correction:
    judged = RegionOutcome(**{name: row.get(name) for name in RegionOutcome.__dataclass_fields__})  # type: ignore[arg-type]
    own = {name: row[name] for name in Correction.__dataclass_fields__ if name != "outcome"}
    return Correction(**{**own, "is_current": bool(own["is_current"])}, outcome=judged)
