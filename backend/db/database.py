"""Opening a database: SQLite with one writer at a time and a private file, or PostgreSQL; its tables brought up to date."""

import contextlib
import fcntl
import functools
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from backend.base.errors import BadSettings, Busy, Unreachable
from backend.base.redaction import reason_of
from backend.db import carry_over
from backend.db.snapshot import MIGRATIONS, copy_before_migration
from ris_core.errors import BadInput
from ris_core.output.plain_text import whole

PAGE_BYTES = 8192
"""Of SQLite's pages: rows of answers have a kilobyte, of which four do not fit well into the usual 4096."""
BUSY_TIMEOUT_S = 30
"""How long a writer waits for another process's transaction."""
LOOK_TIMEOUT_S = 2
"""How long one waits who only looks whether a database is there and can be used."""

_making = threading.Lock()
"""Held until a new file is closed: another thread would open it before, and lose its locks."""


def open_database(database_url: str) -> sa.Engine:
    """Open a database and bring its tables up to date; a fresh file works, and so do several processes at once.

    Raises:
        BadSettings: If the URL is not one, or its driver is not installed.
        Unreachable: If the database cannot be opened.
    """
    try:
        engine = _make_engine(sa.make_url(database_url))
    except (sa.exc.ArgumentError, ImportError) as error:
        raise BadSettings(
            f"DATABASE_URL cannot be used ({reason_of(error)}).",
            "Give sqlite:////folder/file.sqlite3, or give postgresql+psycopg://… and run pip install 'label-studio-ris[postgres]'.",
        ) from error
    except OSError as error:
        raise Unreachable(
            f"The database file cannot be made ({reason_of(error)}).",
            "Set RIS_STATE_DIR or DATABASE_URL to a writable place.",
        ) from error
    try:
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(engine.dispose)
            _migrate(engine)
            on_failure.pop_all()
    except (sa.exc.DatabaseError, OSError) as error:
        reason = reason_of(getattr(error, "orig", None) or error)
        where = engine.url.render_as_string(hide_password=True)
        raise Unreachable(
            f"The database {where} cannot be opened ({reason}).", "Check DATABASE_URL and that it runs."
        ) from error
    return engine


def open_existing(database_url: str) -> sa.Engine:
    """An engine for an existing database; it creates no file and no tables.

    Raises:
        sa.exc.ArgumentError: If the URL is not one.
        ImportError: If its driver is not installed.
    """
    url = sa.make_url(database_url)
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, poolclass=sa.NullPool)
    file = f"{Path(url.database or '').absolute().as_uri()}?mode=rw"  # without "c": does not create it
    return sa.create_engine(
        url, poolclass=sa.NullPool, creator=lambda: sqlite3.connect(file, uri=True, timeout=LOOK_TIMEOUT_S)
    )


@functools.cache
def newest_revision() -> str:
    """The version of the tables that this program works with."""
    return str(ScriptDirectory(str(MIGRATIONS)).get_current_head())


class Transactions:
    """Transactions of one database, with our errors in place of SQLAlchemy's. Threads may share it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # a transaction that only reads must not take SQLite's write lock
        self._reader = engine.execution_options(is_read_only=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, rolled back if an error leaves it."""
        with translate_errors(), self._engine.begin() as db:
            yield db

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for queries."""
        with translate_errors(), self._reader.connect() as db:
            yield db


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Raise our own errors where SQLAlchemy raises its own, without the statement: its values may be secrets.

    Raises:
        Busy: If all connections of this process are in use for too long.
        Unreachable: If the database is locked, its disk is full, or its server is gone.
        BadInput: If a value does not fit its column.
    """
    try:
        yield
    except sa.exc.TimeoutError as error:  # of this process's pool of connections
        raise Busy("Too many ask the database at once.", "Try again later.") from error
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        cause = getattr(error, "orig", None)  # without the statement and its values
        raise Unreachable(
            f"The database cannot be used ({reason_of(cause or error, lines=1)}).",
            "Check DATABASE_URL, that the database runs, and the free space on its disk.",
        ) from cause
    except sa.exc.DataError as error:  # PostgreSQL's columns are narrower than SQLite's
        raise BadInput(
            f"A value is out of range for the database ({reason_of(error.orig or error, lines=1)})."
        ) from error.orig


