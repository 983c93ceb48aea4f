"""What is true about requests and answers, in SQL: SQLite, or PostgreSQL by URL. Redis may be lost, this may not.

Times are seconds since 1970, UTC. Every method is one transaction; any number of processes may use the same database.
"""

import contextlib
import fcntl
import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects import postgresql, sqlite

from backend.errors import BadSettings, Unreachable

Kind = Literal["interactive", "open", "encode"]
State = Literal["queued", "running", "done", "failed", "superseded", "expired"]

BUSY_TIMEOUT_S = 30
"""How long a writer waits for another process's transaction."""
MAX_ATTEMPTS = 3
"""A request that is started more often than this killed its workers and is given up."""
SOURCE_LIFETIME_S = 3600.0
"""How long the picture behind a URL is taken to stay the same."""
MIGRATIONS = Path(__file__).parent / "migrations"

metadata = sa.MetaData()
_id = sa.Integer().with_variant(sa.BigInteger, "postgresql")

request = sa.Table(
    "request",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("project", sa.Integer),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("prompt_id", sa.Text),
    sa.Column("user", sa.Integer),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("answer", sa.JSON(none_as_null=True)),
    sa.Column("finished_at", sa.Double),
    sa.Index("request_by_task", "project", "task", "state"),
    sa.Index("request_by_state", "state", "expires_at"),
)
prompt = sa.Table(
    "prompt",
    metadata,
    sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("prompt_id", sa.Text, primary_key=True),
    sa.Column("texts", sa.JSON, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
)
answer = sa.Table(
    "answer",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("request_id", sa.Text, sa.ForeignKey("request.id"), nullable=False, index=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("project", sa.Integer),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("expression", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("encode_fp", sa.Text, nullable=False),
    sa.Column("image_sha256", sa.Text, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("candidates", sa.JSON, nullable=False),
    sa.Column("selected", sa.JSON, nullable=False),
    sa.Index("answer_by_task", "project", "task"),
)
region = sa.Table(
    "region",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("answer_id", _id, sa.ForeignKey("answer.id"), nullable=False, index=True),
    sa.Column("candidate_rank", sa.Integer, nullable=False),
    sa.Column("from_name", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
)
webhook = sa.Table(
    "webhook",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("received_at", sa.Double, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("project", sa.Integer),
    sa.Column("body", sa.Text, nullable=False),
)
connection = sa.Table(
    "connection",
    metadata,
    sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hostname", sa.Text),
    sa.Column("access_token", sa.Text),
    sa.Column("label_config", sa.Text, nullable=False),
    sa.Column("extra_params", sa.JSON, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
)
image_source = sa.Table(
    "image_source",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("image_sha256", sa.Text, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("fetched_at", sa.Double, nullable=False),
)


@dataclass(frozen=True)
class Request:
    """What Label Studio asked about one task, and what became of it.

    Attributes:
        id: uuid4, hex.
        kind: "interactive": somebody waits; "open": a task was opened, the cache may answer; "encode": fill the cache.
        project: Label Studio's project, if it is known.
        task: Label Studio's task id, as text.
        prompt_id: Id of the TextArea result that was typed into.
        user: Label Studio's user id, if it is known.
        body: {"data", "label_config", "hostname", "expressions", "extra_params"}; never a token.
        expires_at: When nobody waits for the answer any more.
        attempts: How many times it was started.
        error: Why it failed, or which part of it did.
        answer: What was handed out: a Label Studio prediction.
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


@dataclass(frozen=True)
class Region:
    """A region handed out: the id that Label Studio knows it by, and the candidate that it shows."""

    id: str
    candidate_rank: int
    from_name: str
    label: str


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
class Connection:
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


def open_store(database_url: str) -> "Store":
    """Open a database and bring its tables up to date; a fresh file works, and so do several processes at once.

    Raises:
        BadSettings: If the URL is not one, or its driver is not installed.
        Unreachable: If the database cannot be opened.
    """
    try:
        engine = _make_engine(sa.make_url(database_url))
    except (sa.exc.ArgumentError, ImportError) as error:
        raise BadSettings(
            f"DATABASE_URL cannot be used ({error}). Give sqlite:////folder/file.sqlite3 or postgresql+psycopg://…."
        ) from error
    except OSError as error:
        raise Unreachable(
            f"The database file cannot be made ({error}). Set RIS_STATE_DIR or DATABASE_URL to a writable place."
        ) from error
    try:
        _migrate(engine)
    except (sa.exc.DatabaseError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        where = engine.url.render_as_string(hide_password=True)
        raise Unreachable(
            f"The database {where} cannot be opened ({reason}). Check DATABASE_URL and that it runs."
        ) from error
    return Store(engine)


class Store:
    """Requests, answers, webhooks and what was learnt about images. Made by `open_store`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(is_read_only=True)

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
        with self._engine.begin() as db:
            db.execute(sa.insert(request).values(row))
        return str(row["id"])

    def get_request(self, request_id: str) -> Request | None:
        """A request as it stands, or None if there is none of that id."""
        with self._reader.connect() as db:
            row = db.execute(sa.select(request).where(request.c.id == request_id)).mappings().first()
        return Request(**row) if row else None

    def supersede(self, project: int | None, task: str, user: int | None, newer_id: str) -> list[str]:
        """Give up the interactive requests of the same task and user that came earlier and still wait; their ids."""
        newer_at = sa.select(request.c.created_at).where(request.c.id == newer_id).scalar_subquery()
        older = (
            (request.c.kind == "interactive")
            & (request.c.state == "queued")
            & (request.c.created_at < newer_at)
            & (request.c.task == str(task))
            & request.c.project.is_not_distinct_from(project)
            & request.c.user.is_not_distinct_from(user)
        )
        change = {"state": "superseded", "error": f"superseded by {newer_id}", "finished_at": time.time()}
        with self._engine.begin() as db:
            return list(db.scalars(sa.update(request).where(older).values(change).returning(request.c.id)))

    def start_request(self, request_id: str) -> bool:
        """Take a request into work; False if it is no longer wanted.

        A request that a worker died over is "running" still and may be taken again, `MAX_ATTEMPTS` times.
        """
        now = time.time()
        with self._engine.begin() as db:
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
        self, request_id: str, answer: Any, records: Sequence[Answer] = (), error: str | None = None
    ) -> bool:
        """Record the answer and everything handed out with it, all or nothing.

        Args:
            answer: The prediction for Label Studio.
            records: What it is made of, one for each expression that was answered.
            error: What went wrong with the others.

        Returns:
            False, and nothing is recorded, if the request is not running (another worker was first), or nobody waits for
            it any more: what is recorded is what was handed out.
        """
        change = {"state": "done", "answer": answer, "error": error, "finished_at": time.time()}
        with self._engine.begin() as db:
            if not _change_running(db, request_id, change, request.c.expires_at >= change["finished_at"]):
                return False
            for record in records:
                _insert_answer(db, request_id, record)
        return True

    def fail_request(self, request_id: str, error: str, answer: Any = None) -> bool:
        """Record that a running request failed; False if it is not running."""
        with self._engine.begin() as db:
            return _change_running(
                db, request_id, {"state": "failed", "error": error, "answer": answer, "finished_at": time.time()}
            )

    def expire_overdue(self) -> int:
        """Mark what nobody waits for any more, such as requests that were lost with Redis; how many."""
        overdue = request.c.state.in_(("queued", "running")) & (request.c.expires_at < time.time())
        change = {"state": "expired", "error": "no worker finished it in time", "finished_at": time.time()}
        with self._engine.begin() as db:
            return db.execute(sa.update(request).where(overdue).values(change)).rowcount

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
        with self._engine.begin() as db:
            _upsert(db, prompt, row)

    def last_prompt(self, project: int | None, task: str, prompt_id: str) -> tuple[str, ...]:
        """The texts seen last of one TextArea result; empty if it is new."""
        same = (prompt.c.project == (project or 0)) & (prompt.c.task == str(task)) & (prompt.c.prompt_id == prompt_id)
        with self._reader.connect() as db:
            return tuple(db.scalar(sa.select(prompt.c.texts).where(same)) or ())

    # Label Studio

    def add_webhook(self, action: str, project: int | None, body: str) -> int:
        """Keep an event as it came; its id."""
        row = {"received_at": time.time(), "action": action, "project": project, "body": body}
        with self._engine.begin() as db:
            return int(db.scalar(sa.insert(webhook).values(row).returning(webhook.c.id)))

    def save_connection(self, made: Connection) -> None:
        """Keep what a project's /setup said, in place of what it said before."""
        row = {
            "project": made.project,
            "hostname": made.hostname,
            "access_token": made.access_token,
            "label_config": made.label_config,
            "extra_params": dict(made.extra_params),
            "updated_at": time.time(),
        }
        with self._engine.begin() as db:
            _upsert(db, connection, row)

    def get_connection(self, project: int | None) -> Connection | None:
        """What a project's /setup said last."""
        with self._reader.connect() as db:
            row = db.execute(sa.select(connection).where(connection.c.project == project)).mappings().first()
        return Connection(**{name: value for name, value in row.items() if name != "updated_at"}) if row else None

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
        with self._engine.begin() as db:
            _upsert(db, image_source, row)

    def known_image(self, project: int | None, url: str) -> KnownImage | None:
        """Which image was behind a URL less than `SOURCE_LIFETIME_S` ago."""
        columns = (image_source.c.image_sha256, image_source.c.height, image_source.c.width)
        is_fresh = (image_source.c.key == _source_key(project, url)) & (
            image_source.c.fetched_at > time.time() - SOURCE_LIFETIME_S
        )
        with self._reader.connect() as db:
            row = db.execute(sa.select(*columns).where(is_fresh)).mappings().first()
        return KnownImage(**row) if row else None

    def counts(self) -> dict[str, dict[str, int]]:
        """Rows for /metrics: requests by "kind/state", answers by decision, webhooks by action, regions as "all"."""
        with self._reader.connect() as db:
            requests = db.execute(
                sa.select(request.c.kind, request.c.state, sa.func.count()).group_by(request.c.kind, request.c.state)
            )
            return {
                "request": {f"{kind}/{state}": n for kind, state, n in requests},
                "answer": _count_by(db, answer.c.decision),
                "webhook": _count_by(db, webhook.c.action),
                "region": {"all": int(db.scalar(sa.select(sa.func.count()).select_from(region)) or 0)},
            }


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
        }
        db.execute(sa.insert(region).values(answer_id=answer_id, **handed_out))


def _upsert(db: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    insert = (postgresql if db.dialect.name == "postgresql" else sqlite).insert
    keys = [column.name for column in table.primary_key]
    changed = {name: value for name, value in row.items() if name not in keys}
    db.execute(insert(table).values(row).on_conflict_do_update(index_elements=keys, set_=changed))


def _count_by(db: sa.Connection, column: sa.Column[str]) -> dict[str, int]:
    rows = db.execute(sa.select(column, sa.func.count()).group_by(column))
    return {row[0]: int(row[1]) for row in rows}


def _source_key(project: int | None, url: str) -> str:
    return hashlib.sha256(f"{project or 0}\n{url}".encode()).hexdigest()


def _make_engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    if url.database:
        _make_private_file(Path(url.database))
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private_file(file: Path) -> None:
    """An empty file that only its owner may read, in a folder that only its owner may enter if it is new."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(_open_private(file, os.O_CREAT | os.O_RDWR))
    if file.stat().st_uid == os.getuid():
        file.chmod(0o600)


def _open_private(file: str | Path, flags: int) -> int:
    return os.open(file, flags, 0o600)


def _set_up_sqlite(db: Any, _record: object) -> None:
    db.isolation_level = None  # transactions begin in _begin_sqlite, not where the driver thinks
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_S * 1000}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
    ):
        db.execute(f"PRAGMA {pragma}")


def _begin_sqlite(db: sa.Connection) -> None:
    """Take the write lock at once: a transaction that reads before it writes fails if another one wrote in between."""
    db.exec_driver_sql("BEGIN" if db.get_execution_options().get("is_read_only") else "BEGIN IMMEDIATE")


def _migrate(engine: sa.Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with _migration_lock(engine), engine.connect() as db:
        config.attributes["connection"] = db
        command.upgrade(config, "head")


@contextlib.contextmanager
def _migration_lock(engine: sa.Engine) -> Iterator[None]:
    """One process at a time migrates: a file lock beside a SQLite file, an advisory lock in PostgreSQL."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        with open(f"{engine.url.database}.lock", "a", opener=_open_private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    elif engine.dialect.name == "postgresql":
        with engine.begin() as db:
            db.execute(sa.text("SELECT pg_advisory_xact_lock(724620)"))  # any number, as long as it is always the same
            yield
    else:
        yield
