"""What stands offered to each annotator, to be mended."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make its table."""
    op.create_table(
        "standing",
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("prompt_id", sa.Text, primary_key=True),
        sa.Column("user", sa.Integer),
        sa.Column("draft", sa.Text),
        sa.Column("offer", sa.JSON, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("standing")
