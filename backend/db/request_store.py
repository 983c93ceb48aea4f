"""What is true about requests and answers, in SQL. Redis may be lost, this may not.

Times are seconds since 1970, UTC. Every method is one transaction; any number of processes may use the same database.
"""

import hashlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa

from backend.db.database import open_database, translate_errors
from backend.db.tables import answer, connection, image_source, prompt, region, request, webhook
from backend.db.upsert import upsert

Json = Mapping[str, Any]
Kind = Literal["interactive", "open", "encode", "ahead"]
State = Literal["queued", "running", "done", "failed", "superseded", "expired"]

MAX_ATTEMPTS = 3
"""A request that is started more often than this killed its workers and is given up."""
SOURCE_LIFETIME_S = 3600.0
"""How long the picture behind a URL is taken to stay the same."""


@dataclass(frozen=True)
class Request:
    """What Label Studio asked about one task, and what became of it.

    Attributes:
        id: uuid4, hex.
        kind: "interactive": somebody waits; "open": a task was opened, the cache may answer; "encode": it was opened, fill the
            cache; "ahead": it will be opened soon, fill the cache.
        project: Label Studio's project, if it is known.
        task: Label Studio's task id, as text.
        prompt_id: Id of the TextArea result that was typed into.
        user: Label Studio's user id, if it is known.
        body: {"data", "label_config", "hostname", "expressions", "extra_params"}; never a token.
        expires_at: When nobody waits for the answer any more.
        attempts: How many times it was started.
        error: Why it failed, or which part of it did.
        answer: What was handed out: a Label Studio prediction.
        message: What is told with it, as `Message.to_json` has it.
    """

    id: str
    created_at: float
    expires_at: float
    kind: Kind
    project: int | None
    task: str
    prompt_id: str | None
    user: int | None
    body: dict[str, Any]
    state: State
    attempts: int
    error: str | None
    answer: Any
    finished_at: float | None
    message: Json | None = None


@dataclass(frozen=True)
class Region:
    """A region handed out: the id that Label Studio knows it by, and the candidate that it shows.

    Attributes:
        is_mended: Its id was handed out before: it takes the place of that region. Every other id is fresh.
    """

    id: str
    candidate_rank: int
    from_name: str
    label: str
    is_mended: bool = False


@dataclass(frozen=True)
class Answer:
    """The answer to one expression, as handed out.

    Attributes:
        image_sha256, height, width: The image, and its upright size in pixels.
        candidates: [{"rank", "score", "bbox_xywh", "mask": COCO RLE, "parts": {}}], best first.
        selected: Indices of the candidates that answer.
        regions: What Label Studio was given.
    """

    expression: str
    label: str
    decision: str
    model_version: str
    encode_fp: str
    image_sha256: str
    height: int
    width: int
    candidates: Sequence[Mapping[str, Any]]
    selected: Sequence[int]
    regions: Sequence[Region] = ()


@dataclass(frozen=True)
class ProjectConnection:
    """What a project's /setup said.

    Attributes:
        hostname: Label Studio's own address, None if it sent none.
        access_token: The legacy token of whoever connected the backend; None if none was sent.
    """

    project: int
    hostname: str | None
    access_token: str | None = field(repr=False)
    label_config: str = field(repr=False)
    extra_params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownImage:
    """An image that was fetched before: digest of its bytes, its upright size in pixels."""

    image_sha256: str
    height: int
    width: int


def open_request_store(database_url: str) -> "RequestStore":
    """Open a database and bring its tables up to date; a fresh file works, and so do several processes at once.

    Raises:
        BadSettings: If the URL is not one, or its driver is not installed.
        Unreachable: If the database cannot be opened.
    """
    return RequestStore(open_database(database_url))


