"""What the annotator was told, and the task that a region was handed out for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both; a region of before has its answer's task."""
    op.add_column("request", sa.Column("message", sa.JSON))
    op.add_column("region", sa.Column("task", sa.Text, nullable=False, server_default=""))
    op.execute("UPDATE region SET task = (SELECT task FROM answer WHERE answer.id = region.answer_id)")
    with op.batch_alter_table("region") as batch:
        batch.alter_column("task", server_default=None)


def downgrade() -> None:
    """Drop both."""
    op.drop_column("region", "task")
    op.drop_column("request", "message")
