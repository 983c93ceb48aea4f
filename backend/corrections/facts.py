"""Adding facts to the ledger: each once, and none that contradicts where an annotation is known to be.

An annotation belongs to one task of one project. An event that says otherwise is refused: it was forged, or came from another
Label Studio. What Label Studio's API says outweighs events, unless it contradicts what the API said before.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from backend.base.errors import Unreachable
from backend.db.correction_tables import annotation_deleted, annotation_version, outcome
from backend.db.upsert import insert_if_absent
from backend.label_studio.annotations import AnnotationEvent, AnnotationVersion

SETTLE_S = 60.0
"""So long after an event of a deletion the API may still list what it is about: the event can overtake the transaction."""

Source = Literal["webhook", "api", "absence"]
"""How a fact became known: an event, Label Studio's own answer, or of a deletion that it has the annotation no more."""

Task = tuple[int, str]


class AddedFacts(NamedTuple):
    """What came of an event: new facts, the tasks that they are about, and what was refused, in words."""

    facts: int
    tasks: frozenset[Task]
    refused: tuple[str, ...]


def add_event(db: sa.Connection, event: AnnotationEvent, source: Source, seen_at: float) -> AddedFacts:
    """Add what is new of an event and true of what is known.

    Args:
        source: How it became known. "absence": Label Studio itself has the deleted annotations no more.
        seen_at: When it was: of an answer the time of its question.

    Raises:
        Unreachable: If the API contradicts what it said before.
    """
    facts, tasks, refused = 0, set[Task](), list[str]()
    for version in event.versions:
        known = _places(db, version.annotation)
        if source == "api":
            version, moved = _settle(db, version, known)
            tasks |= moved
        elif known and (version.project, version.task) not in {(row.project, row.task) for row in known}:
            refused.append(_elsewhere(version.annotation, f"task {version.task} of project {version.project}", known))
            continue
        is_new = insert_new(db, annotation_version, _version_row(version, source))
        if not is_new and source == "api":
            _confirm(db, version)
        is_back = _take_back(db, version, source, seen_at)
        if is_new:
            tasks.add((version.project, version.task))
        facts += is_new or is_back
    for annotation in event.deleted:
        if event.project is None:
            refused.append(f"the deletion of annotation {annotation} names no project")
        elif (known := _places(db, annotation)) and event.project not in {row.project for row in known}:
            refused.append(_elsewhere(annotation, f"project {event.project}", known))
        elif known and event.tasks and event.tasks.isdisjoint(row.task for row in known):
            refused.append(_elsewhere(annotation, f"task {', '.join(sorted(event.tasks))}", known))
        else:
            facts += _mark_deleted(db, annotation, event.project, source, seen_at)
    return AddedFacts(facts, frozenset(tasks), tuple(refused))


def insert_new(db: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless the same fact is there; whether it was new."""
    return db.execute(insert_if_absent(db.dialect.name, table), dict(row)).first() is not None


_PLACES = sa.select(
    annotation_version.c.project,
    annotation_version.c.task,
    sa.func.max(sa.case((annotation_version.c.source == "api", annotation_version.c.created_at))).label("confirmed_at"),
)
_PLACES = _PLACES.where(annotation_version.c.annotation == sa.bindparam("annotation"))
_PLACES = _PLACES.group_by(annotation_version.c.project, annotation_version.c.task)


def _places(db: sa.Connection, annotation: int) -> list[sa.Row[Any]]:
    """Where an annotation is known; the time of its creation, if Label Studio itself said so."""
    return list(db.execute(_PLACES, {"annotation": annotation}))


def _settle(
    db: sa.Connection, version: AnnotationVersion, known: list[sa.Row[Any]]
) -> tuple[AnnotationVersion, set[Task]]:
    """A version of the API under the place that the record keeps it; tasks that lost what was falsely said of them."""
    confirmed = next((row for row in known if row.confirmed_at is not None), None)
    if confirmed and (confirmed.project, confirmed.confirmed_at) != (version.project, version.created_at):
        raise Unreachable(
            f"Label Studio says that annotation {version.annotation} is one of task {version.task} of project "
            f"{version.project}, and before, it was another one, of task {confirmed.task} of project {confirmed.project}.",
            "Is this the same Label Studio? Give each a state folder (RIS_STATE_DIR) of its own; nothing was changed.",
        )
    elsewhere = [row for row in known if (row.project, row.task) != (version.project, version.task)]
    if not elsewhere:
        return version, set()
    if confirmed is None:  # events alone said so, and Label Studio knows better
        wrong = sa.select(annotation_version.c.id).where(annotation_version.c.annotation == version.annotation)
        wrong = wrong.where(
            (annotation_version.c.project != version.project) | (annotation_version.c.task != version.task)
        )
        ids = list(db.scalars(wrong))
        db.execute(sa.delete(outcome).where(outcome.c.version_id.in_(ids)))
        db.execute(sa.delete(annotation_version).where(annotation_version.c.id.in_(ids)))
        return version, {(row.project, row.task) for row in elsewhere}
    # "Remove Duplicated Tasks" moves annotations: the record keeps one where its proposals were handed out
    return AnnotationVersion(**{**vars(version), "task": confirmed.task}), set()


def _confirm(db: sa.Connection, version: AnnotationVersion) -> None:
    same = (annotation_version.c.annotation == version.annotation) & (
        annotation_version.c.updated_at == version.updated_at
    )
    db.execute(
        sa.update(annotation_version).where(same & (annotation_version.c.source == "webhook")).values(source="api")
    )


def _take_back(db: sa.Connection, version: AnnotationVersion, source: Source, seen_at: float) -> bool:
    """Undo the deletion of what was seen after it; an event of a deletion stands against other events, which may be late."""
    deleted = annotation_deleted.c
    is_older = (deleted.source == "absence") & (deleted.seen_at < seen_at)
    if source == "api":
        is_older |= (deleted.source == "webhook") & (deleted.seen_at < seen_at - SETTLE_S)
    same = (deleted.annotation == version.annotation) & (deleted.project == version.project)
    return db.execute(sa.delete(annotation_deleted).where(same & is_older)).rowcount > 0


def _mark_deleted(db: sa.Connection, annotation: int, project: int, source: Source, seen_at: float) -> bool:
    deleted = annotation_deleted.c
    same = (deleted.annotation == annotation) & (deleted.project == project)
    if source == "webhook":  # an event outweighs what was only found missing
        said = sa.update(annotation_deleted).where(same & (deleted.source == "absence"))
        db.execute(said.values(source="webhook"))
    row = {"annotation": annotation, "project": project, "source": source, "seen_at": seen_at}
    return insert_new(db, annotation_deleted, row)


def _version_row(version: AnnotationVersion, source: Source) -> dict[str, Any]:
    row = {name: value for name, value in vars(version).items() if name not in ("regions", "problems")}
    return {
        **row,
        "task_data": dict(version.task_data),
        "regions": [drawn.to_json() for drawn in version.regions],
        "texts": [[id, list(entries)] for id, entries in version.texts],
        "source": source,
        "seen_at": time.time(),
    }


def _elsewhere(annotation: int, said: str, known: list[sa.Row[Any]]) -> str:
    place = f"task {known[0].task} of project {known[0].project}"
    return f"annotation {annotation} is known as one of {place}, not of {said}; this was not believed"