class RequestStore:
    """Requests, answers, webhooks and what was learnt about images. Made by `open_request_store`.

    Every method raises `Unreachable` if the database does not take part: it is locked, its disk is full, its server is gone.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(is_read_only=True)

    @property
    def engine(self) -> sa.Engine:
        """The database, for what else is kept in it."""
        return self._engine

    def close(self) -> None:
        """Close the connections of this process."""
        self._engine.dispose()

    # Requests

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
        with self._writing() as db:
            db.execute(sa.insert(request).values(row))
        return str(row["id"])

    def get_request(self, request_id: str) -> Request | None:
        """A request as it stands, or None if there is none of that id."""
        with self._reading() as db:
            row = db.execute(sa.select(request).where(request.c.id == request_id)).mappings().first()
        return Request(**row) if row else None

    def supersede(self, project: int | None, task: str, prompt_id: str | None, newer_id: str) -> list[str]:
        """Give up the interactive requests of the same task and prompt that came earlier and still wait; their ids.

        A prompt's id is made by the page: another annotator, or another tab, on the same task has another one.
        """
        newer_at = sa.select(request.c.created_at).where(request.c.id == newer_id).scalar_subquery()
        older = (
            (request.c.kind == "interactive")
            & (request.c.state == "queued")
            & (request.c.created_at < newer_at)
            & (request.c.task == str(task))
            & request.c.project.is_not_distinct_from(project)
            & request.c.prompt_id.is_not_distinct_from(prompt_id)
        )
        change = {"state": "superseded", "error": f"superseded by {newer_id}", "finished_at": time.time()}
        with self._writing() as db:
            return list(db.scalars(sa.update(request).where(older).values(change).returning(request.c.id)))

    def start_request(self, request_id: str) -> bool:
        """Take a request into work; False if it is no longer wanted.

        A request that a worker died over is "running" still and may be taken again, `MAX_ATTEMPTS` times.
        """
        now = time.time()
        with self._writing() as db:
            row = db.execute(
                sa.select(request.c.state, request.c.expires_at, request.c.attempts).where(request.c.id == request_id)
            ).first()
            if row is None or row.state not in ("queued", "running"):
                return False
            if row.expires_at < now:
                change: dict[str, Any] = {
                    "state": "expired",
                    "error": "expired before it was started",
                    "finished_at": now,
                }
            elif row.attempts >= MAX_ATTEMPTS:
                change = {
                    "state": "failed",
                    "error": f"given up: {row.attempts} workers died over it",
                    "finished_at": now,
                }
            else:
                change = {"state": "running", "attempts": row.attempts + 1}
            db.execute(sa.update(request).where(request.c.id == request_id).values(change))
        return change["state"] == "running"

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
            message: What the annotator is told, as `Message.to_json` has it.

        Returns:
            False, and nothing is recorded, if the request is not running (another worker was first), or nobody waits for
            it any more: what is recorded is what was handed out.
        """
        told = {"error": error, "message": message}
        change = {"state": "done", "answer": answer, "finished_at": time.time(), **told}
        with self._writing() as db:
            if not _change_running(db, request_id, change, request.c.expires_at >= change["finished_at"]):
                return False
            for record in records:
                _insert_answer(db, request_id, record)
        return True

    def fail_request(self, request_id: str, error: str, answer: Any = None, message: Json | None = None) -> bool:
        """Record that a running request failed; False if it is not running."""
        told = {"error": error, "message": message}
        change = {"state": "failed", "answer": answer, "finished_at": time.time(), **told}
        with self._writing() as db:
            return _change_running(db, request_id, change)

    def give_up(self, request_id: str, error: str, message: Json | None = None) -> bool:
        """Record that nobody waits for a request any more; False, and nothing changes, if it is over already."""
        told = {"error": error, "message": message}
        is_open = (request.c.id == request_id) & request.c.state.in_(("queued", "running"))
        change = {"state": "expired", "finished_at": time.time(), **told}
        with self._writing() as db:
            return db.execute(sa.update(request).where(is_open).values(change)).rowcount == 1

    def expire_overdue(self) -> int:
        """Mark what nobody waits for any more, such as requests that were lost with Redis; how many."""
        overdue = request.c.state.in_(("queued", "running")) & (request.c.expires_at < time.time())
        change = {"state": "expired", "error": "no worker finished it in time", "finished_at": time.time()}
        with self._writing() as db:
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
        with self._reading() as db:
            return db.execute(sa.select(request.c.id).where(same).limit(1)).first() is not None

    # What was typed last

    def remember_prompt(self, project: int | None, task: str, prompt_id: str, texts: Sequence[str]) -> None:
        """Keep the texts of one TextArea result, to find the one that changes next."""
        row = {
            "project": project or 0,
            "task": str(task),
            "prompt_id": prompt_id,
            "texts": list(texts),
            "updated_at": time.time(),
        }
        with self._writing() as db:
            upsert(db, prompt, row)

    def last_prompt(self, project: int | None, task: str, prompt_id: str) -> tuple[str, ...]:
        """The texts seen last of one TextArea result; empty if it is new."""
        same = (prompt.c.project == (project or 0)) & (prompt.c.task == str(task)) & (prompt.c.prompt_id == prompt_id)
        with self._reading() as db:
            return tuple(db.scalar(sa.select(prompt.c.texts).where(same)) or ())

    # Label Studio

    def add_webhook(self, action: str, project: int | None, body: str) -> int:
        """Keep an event as it came; its id."""
        row = {"received_at": time.time(), "action": action, "project": project, "body": body}
        with self._writing() as db:
            return int(db.scalar(sa.insert(webhook).values(row).returning(webhook.c.id)))

    def save_connection(self, made: ProjectConnection) -> None:
        """Keep what a project's /setup said, in place of what it said before."""
        row = {
            "project": made.project,
            "hostname": made.hostname,
            "access_token": made.access_token,
            "label_config": made.label_config,
            "extra_params": dict(made.extra_params),
            "updated_at": time.time(),
        }
        with self._writing() as db:
            upsert(db, connection, row)

    def get_connection(self, project: int | None) -> ProjectConnection | None:
        """What a project's /setup said last."""
        with self._reading() as db:
            row = db.execute(sa.select(connection).where(connection.c.project == project)).mappings().first()
        return (
            ProjectConnection(**{name: value for name, value in row.items() if name != "updated_at"}) if row else None
        )

    # Images

    def remember_image(self, project: int | None, url: str, known: KnownImage) -> None:
        """Keep which image is behind a URL."""
        row = {
            "key": _source_key(project, url),
            "image_sha256": known.image_sha256,
            "height": known.height,
            "width": known.width,
            "fetched_at": time.time(),
        }
        with self._writing() as db:
            upsert(db, image_source, row)

    def known_image(self, project: int | None, url: str) -> KnownImage | None:
        """Which image was behind a URL less than `SOURCE_LIFETIME_S` ago."""
        columns = (image_source.c.image_sha256, image_source.c.height, image_source.c.width)
        is_fresh = (image_source.c.key == _source_key(project, url)) & (
            image_source.c.fetched_at > time.time() - SOURCE_LIFETIME_S
        )
        with self._reading() as db:
            row = db.execute(sa.select(*columns).where(is_fresh)).mappings().first()
        return KnownImage(**row) if row else None

    def counts(self) -> dict[str, dict[str, int]]:
        """Rows for /metrics: requests by "kind/state", answers by decision, webhooks by action, regions as "all"."""
        with self._reading() as db:
            requests = db.execute(
                sa.select(request.c.kind, request.c.state, sa.func.count()).group_by(request.c.kind, request.c.state)
            )
            return {
                "request": {f"{kind}/{state}": n for kind, state, n in requests},
                "answer": _count_by(db, answer.c.decision),
                "webhook": _count_by(db, webhook.c.action),
                "region": {"all": int(db.scalar(sa.select(sa.func.count()).select_from(region)) or 0)},
            }

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """One transaction."""
        with translate_errors(), self._engine.begin() as db:
            yield db

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with translate_errors(), self._reader.connect() as db:
            yield db


