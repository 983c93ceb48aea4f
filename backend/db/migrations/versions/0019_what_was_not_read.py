"""What of an annotation could not be read."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Of earlier versions nobody noted it: each project is compared with Label Studio from its beginning once."""
    op.add_column("annotation_version", sa.Column("problems", sa.JSON(none_as_null=True)))
    op.execute("DELETE FROM poll")


def downgrade() -> None:
    """Drop it."""
    op.drop_column("annotation_version", "problems")
