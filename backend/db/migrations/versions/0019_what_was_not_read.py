"""What of an annotation could not be read, and by which way of reading a project was compared with Label Studio."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Both are empty in rows of before: each project is compared with Label Studio from its beginning once."""
    op.add_column("annotation_version", sa.Column("problems", sa.JSON(none_as_null=True)))
    op.add_column("poll", sa.Column("reading", sa.Integer))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("poll", "reading")
    op.drop_column("annotation_version", "problems")
