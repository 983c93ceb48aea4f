"""Copies of a whole database, always as a SQLite file: of SQLite by its own online backup, of PostgreSQL row by row in one transaction.

Both see one state of the database, whatever else reads and writes meanwhile. A copy can be put into either kind of database.
"""

import contextlib
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext

from backend.base.errors import Unreachable
from ris_core.errors import BadInput

log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
KEPT = 3
"""Copies that are kept of those that were made before migrations."""
BATCH = 1000
"""Rows that are copied at once."""
COUNTERS = ("item_count", "row_count")
"""Tables that triggers fill while the others are copied."""
_FOLDER = "backups"
_NAME = re.compile(r"before-\d{4}-from-\d{4}-\d{8}T\d{6}\.sqlite3")
_server_folder: Path | None = None

Report = Callable[[int, int], None]


def keep_copies_in(state_dir: Path) -> None:
    """Say where copies go that are made before a migration of a database that is no file. Each program says it once, when it starts."""
    global _server_folder
    _server_folder = state_dir / _FOLDER


def copy_before_migration(engine: sa.Engine, present: str, newest: str) -> Path | None:
    """Keep a copy of a database that is about to be migrated; of earlier copies the last few stay.

    Args:
        present, newest: The versions of its tables, before and after.

    Returns:
        The copy; None of a server's database if nobody said where copies go.

    Raises:
        Unreachable: If the disk has no room for it.
    """
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    folder = Path(file).parent / _FOLDER if file else _server_folder
    if folder is None or file == ":memory:":
        log.warning("the database is migrated without a copy: no state folder is known")
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy = folder / f"before-{newest}-from-{present}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.sqlite3"
    write_snapshot(engine, copy)
    log.info("the database was copied before it is migrated", copy=str(copy))
    ours = sorted((one for one in folder.iterdir() if _is_ours(one)), key=lambda one: one.name.rsplit("-", 1)[1])
    for old in ours[:-KEPT]:
        old.unlink(missing_ok=True)
    return copy


def write_snapshot(engine: sa.Engine, file: Path, report: Report = lambda done, total: None) -> None:
    """Copy a database into a new SQLite file, which appears whole or not at all.

    Args:
        report: Is told how much is copied, and of how much: pages of SQLite, rows of PostgreSQL.

    Raises:
        Unreachable: If the disk has no room for it.
    """
    _check_room(engine, file)
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_WRONLY, 0o600))
    try:
        if engine.dialect.name == "sqlite":
            _copy_file(Path(str(engine.url.database)), unfinished, report)
        else:
            _copy_server(engine, unfinished, report)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def read_revision(file: Path) -> str | None:
    """The version of the tables in a copy; None if it has none of ours.

    Raises:
        BadInput: If it is no SQLite file.
    """
    with _open_copy(file) as engine, engine.connect() as db:
        try:
            return MigrationContext.configure(db).get_current_revision()
        except sa.exc.DatabaseError as error:
            raise BadInput(f"{file.name} is no database that can be read. Use another backup.") from error


def count_rows(file: Path) -> dict[str, int]:
    """Rows of each table in a copy."""
    with _open_copy(file) as engine, engine.connect() as db:
        tables = _reflect(db).sorted_tables
        return {table.name: int(db.scalar(sa.select(sa.func.count()).select_from(table)) or 0) for table in tables}


def is_empty(engine: sa.Engine) -> bool:
    """Whether a database has no tables, or only empty ones of ours, as a restore that was cut short leaves them."""
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
        return True
    with engine.connect() as db:
        names = set(sa.inspect(db).get_table_names()) - {"alembic_version"}
        if names and MigrationContext.configure(db).get_current_revision() is None:
            return False  # of another program
        return not any(db.execute(sa.text(f'SELECT 1 FROM "{name}" LIMIT 1')).first() for name in names)


