"""Where the record of a project stood when a data set was made from it."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from backend.db.correction_tables import annotation_deleted, annotation_version, offered_prediction
from backend.db.review_tables import review
from backend.db.tables import answer
from backend.exporters.request import ExportFilter
from backend.label_studio.protocol import Json

ROWS_AT_ONCE = 1000
"""Rows in memory at a time."""


def read_position(db: sa.Connection, export_filter: ExportFilter) -> Json:
    """Number of facts of each kind, the newest change, and a digest of what identifies each fact.

    It does not depend on the order in which facts arrived, so two databases with the same facts are at the same position.
    Answers count only where predictions are exported.
    """
    project, digest = export_filter.project, hashlib.sha256()
    facts: dict[str, tuple[sa.Column[Any], ...]] = {
        "annotation_versions": (annotation_version.c.annotation, annotation_version.c.updated_at),
        "deleted_annotations": (annotation_deleted.c.annotation,),
        "predictions": (offered_prediction.c.prediction,),
        "review_decisions": (review.c.at, review.c.task, review.c.region, review.c.state),
    }
    if export_filter.source != "annotations":
        facts["answers"] = (answer.c.id,)
    counts = {name: _add(db, digest, name, columns, project) for name, columns in facts.items()}
    newest = db.scalar(
        sa.select(sa.func.max(annotation_version.c.updated_at)).where(annotation_version.c.project == project)
    )
    newest_text = None if newest is None else datetime.fromtimestamp(newest, UTC).isoformat()
    return {"project": project, **counts, "newest_annotation": newest_text, "sha256": digest.hexdigest()}


def _add(db: sa.Connection, digest: Any, name: str, columns: tuple[sa.Column[Any], ...], project: int) -> int:
    """Add the facts of a kind to a digest; their number."""
    table = columns[0].table
    rows = db.execution_options(yield_per=ROWS_AT_ONCE).execute(
        sa.select(*columns).where(table.c.project == project).order_by(*columns)
    )
    count = 0
    for row in rows:
        digest.update(f"{name} {' '.join(map(repr, row))}\n".encode())
        count += 1
    return count
