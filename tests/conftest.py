"""Fixtures: the real services, made small and private."""

import logging
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import settings

from backend.base import redaction
from backend.db import database
from backend.db.database import open_database
from backend.db.request_store import RequestStore, open_request_store
from backend.transport import redis_client, redis_server
from benchmarks import postgres
from tests.scheduling import FileScheduling, sort_longest_first

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    """With `-n`, files are given out in the order in which they were collected."""
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `-n`, what takes longest is collected first, so that no process is left with it at the end."""
    if hasattr(config, "workerinput"):
        sort_longest_first(items)


@pytest.fixture(scope="session")
def _redis_server_url() -> Iterator[str]:
    """One real Redis for all tests, in a folder whose name is short enough for a unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="ris-"))
    yield redis_server.ensure(None, folder)
    redis_server.stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def redis_url(_redis_server_url: str) -> str:
    """URL of a real Redis with nothing in it."""
    redis_client.connect(_redis_server_url).flushdb()
    return _redis_server_url


@pytest.fixture(scope="session")
def _postgres_server_url() -> Iterator[str]:
    """One real PostgreSQL for all tests."""
    pytest.importorskip("psycopg", reason="the driver is not installed; remedy: pip install 'psycopg[binary]'")
    binaries = postgres.find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed; remedy: apt install postgresql")
    with postgres.server(binaries) as url:
        yield url


@pytest.fixture
def postgres_url(_postgres_server_url: str) -> str:
    """URL of an empty database of a real PostgreSQL."""
    return _create_database(_postgres_server_url)


@pytest.fixture(scope="session")
def _migrated_postgres_url(_postgres_server_url: str) -> str:
    url = _create_database(_postgres_server_url)
    open_database(url).dispose()
    return url


@pytest.fixture
def migrated_postgres_url(_postgres_server_url: str, _migrated_postgres_url: str) -> str:
    """URL of a database of a real PostgreSQL that is up to date and has no rows: a copy, which takes less than migrating."""
    return _create_database(_postgres_server_url, str(sa.make_url(_migrated_postgres_url).database))


def _create_database(server_url: str, template: str = "template1") -> str:
    """The URL of a new database."""
    name = f"t{uuid.uuid4().hex[:10]}"
    with sa.create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as db:
        db.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    return server_url.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def _fresh_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A SQLite file that went through every migration."""
    file = tmp_path_factory.mktemp("fresh") / "ris.sqlite3"
    open_database(f"sqlite:///{file}").dispose()
    return file.read_bytes()


@pytest.fixture(autouse=True)
def _copy_fresh_databases(monkeypatch: pytest.MonkeyPatch, _fresh_database: bytes) -> None:
    """A new SQLite file begins as a copy of one that was migrated; all migrations for each would take minutes in all.

    `tests/backend/db` and what runs in processes of its own migrate each.
    """
    migrate, lock = database._migrate, database._migration_lock

    def copy_and_migrate(engine: sa.Engine) -> None:
        if engine.dialect.name == "sqlite" and engine.url.database:
            file = Path(engine.url.database)
            with lock(engine):
                if file.stat().st_size == 0:
                    file.write_bytes(_fresh_database)
        migrate(engine)

    monkeypatch.setattr(database, "_migrate", copy_and_migrate)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RequestStore]:
    """A store on a real SQLite file."""
    opened = open_request_store(f"sqlite:///{tmp_path / 'state' / 'ris.sqlite3'}")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _forget_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command sets up in this process ends with its test; a logger that is kept could not be captured later."""
    configure, root = structlog.configure, logging.getLogger()
    level = root.level
    monkeypatch.setattr(structlog, "configure", lambda **how: configure(**{**how, "cache_logger_on_first_use": False}))
    yield
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _forget_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test makes a secret is an ordinary word in the next."""
    monkeypatch.setattr(redaction, "_OWN", redaction.Redactor())
