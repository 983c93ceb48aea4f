"""The ledger of corrections."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.Integer().with_variant(sa.BigInteger, "postgresql")
TABLES = ("webhook_read", "annotation_version", "annotation_deleted", "offered_prediction", "outcome", "poll")


def upgrade() -> None:
    """Make its tables."""
    op.create_table(
        "webhook_read",
        sa.Column("webhook_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("read_at", sa.Double, nullable=False),
        sa.Column("problem", sa.Text),
    )
    op.create_table(
        "annotation_version",
        sa.Column("id", ID, primary_key=True),
        sa.Column("annotation", sa.BigInteger, nullable=False),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("annotator", sa.BigInteger),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("lead_time_s", sa.Double),
        sa.Column("was_cancelled", sa.Boolean, nullable=False),
        sa.Column("is_reviewed", sa.Boolean, nullable=False),
        sa.Column("parent_prediction", sa.BigInteger),
        sa.Column("task_data", sa.JSON, nullable=False),
        sa.Column("image", sa.Text),
        sa.Column("regions", sa.JSON, nullable=False),
        sa.Column("texts", sa.JSON, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.UniqueConstraint("annotation", "updated_at", name="annotation_version_once"),
    )
    op.create_index("annotation_version_by_task", "annotation_version", ["project", "task"])
    op.create_table(
        "annotation_deleted",
        sa.Column("annotation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("project", sa.Integer),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
    )
    op.create_table(
        "offered_prediction",
        sa.Column("prediction", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("regions", sa.JSON, nullable=False),
        sa.Column("task_data", sa.JSON, nullable=False),
        sa.Column("image", sa.Text),
    )
    op.create_index("offered_prediction_by_task", "offered_prediction", ["project", "task"])
    op.create_table(
        "outcome",
        sa.Column("id", ID, primary_key=True),
        sa.Column("version_id", ID, sa.ForeignKey("annotation_version.id"), nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("offered_region", sa.Text),
        sa.Column("offered_by", sa.Text),
        sa.Column("iou", sa.Double),
        sa.Column("boundary_iou", sa.Double),
        sa.Column("area_change", sa.Double),
        sa.Column("is_relabelled", sa.Boolean, nullable=False),
        sa.Column("is_reworded", sa.Boolean, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("expression", sa.Text),
        sa.Column("score", sa.Double),
        sa.Column("model_version", sa.Text),
        sa.Column("mask", sa.JSON),
        sa.Column("offered_mask", sa.JSON),
        sa.UniqueConstraint("version_id", "region", name="outcome_once"),
    )
    op.create_table(
        "poll",
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seen_until", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in reversed(TABLES):
        op.drop_table(table)
