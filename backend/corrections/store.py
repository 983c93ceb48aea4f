"""The ledger of corrections in SQL: facts are added, never changed; outcomes follow from them.

An annotation as it was saved once is a fact, and so are a deletion and a prediction. What an annotation's outcomes are
depends on the facts of its task alone, never on the order in which they came: they are computed anew for a task whenever a
fact of it arrives. Methods raise `Unreachable` as those of `Store` do.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from backend.base.redaction import reason_of
from backend.corrections.facts import Source, Task, add_event, insert_new
from backend.corrections.offered_regions import OfferedRegionsOfTask
from backend.corrections.outcomes import judge
from backend.db.correction_tables import (
    annotation_deleted,
    annotation_version,
    offered_prediction,
    outcome,
    poll,
    to_judge,
    webhook_read,
)
from backend.db.database import open_database, translate_errors
from backend.db.tables import webhook
from backend.db.upsert import insert_if_absent
from backend.label_studio.annotations import (
    AnnotationEvent,
    AnnotationVersion,
    StoredPrediction,
    list_problems,
    read_event,
)
from backend.label_studio.drawn_regions import DrawnRegion
from ris_core.errors import BadInput

BATCH = 20
"""Raw events of one transaction: while it lasts no webhook can be stored, and Label Studio waits one second for that."""

# Made once: each is asked for every event, and making a query takes longer than answering it.
_OF_TASK = (annotation_version.c.project == sa.bindparam("project")) & (
    annotation_version.c.task == sa.bindparam("task")
)
_VERSIONS = sa.select(annotation_version).where(_OF_TASK).order_by(annotation_version.c.updated_at)
_FORGET = sa.delete(outcome).where(outcome.c.version_id.in_(sa.select(annotation_version.c.id).where(_OF_TASK)))


def open_correction_store(database_url: str) -> "CorrectionStore":
    """Open a database and bring its tables up to date.

    Raises:
        BadSettings: If the URL is not one, or its driver is not installed.
        Unreachable: If the database cannot be opened.
    """
    return CorrectionStore(open_database(database_url))


class CorrectionStore:
    """What annotators did. Made by `open_correction_store`; any number of processes may use the same database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(is_read_only=True)

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
        """One transaction, on disk when it returns: raw events that a power loss takes are asked for again, this is not."""
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
        """Read raw events that nobody read yet, oldest first; how many. What is wrong with one is kept beside it."""
        self._judge_waiting()
        done = 0
        while limit is None or done < limit:
            with self.reading() as db:
                rows = db.execute(_unread(BATCH if limit is None else min(BATCH, limit - done))).all()
            if not rows:
                return done
            read = [_read_event(row.body) for row in rows]  # before the transaction: others want to write too
            with self.writing() as db:
                tasks, notes = set[Task](), []
                for row, (event, problem) in zip(rows, read, strict=True):
                    added = add_event(db, event, "webhook", row.received_at)
                    tasks |= added.tasks
                    problems = "; ".join([*([problem] if problem else []), *added.refused])
                    notes.append({"webhook_id": row.id, "read_at": time.time(), "problem": problems or None})
                db.execute(insert_if_absent(db.dialect.name, webhook_read), notes)
                _judge_all(db, tasks)
            done += len(rows)
        return done

    def add(
        self,
        event: AnnotationEvent,
        source: Source,
        predictions: Sequence[StoredPrediction] = (),
        seen_at: float | None = None,
    ) -> int:
        """Add what is new of it; how many facts were.

        Args:
            seen_at: When it was seen, if not now.
        """
        with self.writing() as db:
            added, facts, tasks = add_event(db, event, source, seen_at or time.time()), 0, set[Task]()
            for one in predictions:
                row = {**asdict(one), "regions": [drawn.to_json() for drawn in one.regions]}
                if insert_new(db, offered_prediction, row):
                    tasks.add((one.project, one.task))
                    facts += 1
            _judge_all(db, added.tasks | tasks)
        return added.facts + facts

    def judge_again(self, project: int, task: str) -> None:
        """Compute a task's outcomes anew, as after a change of what is known to have been handed out."""
        with self.writing() as db:
            _judge_all(db, {(project, task)})

    def _judge_waiting(self) -> None:
        """Compute anew what an upgrade left to be."""
        while True:
            with self.reading() as db:
                rows = db.execute(sa.select(to_judge).limit(BATCH)).all()
            if not rows:
                return
            with self.writing() as db:
                tasks = {(row.project, row.task) for row in rows}
                for project, task in tasks:
                    db.execute(sa.delete(to_judge).where((to_judge.c.project == project) & (to_judge.c.task == task)))
                _judge_all(db, tasks)

    def live_annotations(self, project: int) -> dict[int, str]:
        """Ids of a project's annotations that are not deleted, and their tasks."""
        dead = sa.select(annotation_deleted.c.annotation).where(annotation_deleted.c.project == project)
        found = sa.select(annotation_version.c.annotation, annotation_version.c.task).where(
            (annotation_version.c.project == project) & annotation_version.c.annotation.not_in(dead)
        )
        with self.reading() as db:
            return {row.annotation: row.task for row in db.execute(found.distinct())}

    def unknown_predictions(self, project: int) -> set[int]:
        """Ids of predictions that annotations began with and whose regions are not known."""
        known = sa.select(offered_prediction.c.prediction)
        column = annotation_version.c.parent_prediction
        with self.reading() as db:
            wanted = sa.select(column).where((annotation_version.c.project == project) & column.is_not(None))
            return set(db.scalars(wanted.where(column.not_in(known)).distinct()))

    def seen_until(self, project: int) -> str | None:
        """Label Studio's time up to which a project's tasks were polled."""
        with self.reading() as db:
            return db.scalar(sa.select(poll.c.seen_until).where(poll.c.project == project))

    def set_seen_until(self, project: int, until: str) -> None:
        """Remember it."""
        with self.writing() as db:
            db.execute(sa.delete(poll).where(poll.c.project == project))
            db.execute(sa.insert(poll).values(project=project, seen_until=until))