def _change_running(
    db: sa.Connection, request_id: str, change: Mapping[str, Any], *conditions: sa.ColumnElement[bool]
) -> bool:
    is_running = (request.c.id == request_id) & (request.c.state == "running")
    return db.execute(sa.update(request).where(is_running, *conditions).values(change)).rowcount == 1


def _insert_answer(db: sa.Connection, request_id: str, record: Answer) -> None:
    asked = db.execute(sa.select(request.c.project, request.c.task).where(request.c.id == request_id)).one()
    row = {
        "request_id": request_id,
        "created_at": time.time(),
        "project": asked.project,
        "task": asked.task,
        "expression": record.expression,
        "label": record.label,
        "decision": record.decision,
        "model_version": record.model_version,
        "encode_fp": record.encode_fp,
        "image_sha256": record.image_sha256,
        "height": record.height,
        "width": record.width,
        "candidates": list(record.candidates),
        "selected": list(record.selected),
    }
    answer_id = int(db.scalar(sa.insert(answer).values(row).returning(answer.c.id)))
    for made in record.regions:
        handed_out = {
            "id": made.id,
            "candidate_rank": made.candidate_rank,
            "from_name": made.from_name,
            "label": made.label,
            "task": asked.task,
        }
        row = {"answer_id": answer_id, **handed_out}
        if made.is_mended:
            upsert(db, region, row)
        else:
            db.execute(sa.insert(region).values(row))


def _count_by(db: sa.Connection, column: sa.Column[str]) -> dict[str, int]:
    rows = db.execute(sa.select(column, sa.func.count()).group_by(column))
    return {row[0]: int(row[1]) for row in rows}


def _source_key(project: int | None, url: str) -> str:
    return hashlib.sha256(f"{project or 0}\n{url}".encode()).hexdigest()
