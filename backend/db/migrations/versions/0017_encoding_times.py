"""How long encoding an image took, by profile and machine: so that people can be told before they wait."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; nothing was kept before."""
    op.create_table(
        "encoding_time",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("profile", "machine", "device")),
        sa.Column("median_s", sa.Double, nullable=False),
        sa.Column("images", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("encoding_time")
