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
from xdist.scheduler import LoadScopeScheduling

from backend.base import redaction
from backend.db.request_store import RequestStore, open_request_store
from backend.transport import redis_client, redis_server
from benchmarks import postgres

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


E2E = "tests/e2e"


class FileScheduling(LoadScopeScheduling):
    """Gives each test file to one process, and all files of `E2E` to the same one: they share one Label Studio."""

    def _split_scope(self, nodeid: str) -> str:
        return E2E if nodeid.startswith(E2E) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    """With `-n`, files are given out in the order in which they were collected."""
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `-n`, what takes longest is collected first, so that no process is left with it at the end."""
    if hasattr(config, "workerinput"):
        items.sort(
            key=lambda item: 0 if item.get_closest_marker("e2e") else 1 if item.get_closest_marker("slow") else 2
        )


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
    name = f"t{uuid.uuid4().hex[:10]}"
    with sa.create_engine(_postgres_server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as db:
        db.exec_driver_sql(f"CREATE DATABASE {name}")
    return _postgres_server_url.replace("/postgres?", f"/{name}?")


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
