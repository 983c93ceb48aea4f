"""What people did with runs and in bulk."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
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


def downgrade() -> None:
    """Drop it."""
    op.drop_table("review_action")
