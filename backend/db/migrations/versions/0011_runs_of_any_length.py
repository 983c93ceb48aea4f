"""Looks at a run that stay quick: indexes, counters, and events that say themselves that they were read.

Counters are kept by triggers, so that no statement can forget them. In PostgreSQL each connection counts in one of 64 rows, so that
workers do not wait for each other. `backend/db/counters.py` reads, checks and repairs the counters.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ITEM_KEY = ("run", "state", "reason", "model_version", "is_unfound", "is_unsure", "is_replaced")
ITEM_VALUES = (
    "{row}.run, {row}.state, coalesce({row}.reason, ''), coalesce({row}.model_version, ''), "
    "CASE WHEN coalesce({row}.unfound, 0) > 0 THEN 1 ELSE 0 END, CASE WHEN coalesce({row}.unsure, 0) > 0 THEN 1 ELSE 0 END, "
    "CASE WHEN {row}.replaced_by IS NULL THEN 0 ELSE 1 END"
)
ITEM_CHANGES = ("state", "reason", "model_version", "unfound", "unsure", "replaced_by")
ROWS = {
    "request": ("{row}.kind, {row}.state", ("kind", "state")),
    "answer": ("{row}.decision, ''", ("decision",)),
    "webhook": ("{row}.action, ''", ("action",)),
    "region": ("'', ''", ()),
}
"""For each other table that is counted: what is counted apart, and the columns whose change counts."""


def upgrade() -> None:
    """Add all of it; what is there already is counted once."""
    _make_indexes()
    op.add_column("run", sa.Column("rate", sa.Double))
    _let_events_say_that_they_were_read()
    _make_counters()


def downgrade() -> None:
    """Take it away again."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table in ("item", *ROWS):
        for name in ("insert", "update", "delete") if is_sqlite else ("any",):
            op.execute(f"DROP TRIGGER IF EXISTS {table}_counted_{name}" + ("" if is_sqlite else f" ON {table}"))
        if not is_sqlite:
            op.execute(f"DROP FUNCTION count_{table}()")
    op.drop_table("item_count")
    op.drop_table("row_count")
    op.create_table(
        "webhook_read",
        sa.Column("webhook_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("read_at", sa.Double, nullable=False),
        sa.Column("problem", sa.Text),
    )
    op.execute("INSERT INTO webhook_read SELECT id, read_at, problem FROM webhook WHERE read_at IS NOT NULL")
    op.drop_index("webhook_unread", "webhook")
    op.drop_column("webhook", "problem")
    op.drop_column("webhook", "read_at")
    op.drop_column("run", "rate")
    for name in (
        "item_to_claim",
        "item_running",
        "item_failed",
        "item_by_begin",
        "item_by_end_of_run",
        "item_by_state",
    ):
        op.drop_index(name, "item")
    op.create_index("item_by_state", "item", ["run", "state", "retry_at"])


def _make_indexes() -> None:
    op.drop_index("item_by_state", "item")
    op.create_index("item_by_state", "item", ["run", "state", "task"])
    op.create_index("item_by_begin", "item", ["run", "started_at"])
    op.create_index("item_by_end_of_run", "item", ["run", "finished_at"])
    # Partial: most items are in none of these states, so these indexes stay small.
    for name, columns, state in (
        ("item_to_claim", ["run", "retry_at", "task"], "new"),
        ("item_running", ["run", "task", "worker", "started_at"], "running"),
        ("item_failed", ["run", "finished_at", "task"], "failed"),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(name, "item", columns, sqlite_where=where, postgresql_where=where)


def _let_events_say_that_they_were_read() -> None:
    """No cursor would do: SQLite may give the ids of deleted events again, and PostgreSQL's are not committed in their order."""
    op.add_column("webhook", sa.Column("read_at", sa.Double))
    op.add_column("webhook", sa.Column("problem", sa.Text))
    op.execute(
        "UPDATE webhook SET read_at = (SELECT r.read_at FROM webhook_read AS r WHERE r.webhook_id = webhook.id), "
        "problem = (SELECT r.problem FROM webhook_read AS r WHERE r.webhook_id = webhook.id)"
    )
    op.drop_table("webhook_read")
    where = sa.text("read_at IS NULL")
    op.create_index("webhook_unread", "webhook", ["id"], sqlite_where=where, postgresql_where=where)


def _make_counters() -> None:
    op.create_table(
        "item_count",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ITEM_KEY[:4]),
        *(sa.Column(name, sa.SmallInteger, primary_key=True, autoincrement=False) for name in ITEM_KEY[4:]),
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "row_count",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("source", "name", "detail")),
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    make = _sqlite_triggers if op.get_bind().dialect.name == "sqlite" else _postgresql_triggers
    for statement in make("item", "item_count", ITEM_KEY, ITEM_VALUES, ITEM_CHANGES):
        op.execute(sa.text(statement.replace(":", r"\:")))
    keys = ", ".join(map(str, range(1, len(ITEM_KEY) + 1)))
    op.execute(f"INSERT INTO item_count SELECT {ITEM_VALUES.format(row='item')}, 0, count(*) FROM item GROUP BY {keys}")
    for table, (values, changes) in ROWS.items():
        key = ("source", "name", "detail")
        for statement in make(table, "row_count", key, f"'{table}', {values}", changes):
            op.execute(sa.text(statement.replace(":", r"\:")))
        counted = f"'{table}', {values.format(row=table)}"
        op.execute(
            f"INSERT INTO row_count SELECT {counted}, 0, count(*) FROM {table} GROUP BY 1, 2, 3 HAVING count(*) > 0"
        )


def _sqlite_triggers(
    table: str, counts: str, key: tuple[str, ...], values: str, changes: tuple[str, ...]
) -> Iterator[str]:
    add, remove = (
        f"INSERT INTO {counts} VALUES ({values.format(row=row)}, 0, {step}) "
        f"ON CONFLICT ({', '.join(key)}, shard) DO UPDATE SET number = number + {step};"
        for row, step in (("NEW", "1"), ("OLD", "-1"))
    )
    yield f"CREATE TRIGGER {table}_counted_insert AFTER INSERT ON {table} BEGIN {add} END"
    yield f"CREATE TRIGGER {table}_counted_delete AFTER DELETE ON {table} BEGIN {remove} END"
    if changes:
        differs = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in changes)
        yield (
            f"CREATE TRIGGER {table}_counted_update AFTER UPDATE OF {', '.join(changes)} ON {table} WHEN {differs} "
            f"BEGIN {remove} {add} END"
        )


def _postgresql_triggers(
    table: str, counts: str, key: tuple[str, ...], values: str, changes: tuple[str, ...]
) -> Iterator[str]:
    add, remove = (
        f"INSERT INTO {counts} VALUES ({values.format(row=row)}, pg_backend_pid() % 64, {step}) "
        f"ON CONFLICT ({', '.join(key)}, shard) DO UPDATE SET number = {counts}.number + {step};"
        for row, step in (("NEW", "1"), ("OLD", "-1"))
    )
    # Always in the order of the keys: two connections that share a row of counts cannot wait for each other in a circle.
    both = f"IF ({values.format(row='OLD')}) < ({values.format(row='NEW')}) THEN {remove} {add} ELSE {add} {remove} END IF;"
    yield f"""
        CREATE FUNCTION count_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN {add}
            ELSIF TG_OP = 'DELETE' THEN {remove}
            ELSIF ({values.format(row="OLD")}) <> ({values.format(row="NEW")}) THEN {both}
            END IF;
            RETURN NULL;
        END $$
    """
    columns = f" OR UPDATE OF {', '.join(changes)}" if changes else ""
    yield (
        f"CREATE TRIGGER {table}_counted_any AFTER INSERT OR DELETE{columns} ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION count_{table}()"
    )
