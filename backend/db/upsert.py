"""Inserting rows that may be there already: ON CONFLICT, which SQLAlchemy offers only in each dialect's own `insert`."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Insert = postgresql.Insert | sqlite.Insert


def upsert(db: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or replace the one that has the same primary key."""
    db.execute(_upsert(db.dialect.name, table, tuple(row)), dict(row))


@lru_cache  # making a statement takes longer than running it
def _upsert(dialect: str, table: sa.Table, names: tuple[str, ...]) -> Insert:
    keys = [column.name for column in table.primary_key]
    new = _insert(dialect, table)
    return new.on_conflict_do_update(
        index_elements=keys, set_={name: new.excluded[name] for name in names if name not in keys}
    )


@lru_cache
def insert_if_absent(dialect: str, table: sa.Table) -> Insert:
    """A statement that inserts rows, skips those that break a unique constraint, and returns the keys of the new ones.

    Args:
        dialect: Name of the connection's dialect, "sqlite" or "postgresql".
    """
    # PostgreSQL's driver does not count inserted rows, so the statement returns them
    return _insert(dialect, table).on_conflict_do_nothing().returning(*table.primary_key)  # type: ignore[return-value]


def _insert(dialect: str, table: sa.Table) -> Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
