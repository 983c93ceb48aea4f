"""One record of what was handed out: answers of runs and of annotators in the same rows, their candidates several times smaller.

Here the new tables are made; `backend/db/carry_over.py` copies what there is, batch by batch; 0013 puts the new tables in place.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_id = sa.Integer().with_variant(sa.BigInteger, "postgresql")


def upgrade() -> None:
    """Make the tables that will take the place of `answer` and `region`."""
    op.create_table(
        "answer_new",
        sa.Column("id", _id, primary_key=True),
        sa.Column("request_id", sa.Text, sa.ForeignKey("request.id")),
        sa.Column("run", sa.Text, sa.ForeignKey("run.id")),
        sa.Column("query", sa.Integer),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("project", sa.Integer),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("expression", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("is_guess", sa.Boolean),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("is_calibrated", sa.Boolean),
        sa.Column("encode_fp", sa.Text, nullable=False),
        sa.Column("image_sha256", sa.Text, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("candidates", sa.LargeBinary, nullable=False),
        sa.Column("selected", sa.JSON, nullable=False),
        sa.Column("others", sa.JSON),
        sa.Column("repeats", sa.Integer),
        sa.Column("reading", sa.JSON),
        sa.CheckConstraint("(request_id IS NULL) <> (run IS NULL)", name="answer_has_one_origin"),
    )
    op.create_table(
        "region_new",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("answer_id", _id, sa.ForeignKey("answer_new.id"), nullable=False),
        sa.Column("candidate_rank", sa.Integer, nullable=False),
        sa.Column("from_name", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
    )
    op.create_index("answer_new_by_request", "answer_new", ["request_id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("region_new")
    op.drop_table("answer_new")
