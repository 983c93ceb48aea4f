"""What was learnt from the corrections of projects."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_id = sa.Integer().with_variant(sa.BigInteger, "postgresql")


def upgrade() -> None:
    """Make the table. Nothing was learnt before."""
    op.create_table(
        "lesson",
        sa.Column("id", _id, primary_key=True),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("base_version", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("replaces", sa.Text, nullable=False),
        sa.Column("from_project", sa.Integer, nullable=False),
        sa.Column("content", sa.JSON(none_as_null=True)),
        sa.Column("about", sa.JSON, nullable=False),
    )
    op.create_index("lesson_by_project", "lesson", ["project", "base_version"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("lesson")
