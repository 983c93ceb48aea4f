"""The ledger on the store's own database."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from backend.corrections.ledger import Ledger, open_ledger
from backend.corrections.tables import annotation_version, outcome
from backend.store import Store


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    opened = open_ledger(store._engine.url.render_as_string(hide_password=False))
    yield opened
    opened.close()


@pytest.fixture
def outcomes(ledger: Ledger):
    """What the ledger says now: {(annotation, seconds of its clock): {region: outcome}}."""

    def read(column: str = "outcome") -> dict:
        found: dict = {}
        with ledger.reading() as db:
            versions = db.execute(sa.select(annotation_version)).all()
            for version in versions:
                rows = db.execute(sa.select(outcome).where(outcome.c.version_id == version.id)).mappings()
                found[version.annotation, version.updated_at] = {row["region"]: row[column] for row in rows}
        return found

    return read
