"""The tables of the database. A change here needs a migration; a test compares the two.

Every column that holds a person, or JSON, says so (`info`); another test looks for those that do not.
"""

import sqlalchemy as sa

from backend.db.candidates import Candidates

PERSON = {"person": "number"}
"""Of a column: it holds the number of a user of Label Studio. `ris corrections pseudonymise` changes it."""
PEOPLE_INSIDE = {"person": "inside"}
"""It holds Label Studio's JSON, in which users may be named."""
NAMES_INSIDE = {"person": "names"}
"""It holds the data of a task: its numbers are the project's own, but a user's e-mail address may stand there."""
NOBODY = {"person": "nobody"}
"""It holds our own JSON, which names no user of Label Studio."""

metadata = sa.MetaData()
_id = sa.Integer().with_variant(sa.BigInteger, "postgresql")

request = sa.Table(
    "request",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("project", sa.Integer),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("prompt_id", sa.Text),
    sa.Column("user", sa.Integer, info=PERSON),
    sa.Column("body", sa.JSON, nullable=False, info=PEOPLE_INSIDE),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("answer", sa.JSON(none_as_null=True), info=NOBODY),
    sa.Column("finished_at", sa.Double),
    sa.Column("message", sa.JSON(none_as_null=True), info=NOBODY),
    sa.Index("request_by_task", "project", "task", "state"),
    sa.Index("request_by_state", "state", "expires_at"),
)
prompt = sa.Table(
    "prompt",
    metadata,
    sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("prompt_id", sa.Text, primary_key=True),
    sa.Column("texts", sa.JSON, nullable=False, info=NOBODY),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("told", sa.JSON(none_as_null=True), info=NOBODY),
)
standing = sa.Table(
    "standing",
    metadata,
    sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("prompt_id", sa.Text, primary_key=True),
    sa.Column("user", sa.Integer, info=PERSON),
    sa.Column("draft", sa.Text),
    sa.Column("offer", sa.JSON, nullable=False, info=NOBODY),
    sa.Column("updated_at", sa.Double, nullable=False),
)
answer = sa.Table(
    "answer",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("request_id", sa.Text, sa.ForeignKey("request.id"), index=True),
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
    sa.Column("candidates", Candidates, nullable=False),
    sa.Column("selected", sa.JSON, nullable=False, info=NOBODY),
    sa.Column("others", sa.JSON, info=NOBODY),
    sa.Column("repeats", sa.Integer),
    sa.Column("reading", sa.JSON(none_as_null=True), info=NOBODY),
    sa.CheckConstraint("(request_id IS NULL) <> (run IS NULL)", name="answer_has_one_origin"),
    sa.Index("answer_by_task", "project", "task"),
    sa.Index("answer_by_run", "run", "task", "query"),
)
"""Answers to expressions, of annotators' requests and of runs. `query` is the number of a run's query in its item."""
region = sa.Table(
    "region",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("answer_id", _id, sa.ForeignKey("answer.id"), nullable=False, index=True),
    sa.Column("candidate_rank", sa.Integer, nullable=False),
    sa.Column("from_name", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
)
webhook = sa.Table(
    "webhook",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("received_at", sa.Double, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("project", sa.Integer),
    sa.Column("body", sa.Text, nullable=False, info=PEOPLE_INSIDE),
    sa.Column("read_at", sa.Double),
    sa.Column("problem", sa.Text),
    sa.Index(
        "webhook_unread", "id", sqlite_where=sa.text("read_at IS NULL"), postgresql_where=sa.text("read_at IS NULL")
    ),
)
row_count = sa.Table(
    "row_count",
    metadata,
    *(sa.Column(name, sa.Text, primary_key=True) for name in ("source", "name", "detail")),
    sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)
"""Rows of other tables, by what they are counted by. Triggers keep it (migration 0011); the shards of a key add up to its number."""
connection = sa.Table(
    "connection",
    metadata,
    sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hostname", sa.Text),
    sa.Column("access_token", sa.Text),
    sa.Column("label_config", sa.Text, nullable=False),
    sa.Column("extra_params", sa.JSON, nullable=False, info=NOBODY),
    sa.Column("updated_at", sa.Double, nullable=False),
)
default_profile = sa.Table(
    "default_profile",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
"""One row: the profile that answers where RIS_PROFILE names none."""
encoding_time = sa.Table(
    "encoding_time",
    metadata,
    *(sa.Column(name, sa.Text, primary_key=True) for name in ("profile", "machine", "device")),
    sa.Column("median_s", sa.Double, nullable=False),
    sa.Column("images", sa.Integer, nullable=False),
)
"""What encoding an image took last, on each machine that workers ran on."""
image_source = sa.Table(
    "image_source",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("image_sha256", sa.Text, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("fetched_at", sa.Double, nullable=False),
)
