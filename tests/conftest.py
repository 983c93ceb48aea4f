"""Fixtures: the real services, made small and private."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import settings

from backend.base import redaction
from backend.db.request_store import RequestStore, open_request_store
from backend.transport import redis_client, redis_server
from benchmarks import postgres

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


PURE = ("ris_core", "demo", "test_lint.py", "test_cli.py")
"""Folders and files of tests that start no services."""


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that may run beside each other, however long they take."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in PURE:
            item.add_marker("pure")


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
    configure = structlog.configure
    monkeypatch.setattr(structlog, "configure", lambda **how: configure(**{**how, "cache_logger_on_first_use": False}))
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _forget_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test makes a secret is an ordinary word in the next."""
    monkeypatch.setattr(redaction, "_OWN", redaction.Redactor())
