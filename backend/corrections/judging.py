"""Computes the outcomes of tasks anew from their facts."""

from collections.abc import Mapping, Set
from typing import Any

import sqlalchemy as sa

from backend.corrections.facts import Task
from backend.corrections.offered_regions import OfferedRegionsOfTask
from backend.corrections.outcomes import judge
from backend.db.correction_tables import annotation_version, outcome
from backend.db.listing import note_tasks
from backend.label_studio.annotations import AnnotationVersion
from backend.label_studio.drawn_regions import DrawnRegion

# Module constants: each query runs for every event, and building it takes longer than running it.
_OF_TASK = (annotation_version.c.project == sa.bindparam("project")) & (
    annotation_version.c.task == sa.bindparam("task")
)
_VERSIONS = sa.select(annotation_version).where(_OF_TASK).order_by(annotation_version.c.updated_at)
_DELETE_OUTCOMES = sa.delete(outcome).where(
    outcome.c.version_id.in_(sa.select(annotation_version.c.id).where(_OF_TASK))
)


def judge_tasks(db: sa.Connection, tasks: Set[Task]) -> None:
    """Replace the outcomes of every version of every annotation of the tasks.

    All versions are judged anew, since a fact that arrives late changes what was offered for earlier and later ones.
    """
    note_tasks(db, sorted(tasks))
    for project, task in sorted(tasks):
        versions = _read_versions(db, project, task)
        offered = OfferedRegionsOfTask(db, project, task)
        db.execute(_DELETE_OUTCOMES, {"project": project, "task": task})
        rows = []
        for version_id, version in versions.items():
            others = [other for other_id, other in versions.items() if other_id != version_id]
            outcomes = judge(version, offered.offered_for(version, others))
            rows += [{**vars(result), "version_id": version_id} for result in outcomes]
        if rows:
            db.execute(sa.insert(outcome), rows)


def _read_versions(db: sa.Connection, project: int, task: str) -> dict[int, AnnotationVersion]:
    """Every version of every annotation of a task, by the id of its row."""
    rows = db.execute(_VERSIONS, {"project": project, "task": task}).mappings()
    return {row["id"]: _version(dict(row)) for row in rows}


def _version(row: Mapping[str, Any]) -> AnnotationVersion:
    fields = {name: row[name] for name in AnnotationVersion.__dataclass_fields__ if name in row}
    regions = tuple(DrawnRegion.from_json(region_json) for region_json in row["regions"])
    texts = tuple((id, tuple(entries)) for id, entries in row["texts"])
    return AnnotationVersion(**{**fields, "regions": regions, "texts": texts, "problems": tuple(row["problems"] or ())})
