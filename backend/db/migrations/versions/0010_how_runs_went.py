"""Which runs were refused, and for how many of an item's queries nothing was found, or the answer is unsure."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; of what was answered before nothing is counted, and of what failed before it is not known why."""
    op.add_column("run", sa.Column("is_refused", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("item", sa.Column("unfound", sa.Integer))
    op.add_column("item", sa.Column("unsure", sa.Integer))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("item", "unsure")
    op.drop_column("item", "unfound")
    op.drop_column("run", "is_refused")
