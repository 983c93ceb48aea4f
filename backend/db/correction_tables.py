"""The tables of corrections. Facts are only ever added; outcomes are computed from them.

`to_judge` holds tasks whose outcomes are to be computed anew, as after an upgrade.

A change here needs a migration; a test compares the two.
"""

import sqlalchemy as sa

from backend.db.tables import NAMES_INSIDE, NOBODY, PERSON, metadata

_id = sa.Integer().with_variant(sa.BigInteger, "postgresql")

annotation_version = sa.Table(
    "annotation_version",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("annotation", sa.BigInteger, nullable=False),
    sa.Column("project", sa.Integer, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("annotator", sa.BigInteger, info=PERSON),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("lead_time_s", sa.Double),
    sa.Column("was_cancelled", sa.Boolean, nullable=False),
    sa.Column("is_reviewed", sa.Boolean, nullable=False),
    sa.Column("parent_prediction", sa.BigInteger),
    sa.Column("task_data", sa.JSON, nullable=False, info=NAMES_INSIDE),
    sa.Column("image", sa.Text),
    sa.Column("regions", sa.JSON, nullable=False, info=NOBODY),
    sa.Column("texts", sa.JSON, nullable=False, info=NOBODY),
    sa.Column("problems", sa.JSON(none_as_null=True), info=NOBODY),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.UniqueConstraint("annotation", "updated_at", name="annotation_version_once"),
    sa.Index("annotation_version_by_task", "project", "task"),
)
annotation_deleted = sa.Table(
    "annotation_deleted",
    metadata,
    sa.Column("annotation", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
)
offered_prediction = sa.Table(
    "offered_prediction",
    metadata,
    sa.Column("prediction", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("project", sa.Integer, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("regions", sa.JSON, nullable=False, info=NOBODY),
    sa.Column("task_data", sa.JSON, nullable=False, info=NAMES_INSIDE),
    sa.Column("image", sa.Text),
    sa.Index("offered_prediction_by_task", "project", "task"),
)
outcome = sa.Table(
    "outcome",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("version_id", _id, sa.ForeignKey("annotation_version.id"), nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("offered_region", sa.Text),
    sa.Column("offered_by", sa.Text),
    sa.Column("iou", sa.Double),
    sa.Column("boundary_iou", sa.Double),
    sa.Column("area_change", sa.Double),
    sa.Column("is_relabelled", sa.Boolean, nullable=False),
    sa.Column("is_reworded", sa.Boolean, nullable=False),
    sa.Column("is_refined", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("expression", sa.Text),
    sa.Column("score", sa.Double),
    sa.Column("model_version", sa.Text),
    sa.Column("mask", sa.JSON(none_as_null=True), info=NOBODY),
    sa.Column("offered_mask", sa.JSON(none_as_null=True), info=NOBODY),
    sa.UniqueConstraint("version_id", "region", name="outcome_once"),
)
poll = sa.Table(
    "poll",
    metadata,
    sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seen_until", sa.Text, nullable=False),
    sa.Column("reading", sa.Integer),
)
to_judge = sa.Table(
    "to_judge",
    metadata,
    sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("task", sa.Text, primary_key=True),
)
