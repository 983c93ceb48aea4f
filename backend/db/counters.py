"""Counters of rows: triggers of the database keep them, so that no look at them reads whole tables. Checked and repaired here."""

from collections.abc import Mapping

import sqlalchemy as sa

from backend.db.run_tables import item, item_count
from backend.db.tables import answer, region, request, row_count, webhook

Key = tuple[str | int, ...]

_ROWS = (
    (request, request.c.kind, request.c.state),
    (answer, answer.c.decision, sa.literal("")),
    (webhook, webhook.c.action, sa.literal("")),
    (region, sa.literal(""), sa.literal("")),
)


def find_drift(db: sa.Connection) -> dict[str, int]:
    """By how much the counters of each table are wrong; empty if all are right. Reads whole tables."""
    drift: dict[str, int] = {}
    for table, counted, kept in (
        *((item_count.name, counted, kept) for counted, kept in [_compare_items(db)]),
        (row_count.name, *_compare_rows(db)),
    ):
        wrong = sum(abs(counted.get(key, 0) - kept.get(key, 0)) for key in counted.keys() | kept.keys())
        if wrong:
            drift[table] = wrong
    return drift


def recount(db: sa.Connection) -> None:
    """Count every row anew. Nothing else may write meanwhile: the caller's transaction must be one that writes."""
    if db.dialect.name == "postgresql":  # SQLite has one writer anyway
        for table in (item, request, answer, webhook, region):
            db.execute(sa.text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))
    items, _ = _compare_items(db)
    rows, _ = _compare_rows(db)
    for table, counts in ((item_count, items), (row_count, rows)):
        db.execute(sa.delete(table))
        names = [column.name for column in table.primary_key if column.name != "shard"]
        for key, number in counts.items():
            db.execute(sa.insert(table).values({**dict(zip(names, key, strict=True)), "shard": 0, "number": number}))


def count_rows(db: sa.Connection, table: sa.Table) -> Mapping[tuple[str, str], int]:
    """Rows of a table, by what they are counted by: kind and state, decision, or action."""
    number = sa.func.sum(row_count.c.number)
    query = sa.select(row_count.c.name, row_count.c.detail, number).where(row_count.c.source == table.name)
    rows = db.execute(query.group_by(row_count.c.name, row_count.c.detail))
    return {(name, detail): int(total) for name, detail, total in rows if total}


def _compare_items(db: sa.Connection) -> tuple[dict[Key, int], dict[Key, int]]:
    """Items as they are, and as they are counted."""
    columns = (
        item.c.run,
        item.c.state,
        sa.func.coalesce(item.c.reason, ""),
        sa.func.coalesce(item.c.model_version, ""),
        sa.case((item.c.unfound > 0, 1), else_=0),
        sa.case((item.c.unsure > 0, 1), else_=0),
        sa.case((item.c.replaced_by.is_(None), 0), else_=1),
    )
    # By number: PostgreSQL takes the same expression with other parameters for another one.
    keys = [sa.literal_column(str(number), sa.Integer) for number in range(1, len(columns) + 1)]
    counted = db.execute(sa.select(*columns, sa.func.count()).group_by(*keys))
    kept_columns = [column for column in item_count.primary_key if column.name != "shard"]
    kept = db.execute(sa.select(*kept_columns, sa.func.sum(item_count.c.number)).group_by(*kept_columns))
    return _read(counted), _read(kept)


def _compare_rows(db: sa.Connection) -> tuple[dict[Key, int], dict[Key, int]]:
    counted: dict[Key, int] = {}
    for table, name, detail in _ROWS:
        keys = [sa.literal_column(number, sa.Integer) for number in ("1", "2")]
        rows = db.execute(
            sa.select(name.label("name"), detail.label("detail"), sa.func.count()).select_from(table).group_by(*keys)
        )
        counted |= {(table.name, *key): number for key, number in _read(rows).items()}
    columns = (row_count.c.source, row_count.c.name, row_count.c.detail)
    kept = db.execute(sa.select(*columns, sa.func.sum(row_count.c.number)).group_by(*columns))
    return counted, _read(kept)


def _read(rows: sa.CursorResult) -> dict[Key, int]:
    return {tuple(row[:-1]): int(row[-1]) for row in rows if row[-1]}
