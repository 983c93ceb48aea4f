"""What people did with runs and in bulk, and how suspicious each listed region is."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_COUNTED = ("state", "probability", "iou", "first_look", "outcome", "model_version")
_SCORED = ("suspicion", "suspicion_place")


def upgrade() -> None:
    """Make the table and the columns; no region has a score yet."""
    op.create_table(
        "review_action",
        sa.Column("id", sa.Integer().with_variant(sa.BigInteger, "postgresql"), primary_key=True),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("reviewer", sa.BigInteger),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text),
        sa.Column("detail", sa.Text),
    )
    op.create_index("review_action_by_project", "review_action", ["project", "target"])
    op.add_column("listed_region", sa.Column("suspicion", sa.Double))
    op.add_column("listed_region", sa.Column("suspicion_place", sa.Integer))
    op.add_column("listed_region", sa.Column("suspicion_reason", sa.Text))
    op.drop_index("listed_region_by_state", "listed_region")
    op.create_index("listed_region_by_state", "listed_region", ["project", *_COUNTED, *_SCORED, "id"])
    unscored = sa.text("suspicion IS NULL")
    op.create_index(
        "listed_region_to_score", "listed_region", ["project"], sqlite_where=unscored, postgresql_where=unscored
    )


def downgrade() -> None:
    """Drop them: scores are made of the other tables."""
    op.drop_index("listed_region_to_score", "listed_region")
    op.drop_index("listed_region_by_state", "listed_region")
    op.create_index("listed_region_by_state", "listed_region", ["project", *_COUNTED, "id"])
    for name in (*_SCORED, "suspicion_reason"):
        op.drop_column("listed_region", name)
    op.drop_table("review_action")
