"""The correction store on the database of the request store: SQLite, or PostgreSQL where a module asks for both."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.corrections.store import CorrectionStore, open_correction_store
from backend.db.correction_tables import annotation_version, outcome
from backend.db.request_store import RequestStore, open_request_store


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RequestStore]:
    """A store of its own; of the kind that a module's marks name."""
    url = f"sqlite:///{tmp_path / 'state' / 'ris.sqlite3'}"
    if getattr(request, "param", "sqlite") == "postgresql":
        url = request.getfixturevalue("migrated_postgres_url")
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