def restore_snapshot(file: Path, engine: sa.Engine, report: Report = lambda done, total: None) -> None:
    """Put a copy into an empty database, at the version of the copy: whole, or not at all."""
    if engine.dialect.name == "sqlite":
        target = Path(str(engine.url.database))
        engine.dispose()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.part")
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_CREAT | os.O_WRONLY, 0o600))
        _copy_file(file, unfinished, report)
        for left_over in (f"{target}-wal", f"{target}-shm"):  # of the empty database that it takes the place of
            Path(left_over).unlink(missing_ok=True)
        os.replace(unfinished, target)
        return
    _make_tables(engine, str(read_revision(file)))
    with _open_copy(file) as copy, copy.connect() as source, engine.begin() as target_db:
        _copy_rows(source, target_db, report)
        _continue_sequences(target_db)


def _is_ours(file: Path) -> bool:
    """Whether `copy_before_migration` made a file: by its name, and because it holds our tables."""
    if not _NAME.fullmatch(file.name) or not file.is_file() or file.is_symlink():
        return False
    try:
        return read_revision(file) is not None
    except BadInput:
        return False


def _check_room(engine: sa.Engine, file: Path) -> None:
    if engine.dialect.name == "sqlite":
        needed = Path(str(engine.url.database)).stat().st_size
    else:
        with engine.connect() as db:
            needed = int(db.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0)
    free = shutil.disk_usage(file.parent).free
    if free < needed:
        raise Unreachable(
            f"A copy of the database needs {needed >> 20} MiB in {file.parent}, but only {free >> 20} MiB are free.",
            "Free some space. Nothing was changed.",
        )


def _copy_file(source: Path, target: Path, report: Report) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as one,
        contextlib.closing(sqlite3.connect(target)) as other,
    ):
        one.backup(other, pages=4096, progress=lambda _, left, total: report(total - left, total))
        other.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it


def _copy_server(engine: sa.Engine, target: Path, report: Report) -> None:
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as source, source.begin():
        revision = MigrationContext.configure(source).get_current_revision()
        with _opened(f"sqlite:///{target}") as copy:
            _make_tables(copy, str(revision))
            with copy.begin() as target_db:
                _copy_rows(source, target_db, report)


def _copy_rows(source: sa.Connection, target: sa.Connection, report: Report) -> None:
    """Copy all tables, those that others refer to first; the counters follow from the rest."""
    from_tables, to_tables = _reflect(source), _reflect(target)
    names = [table.name for table in to_tables.sorted_tables if table.name not in (*COUNTERS, "alembic_version")]
    total = sum(
        int(source.scalar(sa.select(sa.func.count()).select_from(from_tables.tables[name])) or 0) for name in names
    )
    done = 0
    for name in names:
        rows = source.execution_options(yield_per=BATCH).execute(sa.select(from_tables.tables[name])).mappings()
        for batch in rows.partitions(BATCH):
            target.execute(sa.insert(to_tables.tables[name]), [dict(row) for row in batch])
            done += len(batch)
            report(done, total)


def _reflect(db: sa.Connection) -> sa.MetaData:
    """The tables as they are, at whatever version."""
    tables = sa.MetaData()
    tables.reflect(db)
    for table in tables.tables.values():
        for column in table.columns:
            if isinstance(column.type, sa.JSON):
                column.type = sa.JSON(none_as_null=True)
    return tables


def _make_tables(engine: sa.Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as db:
        config.attributes["connection"] = db
        command.upgrade(config, revision)


def _continue_sequences(db: sa.Connection) -> None:
    """Let new rows begin after those that were copied."""
    for table in _reflect(db).sorted_tables:
        for column in table.primary_key:
            sequence = db.scalar(
                sa.text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
            )
            if sequence:
                next_id = (db.scalar(sa.select(sa.func.max(column))) or 0) + 1
                db.execute(sa.text("SELECT setval(:sequence, :next, false)"), {"sequence": sequence, "next": next_id})


@contextlib.contextmanager
def _opened(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        yield engine
    finally:
        engine.dispose()


def _open_copy(file: Path) -> contextlib.AbstractContextManager[sa.Engine]:
    if not file.is_file():
        raise BadInput(f"There is no file {file}.")
    return _opened(f"sqlite:///file:{quote(str(file.absolute()))}?immutable=1&uri=true")
