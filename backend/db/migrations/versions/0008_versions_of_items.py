"""The model version of each item: a run may go on with another one after an upgrade."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it; what is answered was answered by its run's version."""
    op.add_column("item", sa.Column("model_version", sa.Text))
    its_run = "(SELECT run.model_version FROM run WHERE run.id = item.run)"
    op.execute(f"UPDATE item SET model_version = {its_run} WHERE answers IS NOT NULL")


def downgrade() -> None:
    """Drop it."""
    op.drop_column("item", "model_version")
