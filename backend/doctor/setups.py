"""The last /setup call of Label Studio for a project, as it is stored in the database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from backend.db.database import open_existing
from backend.db.tables import connection


@dataclass(frozen=True)
class ProjectSetup:
    """A row of the table `connection`.

    Attributes:
        extra_params: The project's own settings.
        received_at: Seconds since 1970.
    """

    hostname: str | None
    access_token: str | None = field(repr=False)
    extra_params: Mapping[str, Any]
    received_at: float


def read_setup(sql_url: str, project: int) -> ProjectSetup | None:
    """The last /setup call for a project; None if there was none, or the database cannot be read."""
    columns = (connection.c.hostname, connection.c.access_token, connection.c.extra_params, connection.c.updated_at)
    try:
        engine = open_existing(sql_url)
        try:
            with engine.connect() as db:
                row = db.execute(sa.select(*columns).where(connection.c.project == project)).first()
        finally:
            engine.dispose()
    except (sa.exc.SQLAlchemyError, ImportError):
        return None
    return ProjectSetup(*row) if row else None
