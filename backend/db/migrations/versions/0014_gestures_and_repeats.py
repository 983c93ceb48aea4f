"""Of which expressions an annotator was told that their masks are there already; which masks clicks or boxes made or corrected."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Nobody was told so before; earlier outcomes do not say what made their masks."""
    op.add_column("prompt", sa.Column("told", sa.JSON(none_as_null=True)))
    op.add_column("outcome", sa.Column("is_refined", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("outcome", "is_refined")
    op.drop_column("prompt", "told")
