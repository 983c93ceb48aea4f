"""The correction store in SQL: facts are added and never changed; outcomes are computed from them.

A version of an annotation is a fact, and so are a deletion and a prediction. The outcomes of an annotation depend on the facts of
its task only, not on the order in which they arrive: whenever a fact arrives, all outcomes of its task are computed anew.
Methods raise `Unreachable` if the database does not answer.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from backend.base.redaction import reason_of
from backend.corrections.facts import Source, Task, add_event, insert_new
from backend.corrections.judging import judge_tasks
from backend.db.correction_tables import (
    annotation_deleted,
    annotation_version,
    offered_prediction,
    poll,
    to_judge,
)
from backend.db.database import open_database, translate_errors
from backend.db.tables import webhook
from backend.label_studio.annotations import (
    AnnotationEvent,
    StoredPrediction,
    list_problems,
    read_event,
)
from ris_core.errors import BadInput

_NOTE_READ = (
    sa.update(webhook)
    .where((webhook.c.id == sa.bindparam("row")) & webhook.c.read_at.is_(None))
    .values(read_at=sa.bindparam("time"), problem=sa.bindparam("note"))
)
READING = 1
"""Number of the way in which annotations are read. After a change each project is compared with Label Studio from its beginning once."""
BATCH = 20
"""Raw events of one transaction. No webhook can be stored during it, and Label Studio waits one second for that."""


def open_correction_store(database_url: str) -> "CorrectionStore":
    """Open a database and bring its tables up to date.

    Raises:
        BadSettings: If the URL is not one, or its driver is not installed.
        Unreachable: If the database cannot be opened.
    """
    return CorrectionStore(open_database(database_url))


class CorrectionStore:
    """Facts about annotations, and their outcomes. Any number of processes may use the same database.

    `open_correction_store` opens it.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # all queries of a connection see one state of the record, as they do in SQLite
        snapshot = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
        self._reader = engine.execution_options(is_read_only=True, **snapshot)

    def close(self) -> None:
        """Close the connections of this process."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for queries."""
        with translate_errors(), self._reader.connect() as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction, on disk when it ends: a raw event that is lost in a power failure is fetched again, a fact is not."""
        with translate_errors(), self._engine.connect() as db:
            is_sqlite = db.dialect.name == "sqlite"
            if is_sqlite:
                _set_synchronous(db, "FULL")
            try:
                with db.begin():
                    if db.dialect.name == "postgresql":  # one writer at a time, as SQLite has it
                        db.execute(sa.text("SELECT pg_advisory_xact_lock(724621)"))
                    yield db
            finally:
                if is_sqlite:
                    _set_synchronous(db, "NORMAL")

    def read_events(self, limit: int | None = None) -> int:
        """Read raw events that were not read yet, oldest first; returns their number. Problems are stored beside the event."""
        self._judge_after_upgrade()
        count = 0
        while limit is None or count < limit:
            with self.reading() as db:
                rows = db.execute(_unread(BATCH if limit is None else min(BATCH, limit - count))).all()
            if not rows:
                return count
            events = [_read_event(row.body) for row in rows]  # before the transaction, which blocks other writers
            with self.writing() as db:
                tasks, notes = set[Task](), []
                for row, (event, problem) in zip(rows, events, strict=True):
                    added = add_event(db, event, "webhook", row.received_at)
                    tasks |= added.tasks
                    problems = "; ".join([*([problem] if problem else []), *added.refused])
                    notes.append({"row": row.id, "time": time.time(), "note": problems or None})
                db.execute(_NOTE_READ, notes)
                judge_tasks(db, tasks)
            count += len(rows)
        return count

    def add(
        self,
        event: AnnotationEvent,
        source: Source,
        predictions: Sequence[StoredPrediction] = (),
        seen_at: float | None = None,
    ) -> int:
        """Add the new facts of an event, and predictions; returns the number of new facts.

        Args:
            seen_at: When they were seen, in seconds since 1970; now, if None.
        """
        with self.writing() as db:
            added, facts, tasks = add_event(db, event, source, seen_at or time.time()), 0, set[Task]()
            for prediction in predictions:
                row = {**asdict(prediction), "regions": [region.to_json() for region in prediction.regions]}
                if insert_new(db, offered_prediction, row):
                    tasks.add((prediction.project, prediction.task))
                    facts += 1
            judge_tasks(db, added.tasks | tasks)
        return added.facts + facts

    def judge_again(self, project: int, task: str) -> None:
        """Compute a task's outcomes anew, after a change of the offered regions that are on record."""
        with self.writing() as db:
            judge_tasks(db, {(project, task)})

    def _judge_after_upgrade(self) -> None:
        """Compute the outcomes of the tasks that a migration has marked for it."""
        while True:
            with self.reading() as db:
                rows = db.execute(sa.select(to_judge).limit(BATCH)).all()
            if not rows:
                return
            with self.writing() as db:
                tasks = {(row.project, row.task) for row in rows}
                for project, task in tasks:
                    db.execute(sa.delete(to_judge).where((to_judge.c.project == project) & (to_judge.c.task == task)))
                judge_tasks(db, tasks)

    def live_annotations(self, project: int) -> dict[int, str]:
        """Task by id of a project's annotations that are not deleted."""
        deleted = sa.select(annotation_deleted.c.annotation).where(annotation_deleted.c.project == project)
        annotations = sa.select(annotation_version.c.annotation, annotation_version.c.task).where(
            (annotation_version.c.project == project) & annotation_version.c.annotation.not_in(deleted)
        )
        with self.reading() as db:
            return {row.annotation: row.task for row in db.execute(annotations.distinct())}

    def unknown_predictions(self, project: int) -> set[int]:
        """Ids of predictions from which annotations began and whose regions are not stored."""
        stored = sa.select(offered_prediction.c.prediction)
        column = annotation_version.c.parent_prediction
        with self.reading() as db:
            ids = sa.select(column).where((annotation_version.c.project == project) & column.is_not(None))
            return set(db.scalars(ids.where(column.not_in(stored)).distinct()))

    def seen_until(self, project: int) -> str | None:
        """Label Studio's time up to which a project was reconciled; None if it never was by this way of reading."""
        with self.reading() as db:
            of_project = (poll.c.project == project) & (poll.c.reading == READING)
            return db.scalar(sa.select(poll.c.seen_until).where(of_project))

    def set_seen_until(self, project: int, until: str) -> None:
        """Store the time up to which a project was reconciled."""
        with self.writing() as db:
            db.execute(sa.delete(poll).where(poll.c.project == project))
            db.execute(sa.insert(poll).values(project=project, seen_until=until, reading=READING))


def _read_event(body: str) -> tuple[AnnotationEvent, str | None]:
    """An event, and the problems in it; an empty event if it cannot be read."""
    try:
        event = read_event(_parse(body))
    except BadInput as error:
        return AnnotationEvent(None), str(error)
    return event, "; ".join(list_problems(event.versions)) or None


def _unread(limit: int) -> sa.Select[Any]:
    return (
        sa.select(webhook.c.id, webhook.c.received_at, webhook.c.body)
        .where(webhook.c.read_at.is_(None))
        .order_by(webhook.c.id)
        .limit(limit)
    )


def _set_synchronous(db: sa.Connection, level: str) -> None:
    raw = db.connection.driver_connection
    assert raw is not None
    raw.execute(f"PRAGMA synchronous = {level}")


def _parse(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The event is not JSON ({reason_of(error)}).") from error
