"""The database, the state folder and the feature cache in it."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from backend.base.redaction import mask_url, reason_of
from backend.db.database import MIGRATIONS
from backend.db.tables import request
from backend.doctor.context import DoctorContext
from backend.doctor.finding import BAD, UNREACHABLE, Finding, fail, ok, warn
from backend.inference.feature_cache import FeatureCache

BUSY_TIMEOUT_S = 2
"""How long a writer is waited for; SQLite has one at a time."""
LITTLE_BYTES, TOO_LITTLE_BYTES = 1 << 30, 100 << 20
"""Free space below which the disk is nearly full, and full."""
GIB = 1 << 30


def check_database(case: DoctorContext) -> Iterator[Finding]:
    """Whether it can be reached and written, and has the tables of this version. Nothing is made or migrated."""
    where = mask_url(case.settings.sql_url)
    try:
        engine = open_existing(case.settings.sql_url)
    except (sa.exc.ArgumentError, ImportError) as error:
        remedy = "Give sqlite:////folder/file.sqlite3, or give postgresql+psycopg://… and run pip install 'label-studio-ris[postgres]'."
        yield fail("Server", f"DATABASE_URL {where} cannot be used ({reason_of(error)})", remedy, BAD)
        return
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
        yield warn("Server", f"{where} is not there yet", "Nothing has run with these settings; `ris up` makes it.")
        return
    try:
        with engine.connect() as db:
            version = ".".join(map(str, db.dialect.server_version_info or ()))
            yield ok("Server", f"{db.dialect.name} {version} at {where}")
            state = _judge_tables(MigrationContext.configure(db).get_current_revision())
            yield state
            if state.state != "fail":
                yield _try_writing(db)
    except sa.exc.DatabaseError as error:
        remedy = "Check DATABASE_URL, that the server runs, and that this user may read the file."
        yield fail("Server", f"{where} cannot be read ({reason_of(error.orig or error)})", remedy, UNREACHABLE)
    finally:
        engine.dispose()


def check_disk(case: DoctorContext) -> Iterator[Finding]:
    """Whether there is a place for the state, and room for the feature cache."""
    folder = case.settings.state_dir.resolve()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield fail("State folder", f"{there} cannot be written", "Set RIS_STATE_DIR to a folder of your own.", BAD)
    elif there != folder:
        yield warn(
            "State folder", f"{folder} is not there yet", "Nothing has run with these settings; `ris up` makes it."
        )
    else:
        yield ok("State folder", str(folder))
    used, limit = FeatureCache(folder / "features", case.settings.cache_bytes).size_bytes(), case.settings.cache_bytes
    yield judge_cache(used, limit)
    yield judge_space(shutil.disk_usage(there).free, max(0, limit - used))


def judge_cache(used_bytes: int, limit_bytes: int) -> Finding:
    """What the feature cache holds of what it may."""
    seen = f"{used_bytes >> 20} of {limit_bytes >> 20} MiB"
    if limit_bytes == 0:
        return warn("Feature cache", seen, "Set CACHE_BYTES: with 0 every expression encodes its image anew.")
    return ok("Feature cache", seen)


def judge_space(free_bytes: int, growth_bytes: int) -> Finding:
    """Whether the disk has room.

    Args:
        growth_bytes: How much the feature cache may still grow.
    """
    seen = f"{free_bytes / GIB:.1f} GiB free, the feature cache may grow by {growth_bytes / GIB:.1f} GiB"
    remedy = "Free some space, or lower CACHE_BYTES."
    if free_bytes < TOO_LITTLE_BYTES:
        return fail("Disk", seen, remedy, BAD)
    return warn("Disk", seen, remedy) if free_bytes < max(LITTLE_BYTES, growth_bytes) else ok("Disk", seen)


def open_existing(url: str) -> sa.Engine:
    """An engine for a database that is only looked at: makes no file and no tables.

    Raises:
        sa.exc.ArgumentError: If the URL is not one.
        ImportError: If its driver is not installed.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, poolclass=sa.NullPool)
    file = f"{Path(parsed.database or '').absolute().as_uri()}?mode=rw"  # without "c": does not create it
    return sa.create_engine(
        parsed, poolclass=sa.NullPool, creator=lambda: sqlite3.connect(file, uri=True, timeout=BUSY_TIMEOUT_S)
    )


def _judge_tables(current: str | None) -> Finding:
    scripts = ScriptDirectory(str(MIGRATIONS))
    newest = scripts.get_current_head()
    if current == newest:
        return ok("Tables", f"at version {current}, the newest")
    if current is None:
        return fail(
            "Tables", "there are none", "`ris up` makes them; if other tables are there, use another database.", BAD
        )
    if current not in {script.revision for script in scripts.walk_revisions()}:
        remedy = "A newer label-studio-ris has used this database. Update this one, or set another DATABASE_URL."
        return fail("Tables", f"at version {current}, which this program does not know", remedy, BAD)
    return warn(
        "Tables", f"at version {current}; the newest is {newest}", "`ris up` brings them up to date as it starts."
    )


def _try_writing(db: sa.Connection) -> Finding:
    """Whether rows can be changed; changes none."""
    try:
        db.execute(sa.update(request).where(sa.false()).values(state="queued"))
        db.rollback()
    except sa.exc.DatabaseError as error:
        db.rollback()
        code = getattr(error.orig, "sqlite_errorcode", 0)
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):  # the low byte: the rest says more
            return warn(
                "Writing", f"another program has written for {BUSY_TIMEOUT_S} s", "Look what it is, if this lasts."
            )
        return fail(
            "Writing",
            f"not possible ({reason_of(error.orig or error)})",
            "Give this user the right to write to it.",
            BAD,
        )
    return ok("Writing", "possible")
