"""Adds facts to the correction store: each once, and none that contradicts the recorded task and project of an annotation.

An annotation belongs to one task of one project. An event that says otherwise is refused: it is forged, or from another Label
Studio. The API of Label Studio is believed more than events, unless it contradicts its own earlier answers.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from backend.base.errors import Unreachable
from backend.db.correction_tables import annotation_deleted, annotation_version, outcome
from backend.db.listing import note_tasks
from backend.db.upsert import insert_if_absent
from backend.label_studio.annotations import AnnotationEvent, AnnotationVersion

SETTLE_S = 60.0
"""For so long after the event of a deletion, the API may still list the annotation: events can overtake the transaction."""

Source = Literal["webhook", "api", "absence"]
"""How a fact was learned: from an event; from the API; of a deletion, from the API's proof that the annotation is gone."""

Task = tuple[int, str]


class AddedFacts(NamedTuple):
    """The result of adding an event.

    Attributes:
        facts: Number of new facts.
        tasks: Tasks whose outcomes must be computed anew.
        refused: What was refused, and why, in words.
    """

    facts: int
    tasks: frozenset[Task]
    refused: tuple[str, ...]


def add_event(db: sa.Connection, event: AnnotationEvent, source: Source, seen_at: float) -> AddedFacts:
    """Add the new facts of an event; those that contradict recorded facts are refused.

    Args:
        source: How the event was learned.
        seen_at: When, in seconds since 1970; of an answer of the API, the time of the request.

    Raises:
        Unreachable: If the API contradicts its own earlier answer.
    """
    facts, tasks, refused = 0, set[Task](), list[str]()
    for version in event.versions:
        recorded = _recorded_tasks(db, version.annotation)
        if source == "api":
            version, corrected = _reconcile_task(db, version, recorded)
            tasks |= corrected
        elif recorded and (version.project, version.task) not in {(row.project, row.task) for row in recorded}:
            claim = f"task {version.task} of project {version.project}"
            refused.append(_contradiction(version.annotation, claim, recorded))
            continue
        is_new = insert_new(db, annotation_version, _version_row(version, source))
        if not is_new and source == "api" and _confirm(db, version):
            tasks.add((version.project, version.task))
        is_back = _undo_deletion(db, version, source, seen_at)
        if is_new:
            tasks.add((version.project, version.task))
        elif is_back:
            note_tasks(db, [(version.project, version.task)])
        facts += is_new or is_back
    for annotation in event.deleted:
        if event.project is None:
            refused.append(f"the deletion of annotation {annotation} names no project")
        elif (recorded := _recorded_tasks(db, annotation)) and event.project not in {row.project for row in recorded}:
            refused.append(_contradiction(annotation, f"project {event.project}", recorded))
        elif recorded and event.tasks and event.tasks.isdisjoint(row.task for row in recorded):
            refused.append(_contradiction(annotation, f"task {', '.join(sorted(event.tasks))}", recorded))
        else:
            facts += _mark_deleted(db, annotation, event.project, source, seen_at)
            note_tasks(db, [(row.project, row.task) for row in recorded])
    return AddedFacts(facts, frozenset(tasks), tuple(refused))


