"""The list of regions that quality review reads, and the tasks that are to be listed."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_id = sa.Integer().with_variant(sa.BigInteger, "postgresql")

_TASKS = (
    "SELECT project, task FROM annotation_version",
    "SELECT project, task FROM offered_prediction",
    "SELECT run.project, CAST(item.task AS TEXT) FROM item JOIN run ON run.id = item.run WHERE item.state = 'done'",
    "SELECT project, task FROM request WHERE kind = 'open' AND state = 'done' AND project IS NOT NULL",
)
"""Where tasks with regions stand."""


def upgrade() -> None:
    """Make the tables; every task that has regions is to be listed."""
    op.create_table(
        "listed_region",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("annotation", sa.BigInteger),
        sa.Column("saved_at", sa.Double),
        sa.Column("mask_sha256", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("expression", sa.Text),
        sa.Column("probability", sa.Double),
        sa.Column("iou", sa.Double),
        sa.Column("model_version", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("decision", _id),
        sa.Column("first_look", sa.Text),
        sa.Column("audit_order", sa.Text, nullable=False),
        sa.Column("task_order", sa.Text, nullable=False),
    )
    op.create_index("listed_region_by_task", "listed_region", ["project", "task", "region"])
    op.create_index("listed_region_in_order", "listed_region", ["project", "task_order", "region"])
    op.create_index("listed_region_by_audit", "listed_region", ["project", "audit_order", "probability", "first_look"])
    counted = ["state", "probability", "iou", "first_look", "outcome", "model_version"]
    op.create_index("listed_region_by_state", "listed_region", ["project", *counted, "id"])
    op.create_table(
        "to_list",
        sa.Column("id", _id, primary_key=True),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
    )
    op.create_index("to_list_by_project", "to_list", ["project", "task"])
    op.execute(f"INSERT INTO to_list (project, task) {' UNION '.join(_TASKS)} ORDER BY 1, 2")


def downgrade() -> None:
    """Drop them: they are made of the other tables."""
    op.drop_table("to_list")
    op.drop_table("listed_region")
