"""The record of requests and answers, in SQL. Redis may be lost, this may not.

Times are seconds since 1970, UTC. Every method is one transaction; any number of processes may use the same database.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa

from backend.db.answer_rows import AnswerOrigin, insert_answers
from backend.db.counters import count_rows
from backend.db.database import Transactions, open_database
from backend.db.lesson_store import LessonStore
from backend.db.listing import note_tasks
from backend.db.project_store import ProjectStore
from backend.db.records import Answer, Json, Kind, Request, State
from backend.db.tables import answer, region, request, webhook

MAX_ATTEMPTS = 3
"""A request that was started so often killed its workers, and is given up."""

# Statements that every request runs are made once: making one takes longer than running it.
_HAS_ID = request.c.id == sa.bindparam("of")
_READ = sa.select(request).where(_HAS_ID)
_CHANGE = sa.update(request).where(_HAS_ID)
_CHANGE_RUNNING = _CHANGE.where(request.c.state == "running")
_FINISH = _CHANGE_RUNNING.where(request.c.expires_at >= sa.bindparam("now")).returning(
    request.c.project, request.c.task, request.c.kind
)
_SUPERSEDE = (
    sa.update(request)
    .where(
        request.c.kind == "interactive",
        request.c.state == "queued",
        request.c.created_at
        < sa.select(request.c.created_at).where(request.c.id == sa.bindparam("newer")).scalar_subquery(),
        request.c.task == sa.bindparam("of_task"),
        request.c.project.is_not_distinct_from(sa.bindparam("of_project")),
        request.c.prompt_id.is_not_distinct_from(sa.bindparam("of_prompt")),
    )
    .returning(request.c.id)
)


@dataclass(frozen=True)
class RequestCounts:
    """Numbers of rows, for /metrics.

    Attributes:
        requests: By kind and state.
        answers: By decision.
        webhooks: By action.
        regions: All.
    """

    requests: Mapping[tuple[Kind, State], int]
    answers: Mapping[str, int]
    webhooks: Mapping[str, int]
    regions: int


def open_request_store(database_url: str) -> "RequestStore":
    """Open a database and bring its tables up to date; a fresh file works, and so do several processes at once.

    Raises:
        BadSettings: If the URL is not one, or its driver is not installed.
        Unreachable: If the database cannot be opened.
    """
    return RequestStore(open_database(database_url))


class RequestStore:
    """Requests and their answers. Made by `open_request_store`.

    Every method raises `Unreachable` if the database cannot be used: it is locked, its disk is full, its server is gone.

    Attributes:
        projects: What is kept of each project.
        lessons: What was learnt for each project.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._transactions = Transactions(engine)
        self.projects = ProjectStore(self._transactions)
        self.lessons = LessonStore(self._transactions)

    @property
    def engine(self) -> sa.Engine:
        """The database, for the stores of other rooms that share it."""
        return self._engine

    def close(self) -> None:
        """Close the connections of this process."""
        self._engine.dispose()

    def add_request(
        self,
        kind: Kind,
        task: str,
        body: Mapping[str, Any],
        *,
        lifetime_s: float,
        project: int | None = None,
        prompt_id: str | None = None,
        user: int | None = None,
    ) -> str:
        """Record a request as queued; its id."""
        now = time.time()
        row = {
            "id": uuid.uuid4().hex,
            "created_at": now,
            "expires_at": now + lifetime_s,
            "kind": kind,
            "project": project,
            "task": str(task),
            "prompt_id": prompt_id,
            "user": user,
            "body": dict(body),
            "state": "queued",
            "attempts": 0,
        }
        with self._transactions.writing() as db:
            db.execute(sa.insert(request), row)
        return str(row["id"])

    def get_request(self, request_id: str) -> Request | None:
        """A request as it is now, or None if there is none of that id."""
        with self._transactions.reading() as db:
            row = db.execute(_READ, {"of": request_id}).mappings().first()
        return Request(**row) if row else None

    def supersede(self, project: int | None, task: str, prompt_id: str | None, newer_id: str) -> list[str]:
        """Give up the interactive requests of the same task and prompt that came earlier and still wait; their ids.

        A prompt's id is made by the page: another annotator, or another tab, on the same task has another one.
        """
        of = {"newer": newer_id, "of_task": str(task), "of_project": project, "of_prompt": prompt_id}
        change = {"state": "superseded", "error": f"superseded by {newer_id}", "finished_at": time.time()}
        with self._transactions.writing() as db:
            return list(db.scalars(_SUPERSEDE, {**of, **change}))

    def start_request(self, request_id: str) -> Request | None:
        """Begin work on a request; None if its answer is no longer wanted.

        A request whose worker died is still "running"; it may be started `MAX_ATTEMPTS` times.
        """
        now = time.time()
        with self._transactions.writing() as db:
            row = db.execute(_READ, {"of": request_id}).mappings().first()
            if row is None or row["state"] not in ("queued", "running"):
                return None
            change: dict[str, Any] = {"state": "running", "attempts": row["attempts"] + 1}
            if row["expires_at"] < now:
                change = {"state": "expired", "error": "expired before it was started", "finished_at": now}
            elif row["attempts"] >= MAX_ATTEMPTS:
                error = f"given up: {row['attempts']} workers died over it"
                change = {"state": "failed", "error": error, "finished_at": now}
            db.execute(_CHANGE, {"of": request_id, **change})
        return Request(**{**row, **change}) if change["state"] == "running" else None

    def finish_request(
        self,
        request_id: str,
        answer: Any,
        records: Sequence[Answer] = (),
        error: str | None = None,
        message: Json | None = None,
    ) -> bool:
        """Record the answer and everything handed out with it, all or nothing.

        Args:
            answer: The prediction for Label Studio.
            records: What it is made of, one for each expression that was answered.
            error: What went wrong with the others.
            message: What the annotator is told, as `Message.to_json` returns it.

        Returns:
            False, and nothing is recorded, if the request is not running (another worker was first), or nobody waits for
            it any more: the record holds only what was handed out.
        """
        now = time.time()
        change = {"state": "done", "answer": answer, "finished_at": now, "error": error, "message": message}
        with self._transactions.writing() as db:
            about = db.execute(_FINISH, {"of": request_id, "now": now, **change}).first()
            if about is None:
                return False
            insert_answers(db, AnswerOrigin(about.project, about.task, request_id=request_id), records)
            if about.kind == "open":
                note_tasks(db, [(about.project, about.task)])
        return True

    def fail_request(self, request_id: str, error: str, answer: Any = None, message: Json | None = None) -> bool:
        """Record that a running request failed; False if it is not running."""
        change = {"state": "failed", "answer": answer, "finished_at": time.time(), "error": error, "message": message}
        with self._transactions.writing() as db:
            return db.execute(_CHANGE_RUNNING, {"of": request_id, **change}).rowcount == 1

    def give_up(self, request_id: str, error: str, message: Json | None = None) -> bool:
        """Record that nobody waits for a request any more; False, and nothing changes, if it is over already."""
        is_open = (request.c.id == request_id) & request.c.state.in_(("queued", "running"))
        change = {"state": "expired", "finished_at": time.time(), "error": error, "message": message}
        with self._transactions.writing() as db:
            return db.execute(sa.update(request).where(is_open).values(change)).rowcount == 1

    def expire_overdue(self) -> int:
        """Mark the requests that nobody waits for any more, such as those lost with Redis; how many."""
        overdue = request.c.state.in_(("queued", "running")) & (request.c.expires_at < time.time())
        change = {"state": "expired", "error": "no worker finished it in time", "finished_at": time.time()}
        with self._transactions.writing() as db:
            return db.execute(sa.update(request).where(overdue).values(change)).rowcount

    def was_encoded_lately(self, project: int | None, task: str, within_s: float) -> bool:
        """Whether the encoding of a task waits, runs, or was tried within this time; one that expired was not tried."""
        same = (
            request.c.kind.in_(("encode", "ahead"))
            & (request.c.task == str(task))
            & request.c.project.is_not_distinct_from(project)
            & (request.c.state != "expired")
            & (request.c.created_at > time.time() - within_s)
        )
        with self._transactions.reading() as db:
            return db.execute(sa.select(request.c.id).where(same).limit(1)).first() is not None

    def was_answered(self, project: int | None, task: str) -> bool:
        """Whether an annotator was given a region in a task before."""
        same = answer.c.project.is_not_distinct_from(project) & (answer.c.task == task)
        asked = sa.select(answer.c.id).join(request, request.c.id == answer.c.request_id).join(region)
        with self._transactions.reading() as db:
            return db.scalar(asked.where(same & (request.c.kind == "interactive")).limit(1)) is not None

    def counts(self) -> RequestCounts:
        """How many rows there are."""
        with self._transactions.reading() as db:
            return RequestCounts(
                requests=cast(Mapping[tuple[Kind, State], int], count_rows(db, request)),
                answers={decision: number for (decision, _), number in count_rows(db, answer).items()},
                webhooks={action: number for (action, _), number in count_rows(db, webhook).items()},
                regions=sum(count_rows(db, region).values()),
            )
