"""Requests, answers as handed out, raw webhooks, connections and image sources."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.Integer().with_variant(sa.BigInteger, "postgresql")


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "request",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("project", sa.Integer),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("prompt_id", sa.Text),
        sa.Column("user", sa.Integer),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("answer", sa.JSON),
        sa.Column("finished_at", sa.Double),
    )
    op.create_index("request_by_task", "request", ["project", "task", "state"])
    op.create_index("request_by_state", "request", ["state", "expires_at"])
    op.create_table(
        "prompt",
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("prompt_id", sa.Text, primary_key=True),
        sa.Column("texts", sa.JSON, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.create_table(
        "answer",
        sa.Column("id", ID, primary_key=True),
        sa.Column("request_id", sa.Text, sa.ForeignKey("request.id"), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("project", sa.Integer),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("expression", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("encode_fp", sa.Text, nullable=False),
        sa.Column("image_sha256", sa.Text, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("candidates", sa.JSON, nullable=False),
        sa.Column("selected", sa.JSON, nullable=False),
    )
    op.create_index("ix_answer_request_id", "answer", ["request_id"])
    op.create_index("answer_by_task", "answer", ["project", "task"])
    op.create_table(
        "region",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("answer_id", ID, sa.ForeignKey("answer.id"), nullable=False),
        sa.Column("candidate_rank", sa.Integer, nullable=False),
        sa.Column("from_name", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
    )
    op.create_index("ix_region_answer_id", "region", ["answer_id"])
    op.create_table(
        "webhook",
        sa.Column("id", ID, primary_key=True),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("project", sa.Integer),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "connection",
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("hostname", sa.Text),
        sa.Column("access_token", sa.Text),
        sa.Column("label_config", sa.Text, nullable=False),
        sa.Column("extra_params", sa.JSON, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.create_table(
        "image_source",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("image_sha256", sa.Text, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("fetched_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop them all."""
    for table in ("image_source", "connection", "webhook", "region", "answer", "prompt", "request"):
        op.drop_table(table)
