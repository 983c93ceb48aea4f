"""The profile that answers where RIS_PROFILE names none: chosen once for a new database, `base` for one of before."""

import sqlalchemy as sa
from alembic import context, op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table. A database that has been in use keeps the profile that was the default until now."""
    table = op.create_table(
        "default_profile",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    if context.config.attributes.get("was_there"):
        reason = "it was the default when this state was made"
        op.bulk_insert(table, [{"number": 1, "profile": "base", "reason": reason}])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("default_profile")