def _make_engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)
        sa.event.listen(engine, "before_cursor_execute", _make_storable, retval=True)
        return engine
    engine = sa.create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True
    )  # values may be secrets
    if url.database and url.database != ":memory:":
        file = Path(url.database)
        _make_private_file(file)
        _keep_to_file(engine, file)
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    sa.event.listen(engine, "before_cursor_execute", _make_storable, retval=True)
    return engine


def _make_storable(
    _db: sa.Connection, _cursor: object, statement: str, parameters: Any, _context: object, _is_many: bool
) -> tuple[str, Any]:
    """Put U+FFFD for what no database takes in a text: halves of surrogate pairs, and zero characters."""
    return statement, _storable(parameters)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value).replace("\0", "\ufffd") if not value.isascii() or "\0" in value else value
    if isinstance(value, dict):
        return {name: _storable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    return tuple(map(_storable, value)) if type(value) is tuple else value


def _make_private_file(file: Path) -> None:
    """An empty file that only its owner may read, in a folder that only its owner may enter if it is new."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Only one that is new: closing a file gives up all locks that this process has on it, those of open connections too. Whichever
    # other process closes the database then takes itself for the last one, and removes the log that is written here.
    with _making, contextlib.suppress(FileExistsError):
        # O_EXCL takes a link for a file, also one whose target is not there yet
        os.close(_open_private(os.path.realpath(file), os.O_CREAT | os.O_EXCL | os.O_RDWR))
    if file.stat().st_uid == os.getuid():
        file.chmod(0o600)


def _keep_to_file(engine: sa.Engine, file: Path) -> None:
    """Have every connection and transaction look first whether the file is still the one that was opened.

    SQLite itself would go on writing into one that was removed, which is lost, and make an empty one in its place.
    """
    opened = _identify(file)

    def check(*_: object) -> None:
        if _identify(file) != opened:
            raise Unreachable(
                f"The database file {file} was removed or replaced while it was used: nothing is written.",
                "Put it back, or start everything anew: `ris down`, then `ris up`.",
            )

    sa.event.listen(engine, "do_connect", check)
    sa.event.listen(engine, "begin", check)


def _identify(file: Path) -> tuple[int, int] | None:
    """What makes a file this one whatever its name is; None if there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open_private(file: str | Path, flags: int) -> int:
    return os.open(file, flags, 0o600)


def _set_up_sqlite(db: Any, _record: object) -> None:
    db.isolation_level = None  # transactions begin in _begin_sqlite, not where the driver thinks
    for pragma in (
        f"page_size = {PAGE_BYTES}",  # of a file that is made now; others keep theirs
        f"busy_timeout = {BUSY_TIMEOUT_S * 1000}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
    ):
        db.execute(f"PRAGMA {pragma}")


def _begin_sqlite(db: sa.Connection) -> None:
    """Take the write lock at once: a transaction that reads before it writes fails if another one wrote in between.

    By the driver itself: SQLAlchemy would take as long for this as for a query.
    """
    statement = "BEGIN" if db.get_execution_options().get("is_read_only") else "BEGIN IMMEDIATE"
    try:
        db.connection.driver_connection.execute(statement)  # type: ignore[union-attr]  # it is connected
    except sqlite3.OperationalError as error:
        raise sa.exc.OperationalError(statement, None, error) from error


def _migrate(engine: sa.Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with _migration_lock(engine):
        with engine.connect() as db:
            present = MigrationContext.configure(db).get_current_revision()
        if present == newest_revision():
            return
        if present is not None and present < newest_revision():
            copy_before_migration(engine, present, newest_revision())
        config.attributes["was_there"] = present is not None
        has_copied = False
        if present is not None and present <= carry_over.AFTER:
            _upgrade(engine, config, carry_over.AFTER)
            has_copied = carry_over.carry_over(engine) > 0
        _upgrade(engine, config, "head")
        if has_copied and engine.dialect.name == "sqlite":
            _vacuum(engine)


def _vacuum(engine: sa.Engine) -> None:
    """Write the file anew: items without their answers would each keep a page of their own."""
    connection = engine.raw_connection()
    try:
        assert connection.driver_connection is not None
        connection.driver_connection.execute("VACUUM")  # in no transaction
    finally:
        connection.close()


def _upgrade(engine: sa.Engine, config: Config, to: str) -> None:
    with engine.connect() as db:
        config.attributes["connection"] = db
        command.upgrade(config, to)


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