def insert_new(db: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert a row, unless the same fact is recorded; returns whether it is new."""
    return db.execute(insert_if_absent(db.dialect.name, table), dict(row)).first() is not None


_RECORDED_TASKS = sa.select(
    annotation_version.c.project,
    annotation_version.c.task,
    sa.func.max(sa.case((annotation_version.c.source == "api", annotation_version.c.created_at))).label("confirmed_at"),
)
_RECORDED_TASKS = _RECORDED_TASKS.where(annotation_version.c.annotation == sa.bindparam("annotation"))
_RECORDED_TASKS = _RECORDED_TASKS.group_by(annotation_version.c.project, annotation_version.c.task)


def _recorded_tasks(db: sa.Connection, annotation: int) -> list[sa.Row[Any]]:
    """Project and task of an annotation as recorded; with the time of its creation, if the API confirmed them."""
    return list(db.execute(_RECORDED_TASKS, {"annotation": annotation}))


def _reconcile_task(
    db: sa.Connection, version: AnnotationVersion, recorded: list[sa.Row[Any]]
) -> tuple[AnnotationVersion, set[Task]]:
    """Make a version of the API and the recorded task agree.

    Returns the version with the task under which it is recorded, and the tasks from which false events were removed.
    """
    confirmed = next((row for row in recorded if row.confirmed_at is not None), None)
    if confirmed and (confirmed.project, confirmed.confirmed_at) != (version.project, version.created_at):
        raise Unreachable(
            f"Label Studio says that annotation {version.annotation} belongs to task {version.task} of project "
            f"{version.project}. Before, it was another annotation, of task {confirmed.task} of project {confirmed.project}.",
            "Is this the same Label Studio? Give each its own state folder (RIS_STATE_DIR). Nothing was changed.",
        )
    elsewhere = [row for row in recorded if (row.project, row.task) != (version.project, version.task)]
    if not elsewhere:
        return version, set()
    if confirmed is None:  # only events said so: they were wrong
        false_versions = sa.select(annotation_version.c.id).where(annotation_version.c.annotation == version.annotation)
        false_versions = false_versions.where(
            (annotation_version.c.project != version.project) | (annotation_version.c.task != version.task)
        )
        ids = list(db.scalars(false_versions))
        db.execute(sa.delete(outcome).where(outcome.c.version_id.in_(ids)))
        db.execute(sa.delete(annotation_version).where(annotation_version.c.id.in_(ids)))
        return version, {(row.project, row.task) for row in elsewhere}
    # Label Studio's action "Remove Duplicated Tasks" moves annotations; its regions were offered under the task before that
    return AnnotationVersion(**{**vars(version), "task": confirmed.task}), set()


def _confirm(db: sa.Connection, version: AnnotationVersion) -> bool:
    """Note that the API has a version that was known from an event; whether it is read anew.

    A reading by a program that did not note its problems is replaced by one with at least the same regions.
    """
    same = (annotation_version.c.annotation == version.annotation) & (
        annotation_version.c.updated_at == version.updated_at
    )
    db.execute(
        sa.update(annotation_version).where(same & (annotation_version.c.source == "webhook")).values(source="api")
    )
    earlier = db.scalar(sa.select(annotation_version.c.regions).where(same & annotation_version.c.problems.is_(None)))
    if earlier is None or not {each["id"] for each in earlier} <= {region.id for region in version.regions}:
        return False
    db.execute(sa.update(annotation_version).where(same).values(**_reading(version)))
    return True


def _undo_deletion(db: sa.Connection, version: AnnotationVersion, source: Source, seen_at: float) -> bool:
    """Undo the recorded deletion of an annotation that was seen after it; returns whether there was one.

    An event of a deletion is not undone by other events: these may be late.
    """
    deleted = annotation_deleted.c
    is_older = (deleted.source == "absence") & (deleted.seen_at < seen_at)
    if source == "api":
        is_older |= (deleted.source == "webhook") & (deleted.seen_at < seen_at - SETTLE_S)
    same = (deleted.annotation == version.annotation) & (deleted.project == version.project)
    return db.execute(sa.delete(annotation_deleted).where(same & is_older)).rowcount > 0


def _mark_deleted(db: sa.Connection, annotation: int, project: int, source: Source, seen_at: float) -> bool:
    """Record a deletion; returns whether it is new."""
    deleted = annotation_deleted.c
    same = (deleted.annotation == annotation) & (deleted.project == project)
    if source == "webhook":  # an event is stronger than an absence, which an annotation that is seen later undoes
        by_absence = sa.update(annotation_deleted).where(same & (deleted.source == "absence"))
        db.execute(by_absence.values(source="webhook"))
    row = {"annotation": annotation, "project": project, "source": source, "seen_at": seen_at}
    return insert_new(db, annotation_deleted, row)


def _version_row(version: AnnotationVersion, source: Source) -> dict[str, Any]:
    row = {name: value for name, value in vars(version).items() if name not in ("regions", "texts", "problems")}
    return {
        **row,
        "task_data": dict(version.task_data),
        **_reading(version),
        "source": source,
        "seen_at": time.time(),
    }


def _reading(version: AnnotationVersion) -> dict[str, Any]:
    """What is drawn and written in a version, as far as this program can read it."""
    return {
        "regions": [region.to_json() for region in version.regions],
        "texts": [[id, list(entries)] for id, entries in version.texts],
        "problems": list(version.problems),
    }


def _contradiction(annotation: int, claim: str, recorded: list[sa.Row[Any]]) -> str:
    place = f"task {recorded[0].task} of project {recorded[0].project}"
    return f"annotation {annotation} is recorded for {place}, not for {claim}; the event was refused"
