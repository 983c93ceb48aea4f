"""Which predictions a task had before an item's was sent, and how often a run's were mended."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both columns; of what was written before nothing is noted."""
    op.add_column("item", sa.Column("before", sa.JSON))
    op.add_column("run", sa.Column("repairs", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop both."""
    op.drop_column("run", "repairs")
    op.drop_column("item", "before")
