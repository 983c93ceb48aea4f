"""The tables of runs: runs, and one item for each of their tasks."""

import sqlalchemy as sa

from backend.db.tables import NOBODY, metadata

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("finished_at", sa.Double),
    sa.Column("project", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("spec", sa.JSON, nullable=False, info=NOBODY),
    sa.Column("does_push", sa.Boolean, nullable=False),
    sa.Column("model_version", sa.Text),
    sa.Column("label_config", sa.Text),
    sa.Column("planned_to", sa.BigInteger, nullable=False),
    sa.Column("skipped", sa.Integer, nullable=False),
    sa.Column("hold_until", sa.Double, nullable=False),
    sa.Column("strikes", sa.Integer, nullable=False),
    sa.Column("push_at", sa.Double, nullable=False),
    sa.Column("push_strikes", sa.Integer, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("steward", sa.Text),
    sa.Column("lease_until", sa.Double, nullable=False),
    sa.Column("is_told", sa.Boolean, nullable=False),
    sa.Column("repairs", sa.Integer, nullable=False, server_default="0"),
    sa.Column("is_refused", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("rate", sa.Double),
    sa.Index("run_by_project", "project", "model_version"),
    sa.Index("run_by_state", "state"),
)


def _index_of(state: str, name: str, *columns: str) -> sa.Index:
    """An index of the items that are in one state."""
    where = sa.text(f"state = '{state}'")
    return sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


item = sa.Table(
    "item",
    metadata,
    sa.Column("run", sa.Text, sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("task", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("queries", sa.JSON, nullable=False, info=NOBODY),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("deferrals", sa.Integer, nullable=False),
    sa.Column("retry_at", sa.Double, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("started_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    sa.Column("seconds", sa.JSON(none_as_null=True), info=NOBODY),
    sa.Column("error", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("image_sha256", sa.Text),
    sa.Column("encode_fp", sa.Text),
    sa.Column("model_version", sa.Text),
    sa.Column("replaces", sa.Text),
    sa.Column("replaced", sa.JSON(none_as_null=True), info=NOBODY),
    sa.Column("replaced_by", sa.Text),
    sa.Column("before", sa.JSON(none_as_null=True), info=NOBODY),
    sa.Column("unfound", sa.Integer),
    sa.Column("unsure", sa.Integer),
    sa.Index("item_by_state", "run", "state", "task"),
    sa.Index("item_by_begin", "run", "started_at"),
    sa.Index("item_by_end_of_run", "run", "finished_at"),
    sa.Index("item_by_task", "task"),
    sa.Index("item_by_end", "finished_at"),
    # Partial: most items are in none of these states, so these stay small. A query must use `is_in`.
    _index_of("new", "item_to_claim", "run", "retry_at", "task"),
    _index_of("running", "item_running", "run", "task", "worker", "started_at"),
    _index_of("failed", "item_failed", "run", "finished_at", "task"),
)
item_count = sa.Table(
    "item_count",
    metadata,
    *(sa.Column(name, sa.Text, primary_key=True) for name in ("run", "state", "reason", "model_version")),
    *(
        sa.Column(name, sa.SmallInteger, primary_key=True, autoincrement=False)
        for name in ("is_unfound", "is_unsure", "is_replaced", "shard")
    ),
    sa.Column("number", sa.BigInteger, nullable=False),
)
"""Items by what they are counted by. Triggers keep it (migration 0011); the shards of a key add up to its number."""


def is_in(state: str) -> sa.ColumnElement[bool]:
    """Whether an item is in a state, in a form that lets databases use the index of that state alone."""
    return item.c.state == sa.literal(state, literal_execute=True)


def answered_by() -> sa.ColumnElement[str]:
    """The version that an item was answered by, else the one that is to answer it: its run's, as it is now."""
    return sa.func.coalesce(item.c.model_version, run.c.model_version)
