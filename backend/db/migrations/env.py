"""Alembic's entry: `backend.db.request_store` gives it a connection, the `alembic` command a URL (`-x url=sqlite:///…`)."""

import sqlalchemy as sa
from alembic import context

from backend.db import correction_tables as _corrections  # noqa: F401  (so that their tables are compared too)
from backend.db import lesson_store as _lessons  # noqa: F401
from backend.db import review_tables as _reviews  # noqa: F401
from backend.db import run_tables as _runs  # noqa: F401
from backend.db.tables import metadata


def migrate(connection: sa.Connection) -> None:
    """Run what is missing, in one transaction."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


if (given := context.config.attributes.get("connection")) is not None:
    migrate(given)
    given.commit()
else:
    with sa.create_engine(context.get_x_argument(as_dictionary=True)["url"]).connect() as opened:
        migrate(opened)
        opened.commit()
