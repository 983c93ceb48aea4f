"""The tables of quality review. Decisions are only ever added: who changes one, or takes it back, adds another.

A change here needs a migration; a test compares the two.
"""

import sqlalchemy as sa

from backend.db.tables import PERSON, metadata

_id = sa.Integer().with_variant(sa.BigInteger, "postgresql")

review = sa.Table(
    "review",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("project", sa.Integer, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("mask_sha256", sa.Text, nullable=False),
    sa.Column("annotation", sa.BigInteger),
    sa.Column("version_id", _id),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("comment", sa.Text),
    sa.Column("reviewer", sa.BigInteger, info=PERSON),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("queue", sa.Text),
    sa.Column("probability", sa.Double),
    sa.Column("model_version", sa.Text),
    sa.Column("undoes", _id),
    sa.Index("review_by_task", "project", "task", "region", "mask_sha256"),
)
"""Decisions about a mask of a region. `version_id` is the `annotation_version` that was seen, which may be deleted since; `undoes` is the
decision that this one takes back."""
review_action = sa.Table(
    "review_action",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("project", sa.Integer, nullable=False),
    sa.Column("reviewer", sa.BigInteger, info=PERSON),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Index("review_action_by_project", "project", "target"),
)
"""What people did with more than a region: approvals in bulk, and runs, which are the `target`. Rows are only ever added."""
review_push = sa.Table(
    "review_push",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("project", sa.Integer, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("target", sa.BigInteger, nullable=False),
    sa.Column("sent_at", sa.Double, nullable=False),
    sa.Column("done_at", sa.Double),
    sa.Column("result", sa.Text),
    sa.Index("review_push_by_project", "project"),
)
"""Approvals that are, or were, written to Label Studio: `target` is the prediction that an annotation is made of, or the annotation that
is marked as ground truth. `id` is the annotation's `unique_id`, which Label Studio takes once."""
review_tab = sa.Table(
    "review_tab",
    metadata,
    sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tab", sa.Text, primary_key=True),
    sa.Column("view", sa.BigInteger, nullable=False),
)
"""Tabs of the Data Manager that were made here, by their names: `view` is Label Studio's id."""
listed_region = sa.Table(
    "listed_region",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("project", sa.Integer, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("annotation", sa.BigInteger),
    sa.Column("saved_at", sa.Double),
    sa.Column("mask_sha256", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("expression", sa.Text),
    sa.Column("probability", sa.Double),
    sa.Column("iou", sa.Double),
    sa.Column("model_version", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("decision", _id),
    sa.Column("first_look", sa.Text),
    sa.Column("audit_order", sa.Text, nullable=False),
    sa.Column("task_order", sa.Text, nullable=False),
    sa.Column("suspicion", sa.Double),
    sa.Column("suspicion_place", sa.Integer),
    sa.Column("suspicion_reason", sa.Text),
    sa.Index("listed_region_by_task", "project", "task", "region"),
    # What counts and sorts reads indexes alone: rows are wide.
    sa.Index("listed_region_in_order", "project", "task_order", "region"),
    sa.Index("listed_region_by_audit", "project", "audit_order", "probability", "first_look"),
    sa.Index(
        "listed_region_by_state",
        "project",
        "state",
        "probability",
        "iou",
        "first_look",
        "outcome",
        "model_version",
        "suspicion",
        "suspicion_place",
        "id",
    ),
    sa.Index(
        "listed_region_to_score",
        "project",
        sqlite_where=sa.text("suspicion IS NULL"),
        postgresql_where=sa.text("suspicion IS NULL"),
    ),
)
"""The regions of projects as they are now, with what was decided about each: made of the other tables, so that a page reads a page of
it. `decision` is the last row of `review` about the mask, `first_look` the state that was given when somebody first looked.
`suspicion` is the highest score, None until the region is scored, and `suspicion_place` how many regions have a higher one of its kind."""
to_list = sa.Table(
    "to_list",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("project", sa.Integer, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Index("to_list_by_project", "project", "task"),
)
"""Tasks whose regions changed since they were listed. Rows are added and, when the task is listed, deleted; none is shared, so writers do
not wait for each other."""
