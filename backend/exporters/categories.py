"""The categories of a data set: one table for all its files."""

import json
from collections.abc import Iterable

import sqlalchemy as sa

from backend.db.correction_tables import annotation_version, outcome
from backend.db.run_tables import run
from backend.db.tables import connection, request, webhook
from backend.label_studio.annotation_layout import read_layout
from ris_core.output.plain_text import whole

UNLABELLED = "unlabelled"
"""Category of regions without a label."""


class Categories:
    """Categories and their ids, counted from 1.

    Args:
        labels: The first ones, in order. Others are added as they come.
    """

    def __init__(self, labels: Iterable[str] = ()) -> None:
        self._ids = {label: number for number, label in enumerate(dict.fromkeys(map(whole, filter(None, labels))), 1)}

    def id_of(self, label: str) -> int:
        """The id of a label's category; of regions without a label for an empty one."""
        return self._ids.setdefault(whole(label), len(self._ids) + 1)

    def list_names(self) -> list[str]:
        """All names in the order of their ids. Regions without a label are never in the category of a label."""
        taken, unlabelled = {label.casefold() for label in self._ids}, UNLABELLED
        while unlabelled in taken:
            unlabelled += "_"
        return [label or unlabelled for label in self._ids]


def read_labels(db: sa.Connection, project: int) -> list[str]:
    """The labels of a project: those of its label config in its order, then others that regions have, sorted."""
    configured = list(read_layout(_read_label_config(db, project)).labels)
    of_regions = sa.select(outcome.c.label).join(annotation_version, annotation_version.c.id == outcome.c.version_id)
    used = set(db.scalars(of_regions.where(annotation_version.c.project == project).distinct()))
    return configured + sorted(used - set(configured) - {""})


def _read_label_config(db: sa.Connection, project: int) -> object:
    """The newest label config that is known: every event brings it, as do the connection, bulk runs and requests."""
    events = sa.select(webhook.c.body).where(webhook.c.project == project).order_by(webhook.c.id.desc()).limit(1)
    if body := db.scalar(events):
        about = json.loads(body)
        about = about.get("project") if isinstance(about, dict) else None
        if isinstance(about, dict) and about.get("label_config"):
            return about["label_config"]
    stored = sa.select(connection.c.label_config).where(connection.c.project == project)
    runs = sa.select(run.c.label_config).where((run.c.project == project) & run.c.label_config.is_not(None))
    for query in (stored, runs.order_by(run.c.created_at.desc()).limit(1)):
        if config := db.scalar(query):
            return config
    bodies = sa.select(request.c.body).where((request.c.project == project) & (request.c.state == "done"))
    body = db.scalar(bodies.order_by(request.c.created_at.desc()).limit(1))
    return body.get("label_config") if isinstance(body, dict) else None
