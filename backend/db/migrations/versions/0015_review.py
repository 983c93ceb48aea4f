"""Decisions of quality review, which of them were written to Label Studio, and the tabs that were made there."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_id = sa.Integer().with_variant(sa.BigInteger, "postgresql")


def upgrade() -> None:
    """Make the tables. Nothing was reviewed before."""
    op.create_table(
        "review",
        sa.Column("id", _id, primary_key=True),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("mask_sha256", sa.Text, nullable=False),
        sa.Column("annotation", sa.BigInteger),
        sa.Column("version_id", _id),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("comment", sa.Text),
        sa.Column("reviewer", sa.BigInteger),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("queue", sa.Text),
        sa.Column("probability", sa.Double),
        sa.Column("model_version", sa.Text),
        sa.Column("undoes", _id),
    )
    op.create_index("review_by_task", "review", ["project", "task", "region", "mask_sha256"])
    op.create_table(
        "review_push",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("target", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.Double, nullable=False),
        sa.Column("done_at", sa.Double),
        sa.Column("result", sa.Text),
    )
    op.create_index("review_push_by_project", "review_push", ["project"])
    op.create_table(
        "review_tab",
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tab", sa.Text, primary_key=True),
        sa.Column("view", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("review_tab")
    op.drop_table("review_push")
    op.drop_table("review")
