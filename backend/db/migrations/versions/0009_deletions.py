"""Deletions belong to a project, and those that were guessed go.

Until now every annotation was marked as deleted, with source "api", that Label Studio did not list, and it listed none: true ones
and false ones cannot be told apart. The next look at a project finds the true ones again; for that it looks at all of it.
Copies of what was offered were accepted and rejected at once: their tasks wait to be judged again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KEPT = """
    INSERT INTO annotation_deleted_new (annotation, project, source, seen_at)
    SELECT annotation, known, source, seen_at FROM (
        SELECT annotation, source, seen_at, coalesce(
            project, (SELECT max(v.project) FROM annotation_version v WHERE v.annotation = old.annotation)
        ) AS known FROM annotation_deleted AS old WHERE source <> 'api'
    ) AS kept WHERE known IS NOT NULL
"""
LOOK_AT_ALL = """
    DELETE FROM poll WHERE EXISTS (
        SELECT 1 FROM annotation_deleted AS old
        WHERE old.source = 'api' AND (old.project IS NULL OR old.project = poll.project)
    )
"""
COPIES = """
    INSERT INTO to_judge (project, task)
    SELECT DISTINCT v.project, v.task FROM annotation_version AS v
    JOIN outcome AS kept ON kept.version_id = v.id AND kept.outcome = 'accepted' AND kept.model_version = ''
    JOIN outcome AS lost ON lost.version_id = v.id AND lost.outcome = 'rejected'
"""


def upgrade() -> None:
    """Make the table anew, and note what to look at again."""
    _make(is_of_project=True)
    op.create_table(
        "to_judge",
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("task", sa.Text, primary_key=True),
    )
    for statement in (KEPT, LOOK_AT_ALL, COPIES):
        op.execute(statement)
    _take()


def downgrade() -> None:
    """Forget the projects of deletions."""
    op.drop_table("to_judge")
    _make(is_of_project=False)
    op.execute(
        "INSERT INTO annotation_deleted_new SELECT annotation, max(project), max(source), max(seen_at) "
        "FROM annotation_deleted GROUP BY annotation"
    )
    _take()


def _make(is_of_project: bool) -> None:
    op.create_table(
        "annotation_deleted_new",
        sa.Column("annotation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("project", sa.Integer, primary_key=is_of_project, nullable=not is_of_project, autoincrement=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
    )


def _take() -> None:
    op.drop_table("annotation_deleted")
    op.rename_table("annotation_deleted_new", "annotation_deleted")
