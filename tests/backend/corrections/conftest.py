"""The correction store on the database of the request store: SQLite, or PostgreSQL where a module asks for both."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.corrections.store import CorrectionStore, open_correction_store
from backend.db.correction_tables import annotation_version, outcome
from backend.db.request_store import RequestStore, open_request_store


@pytest.fixture(scope="session")
def fresh_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database that is up to date: copying it takes less than making its tables."""
    file = tmp_path_factory.mktemp("fresh") / "ris.sqlite3"
    open_request_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path, fresh_file: Path) -> Iterator[RequestStore]:
    """A store of its own; of the kind that a module's marks name."""
    url = f"sqlite:///{tmp_path / 'state' / 'ris.sqlite3'}"
    (tmp_path / "state").mkdir(mode=0o700)
    shutil.copy(fresh_file, tmp_path / "state")
    if getattr(request, "param", "sqlite") == "postgresql":
        url = request.getfixturevalue("postgres_url")
    opened = open_request_store(url)
    yield opened
    opened.close()


@pytest.fixture
def correction_store(store: RequestStore) -> Iterator[CorrectionStore]:
    opened = open_correction_store(store._engine.url.render_as_string(hide_password=False))
    yield opened
    opened.close()


@pytest.fixture
def outcomes(correction_store: CorrectionStore):
    """The current outcomes: {(annotation, seconds of its clock): {region: outcome}}."""

    def read(column: str = "outcome") -> dict:
        found: dict = {}
        with correction_store.reading() as db:
            versions = db.execute(sa.select(annotation_version)).all()
            for version in versions:
                rows = db.execute(sa.select(outcome).where(outcome.c.version_id == version.id)).mappings()
                found[version.annotation, version.updated_at] = {row["region"]: row[column] for row in rows}
        return found

    return read