def read_versions(db: sa.Connection, project: int, task: str) -> dict[int, AnnotationVersion]:
    """Every version of every annotation of a task, by the number of its row."""
    rows = db.execute(_VERSIONS, {"project": project, "task": task}).mappings()
    return {row["id"]: _version(dict(row)) for row in rows}


def _read_event(body: str) -> tuple[AnnotationEvent, str | None]:
    """What a raw event says, and what is wrong with it."""
    try:
        event = read_event(_parse(body))
    except BadInput as error:
        return AnnotationEvent(None), str(error)
    return event, "; ".join(list_problems(event.versions)) or None


def _judge_all(db: sa.Connection, tasks: Set[Task]) -> None:
    for project, task in sorted(tasks):
        versions = read_versions(db, project, task)
        offers = OfferedRegionsOfTask(db, project, task)
        db.execute(_FORGET, {"project": project, "task": task})
        rows = []
        for version_id, version in versions.items():
            others = [other for other_id, other in versions.items() if other_id != version_id]
            judged = judge(version, offers.offered_for(version, others))
            rows += [{**vars(one), "version_id": version_id} for one in judged]
        if rows:
            db.execute(sa.insert(outcome), rows)


def _unread(limit: int) -> sa.Select[Any]:
    seen = sa.select(webhook_read.c.webhook_id).where(webhook_read.c.webhook_id == webhook.c.id)
    return (
        sa.select(webhook.c.id, webhook.c.received_at, webhook.c.body)
        .where(~seen.exists())
        .order_by(webhook.c.id)
        .limit(limit)
    )


def _version(row: Mapping[str, Any]) -> AnnotationVersion:
    own = {name: row[name] for name in AnnotationVersion.__dataclass_fields__ if name in row}
    regions = tuple(DrawnRegion(**drawn) for drawn in row["regions"])
    texts = tuple((id, tuple(entries)) for id, entries in row["texts"])
    return AnnotationVersion(**{**own, "regions": regions, "texts": texts})


def _set_synchronous(db: sa.Connection, level: str) -> None:
    raw = db.connection.driver_connection
    assert raw is not None
    raw.execute(f"PRAGMA synchronous = {level}")


def _parse(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The event is not JSON ({reason_of(error)}).") from error
