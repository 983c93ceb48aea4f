"""The sections "Database" and "Disk"."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from backend.base.redaction import mask_url, reason_of
from backend.db import database
from backend.db.counters import find_drift
from backend.db.database import open_existing
from backend.db.snapshot import MIGRATIONS
from backend.db.tables import request
from backend.doctor.context import DoctorContext
from backend.doctor.finding import BAD, UNREACHABLE, Finding, fail, ok, warn
from backend.inference.feature_cache import FeatureCache

LITTLE_BYTES, TOO_LITTLE_BYTES = 1 << 30, 100 << 20
"""Free space below which the disk counts as nearly full, and as full."""
GIB = 1 << 30


def check_database(context: DoctorContext) -> Iterator[Finding]:
    """Whether the database can be read and written, and has the tables of this version. Creates and migrates nothing."""
    where = mask_url(context.settings.sql_url)
    try:
        engine = open_existing(context.settings.sql_url)
    except (sa.exc.ArgumentError, ImportError) as error:
        remedy = "Give sqlite:////folder/file.sqlite3, or give postgresql+psycopg://… and run pip install 'label-studio-ris[postgres]'."
        yield fail("Server", f"DATABASE_URL {where} cannot be used ({reason_of(error)})", remedy, BAD)
        return
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
        yield warn(
            "Server", f"{where} is not there yet", "Nothing has run with these settings yet. `ris up` creates it."
        )
        return
    try:
        with engine.connect() as db:
            version = ".".join(map(str, db.dialect.server_version_info or ()))
            yield ok("Server", f"{db.dialect.name} {version} at {where}")
            state = _judge_tables(MigrationContext.configure(db).get_current_revision())
            yield state
            if state.state != "fail":
                yield _try_writing(db)
            if state.state == "ok":
                yield _check_counters(db)
    except sa.exc.DatabaseError as error:
        remedy = "Check DATABASE_URL, that the server runs, and that this user may read the file."
        yield fail("Server", f"{where} cannot be read ({reason_of(error.orig or error)})", remedy, UNREACHABLE)
    finally:
        engine.dispose()


def check_disk(context: DoctorContext) -> Iterator[Finding]:
    """Whether the state folder can be written, and the disk has room for the feature cache."""
    folder = context.settings.state_dir.resolve()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield fail("State folder", f"{existing} cannot be written", "Set RIS_STATE_DIR to a folder of your own.", BAD)
    elif existing != folder:
        yield warn(
            "State folder",
            f"{folder} is not there yet",
            "Nothing has run with these settings yet. `ris up` creates it.",
        )
    else:
        yield ok("State folder", str(folder))
    settings = context.settings
    cache = FeatureCache(folder / "features", settings.cache_bytes, settings.click_cache_bytes)
    images, clicks = cache.size_bytes(), cache.click_bytes()
    yield judge_cache(images, settings.cache_bytes)
    yield ok("Click cache", f"{clicks >> 20} of {settings.click_cache_bytes >> 20} MiB")
    if former := cache.former_bytes():
        yield warn(
            "Former cache",
            f"{former >> 20} MiB of a version before 0.3, which no limit counts",
            f"Files are read and written anew when they are used. Delete all folders in {folder / 'features'} but v2 to free the space.",
        )
    growth = max(0, settings.cache_bytes - images) + max(0, settings.click_cache_bytes - clicks)
    yield judge_space(shutil.disk_usage(existing).free, growth)


def judge_cache(used_bytes: int, limit_bytes: int) -> Finding:
    """How full the feature cache is."""
    value = f"{used_bytes >> 20} of {limit_bytes >> 20} MiB"
    if limit_bytes == 0:
        return warn("Feature cache", value, "Set CACHE_BYTES. With 0, every expression encodes its image anew.")
    return ok("Feature cache", value)


def judge_space(free_bytes: int, growth_bytes: int) -> Finding:
    """Whether the disk has room.

    Args:
        growth_bytes: How much the feature cache may still grow.
    """
    value = f"{free_bytes / GIB:.1f} GiB free, the feature cache may grow by {growth_bytes / GIB:.1f} GiB"
    remedy = "Free some space, or lower CACHE_BYTES."
    if free_bytes < TOO_LITTLE_BYTES:
        return fail("Disk", value, remedy, BAD)
    return warn("Disk", value, remedy) if free_bytes < max(LITTLE_BYTES, growth_bytes) else ok("Disk", value)


def _judge_tables(current: str | None) -> Finding:
    scripts = ScriptDirectory(str(MIGRATIONS))
    newest = scripts.get_current_head()
    if current == newest:
        return ok("Tables", f"at version {current}, the newest")
    if current is None:
        return fail(
            "Tables",
            "there are none",
            "`ris up` creates them. If the database has tables of another program, use another one.",
            BAD,
        )
    if current not in {script.revision for script in scripts.walk_revisions()}:
        remedy = "A newer label-studio-ris has used this database. Update this one, or set another DATABASE_URL."
        return fail("Tables", f"at version {current}, which this program does not know", remedy, BAD)
    return warn("Tables", f"at version {current}; the newest is {newest}", "`ris up` updates them when it starts.")


def _check_counters(db: sa.Connection) -> Finding:
    """Whether the counters that run status and /metrics show agree with the rows. Triggers keep them right."""
    if drift := find_drift(db):
        wrong = ", ".join(f"{table} by {number:,}" for table, number in drift.items())
        return fail("Counters", f"wrong: {wrong}", "`ris doctor --recount` counts all rows anew.", BAD)
    return ok("Counters", "agree with the rows")


def _try_writing(db: sa.Connection) -> Finding:
    """Whether rows can be changed. Changes none: the condition of the update is never true."""
    try:
        db.execute(sa.update(request).where(sa.false()).values(state="queued"))
        db.rollback()
    except sa.exc.DatabaseError as error:
        db.rollback()
        code = getattr(error.orig, "sqlite_errorcode", 0)
        if code & 0xFF in (
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
        ):  # the low byte is the basic code, the rest details it
            return warn(
                "Writing",
                f"another program has been writing for {database.LOOK_TIMEOUT_S} s",
                "If this stays so, find out which program it is.",
            )
        return fail(
            "Writing",
            f"not possible ({reason_of(error.orig or error)})",
            "Give this user write permission.",
            BAD,
        )
    return ok("Writing", "possible")
