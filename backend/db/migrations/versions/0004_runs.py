"""Bulk runs and their items."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "run",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("spec", sa.JSON, nullable=False),
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
    )
    op.create_index("run_by_project", "run", ["project", "model_version"])
    op.create_index("run_by_state", "run", ["state"])
    op.create_table(
        "item",
        sa.Column("run", sa.Text, sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("task", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("queries", sa.JSON, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("deferrals", sa.Integer, nullable=False),
        sa.Column("retry_at", sa.Double, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("seconds", sa.JSON),
        sa.Column("error", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("image_sha256", sa.Text),
        sa.Column("encode_fp", sa.Text),
        sa.Column("answers", sa.JSON),
        sa.Column("replaces", sa.Text),
        sa.Column("replaced", sa.JSON),
        sa.Column("replaced_by", sa.Text),
    )
    op.create_index("item_by_state", "item", ["run", "state", "retry_at"])
    op.create_index("item_by_task", "item", ["task"])
    op.create_index("item_by_end", "item", ["finished_at"])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("item")
    op.drop_table("run")
