"""The new tables of answers and regions take the place of the old ones, once everything is copied. Items no longer hold answers."""

import sqlalchemy as sa
from alembic import op

from backend.db.candidates import Candidates

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

COUNTED = (("answer", "decision"), ("region", None))
_id = sa.Integer().with_variant(sa.BigInteger, "postgresql")
_ABOUT = (
    *(
        "id",
        "request_id",
        "created_at",
        "project",
        "task",
        "expression",
        "label",
        "decision",
        "model_version",
        "encode_fp",
    ),
    *("image_sha256", "height", "width"),
)
_FORMER = sa.table(
    "answer", *map(sa.column, _ABOUT), *(sa.column(name, sa.JSON) for name in ("candidates", "selected"))
)
_NEW = sa.table(
    "answer_new",
    *map(sa.column, [*_ABOUT, "run", "query", "is_guess", "repeats"]),
    sa.column("candidates", Candidates),
    *(sa.column(name, sa.JSON) for name in ("selected", "others")),
)
_ITEM = sa.table("item", sa.column("run"), sa.column("task"), sa.column("answers", sa.JSON))


def upgrade() -> None:
    """Swap the tables, and count their rows again."""
    db = op.get_bind()
    former, copied = "SELECT count(*) FROM answer", "SELECT count(*) FROM answer_new WHERE run IS NULL"
    left = f"SELECT (SELECT count(*) FROM item WHERE answers IS NOT NULL) + ({former}) - ({copied})"
    if db.scalar(sa.text(left)):
        raise RuntimeError("Answers are not copied yet. Start label-studio-ris: it copies them, then migrates.")
    op.drop_table("region")
    op.drop_table("answer")
    op.drop_index("answer_new_by_request", "answer_new")
    op.rename_table("answer_new", "answer")
    op.rename_table("region_new", "region")
    op.create_index("ix_answer_request_id", "answer", ["request_id"])
    op.create_index("answer_by_task", "answer", ["project", "task"])
    op.create_index("answer_by_run", "answer", ["run", "task", "query"])
    op.create_index("ix_region_answer_id", "region", ["answer_id"])
    op.drop_column("item", "answers")
    op.execute("DELETE FROM row_count WHERE source IN ('answer', 'region')")
    for table, column in COUNTED:
        _count(db, table, column)
    if db.dialect.name == "postgresql":
        op.execute(
            "SELECT setval(pg_get_serial_sequence('answer', 'id'), coalesce((SELECT max(id) FROM answer), 0) + 1, false)"
        )


def downgrade() -> None:
    """Bring answers back into their old form, all at once."""
    db = op.get_bind()
    for table, _ in COUNTED:
        names = ("insert", "update", "delete") if db.dialect.name == "sqlite" else ("any",)
        for name in names:
            op.execute(
                f"DROP TRIGGER IF EXISTS {table}_counted_{name}"
                + ("" if db.dialect.name == "sqlite" else f" ON {table}")
            )
    for name, table in (
        ("ix_answer_request_id", "answer"),
        ("answer_by_task", "answer"),
        ("answer_by_run", "answer"),
        ("ix_region_answer_id", "region"),
    ):
        op.drop_index(name, table)
    op.rename_table("answer", "answer_new")
    op.rename_table("region", "region_new")
    op.create_index("answer_new_by_request", "answer_new", ["request_id"])
    op.add_column("item", sa.Column("answers", sa.JSON))
    _make_former_tables()
    for row in db.execute(sa.select(_NEW).order_by(_NEW.c.run, _NEW.c.task, _NEW.c.query)).mappings().all():
        _put_back(db, row)
    columns = "id, answer_id, candidate_rank, from_name, label, task"
    op.execute(f"INSERT INTO region ({columns}) SELECT {columns} FROM region_new")


def _make_former_tables() -> None:
    op.create_table(
        "answer",
        sa.Column("id", _id, primary_key=True),
        sa.Column("request_id", sa.Text, sa.ForeignKey("request.id"), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("project", sa.Integer),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("task", "expression", "label", "decision", "model_version", "encode_fp", "image_sha256")
        ),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("candidates", sa.JSON, nullable=False),
        sa.Column("selected", sa.JSON, nullable=False),
    )
    op.create_table(
        "region",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("answer_id", _id, sa.ForeignKey("answer.id"), nullable=False),
        sa.Column("candidate_rank", sa.Integer, nullable=False),
        sa.Column("from_name", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
    )
    op.create_index("ix_answer_request_id", "answer", ["request_id"])
    op.create_index("answer_by_task", "answer", ["project", "task"])
    op.create_index("ix_region_answer_id", "region", ["answer_id"])


def _put_back(db: sa.Connection, row: sa.RowMapping) -> None:
    if row["run"] is None:
        db.execute(sa.insert(_FORMER).values({name: row[name] for name in (*_ABOUT, "candidates", "selected")}))
        return
    names = ("expression", "label", "is_guess", "decision", "selected", "others", "candidates")
    answer = {name: row[name] for name in names} | ({} if row["repeats"] is None else {"repeats": row["repeats"]})
    is_it = (_ITEM.c.run == row["run"]) & (_ITEM.c.task == int(row["task"]))
    earlier = db.scalar(sa.select(_ITEM.c.answers).where(is_it)) or []
    db.execute(sa.update(_ITEM).where(is_it).values(answers=[*earlier, answer]))


def _count(db: sa.Connection, table: str, column: str | None) -> None:
    """Triggers as migration 0011 made them, which went with the old table, and the rows that are there."""
    name = f"{{row}}.{column}" if column else "''"
    shard = "0" if db.dialect.name == "sqlite" else "pg_backend_pid() % 64"
    add, remove = (
        f"INSERT INTO row_count VALUES ('{table}', {name.format(row=row)}, '', {shard}, {step}) "
        f"ON CONFLICT (source, name, detail, shard) DO UPDATE SET number = row_count.number + {step};"
        for row, step in (("NEW", "1"), ("OLD", "-1"))
    )
    if db.dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER {table}_counted_insert AFTER INSERT ON {table} BEGIN {add} END")
        op.execute(f"CREATE TRIGGER {table}_counted_delete AFTER DELETE ON {table} BEGIN {remove} END")
        if column:
            op.execute(
                f"CREATE TRIGGER {table}_counted_update AFTER UPDATE OF {column} ON {table} "
                f"WHEN OLD.{column} IS NOT NEW.{column} BEGIN {remove} {add} END"
            )
    else:  # the function is there still
        update = f" OR UPDATE OF {column}" if column else ""
        op.execute(
            f"CREATE TRIGGER {table}_counted_any AFTER INSERT OR DELETE{update} ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION count_{table}()"
        )
    counted = name.format(row=table)
    op.execute(
        f"INSERT INTO row_count SELECT '{table}', {counted}, '', 0, count(*) FROM {table} GROUP BY 2 HAVING count(*) > 0"
    )
