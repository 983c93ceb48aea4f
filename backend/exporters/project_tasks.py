"""The tasks of a project that an export reads, from annotations, bulk runs, stored predictions and recorded requests."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.corrections.predicted_tasks import read_predicted_tasks
from backend.corrections.queries import by_task, is_newest
from backend.db.correction_tables import annotation_version, offered_prediction
from backend.db.run_tables import item, run
from backend.db.tables import answer, connection, request
from backend.exporters.request import ExportFilter
from ris_core.errors import BadInput

ROWS_AT_ONCE = 200
"""Rows in memory at a time."""


class ProjectTask(NamedTuple):
    """A task that an export reads.

    Attributes:
        address: Its image's address; None if the label config does not name the field.
        data: Its data in Label Studio, as far as it is known.
        annotators: Number of its annotators; 0 if only its prediction is exported.
    """

    task: str
    address: str | None
    data: Mapping[str, Any]
    annotators: int


def check_project_known(db: sa.Connection, project: int) -> None:
    """Check that a project was connected, or that anything of it was recorded.

    Raises:
        BadInput: If not.
    """
    for table in (annotation_version, offered_prediction, run, request, connection):
        if db.execute(sa.select(table.c.project).where(table.c.project == project).limit(1)).first():
            return
    raise BadInput(
        f"Nothing is known of project {project}.",
        "Check the number: the address of the project's page ends with it. `ris connect` connects a new project.",
    )


def list_tasks(db: sa.Connection, export_filter: ExportFilter) -> Iterator[ProjectTask]:
    """Every task from which something may be exported: annotated ones first, each part in the order of its ids."""
    annotated: set[str] = set()
    if export_filter.source != "predictions":
        for task in _annotated_tasks(db, export_filter.project):
            annotated.add(task.task)
            yield task
    if export_filter.source != "annotations":
        predicted = read_predicted_tasks(db, export_filter.project)
        for id in sorted(predicted.keys() - annotated, key=lambda id: (len(id), id)):
            yield ProjectTask(id, *predicted[id], annotators=0)


def read_image_hashes(db: sa.Connection, project: int) -> dict[str, str]:
    """sha256 of images by task, of those that a run or an answer has seen."""
    by_runs = sa.select(item.c.task, item.c.image_sha256).join(run, run.c.id == item.c.run)
    rows = db.execute(by_runs.where((run.c.project == project) & item.c.image_sha256.is_not(None)))
    hashes = {str(row.task): str(row.image_sha256) for row in rows}
    by_answers = sa.select(answer.c.task, answer.c.image_sha256).where(answer.c.project == project)
    return hashes | {row.task: row.image_sha256 for row in db.execute(by_answers.order_by(answer.c.id))}


def _annotated_tasks(db: sa.Connection, project: int) -> Iterator[ProjectTask]:
    columns = (annotation_version.c.task, annotation_version.c.image, annotation_version.c.task_data)
    rows = db.execution_options(yield_per=ROWS_AT_ONCE).execute(
        sa.select(*columns, annotation_version.c.annotator)
        .where((annotation_version.c.project == project) & is_newest())
        .order_by(*by_task(annotation_version.c.task), annotation_version.c.annotation)
    )
    for task, group in groupby(rows, key=lambda row: row.task):
        versions = list(group)
        annotators = len({version.annotator for version in versions})
        yield ProjectTask(task, versions[-1].image, versions[-1].task_data, annotators)
