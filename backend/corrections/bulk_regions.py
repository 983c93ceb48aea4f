"""The regions of bulk runs and of stored predictions for one task, as `OfferedRegion`."""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from backend.corrections.answer_regions import read_regions
from backend.corrections.outcomes import OfferedRegion
from backend.db.correction_tables import offered_prediction
from backend.db.run_tables import answered_by, item, run
from backend.label_studio.drawn_regions import DrawnRegion
from backend.label_studio.label_config import read_config
from backend.runs.answers import list_handed_out, make_regions, version_of
from backend.runs.item import RunItem, read_answered
from backend.runs.spec import MAX_TOP_K

# Module constants: each query runs for every event, and building it takes longer than running it.
_TASK: sa.BindParameter[Any] = sa.bindparam("task")
_PROJECT: sa.BindParameter[Any] = sa.bindparam("project")
_ITEMS = (
    sa.select(item, answered_by().label("answered_by"), run.c.label_config)
    .join(run, run.c.id == item.c.run)
    .where((run.c.project == _PROJECT) & (item.c.task == _TASK) & (item.c.state == "done"))
    .order_by(item.c.finished_at, item.c.run)
)
_PREDICTIONS = sa.select(offered_prediction).where(
    (offered_prediction.c.project == _PROJECT) & (offered_prediction.c.task == _TASK)
)


def read_run_regions(db: sa.Connection, project: int, task: str) -> Iterator[tuple[OfferedRegion, str]]:
    """Regions that bulk runs offered, and for each the name of the prediction that it belongs to."""
    if not task.isdecimal():  # runs plan tasks by number; other ids come from tests and imports
        return
    rows = db.execute(_ITEMS, {"project": project, "task": int(task)}).mappings().all()
    for row, run_item in zip(rows, read_answered(db, rows), strict=True):
        yield from _run_regions(row, run_item)


def read_prediction_regions(db: sa.Connection, project: int, task: str) -> dict[int, list[OfferedRegion]]:
    """The regions of stored predictions, by Label Studio's id of the prediction."""
    rows = db.execute(_PREDICTIONS, {"project": project, "task": task}).mappings()
    return {row["prediction"]: list(_prediction_regions(dict(row))) for row in rows}


def _run_regions(row: Mapping[Any, Any], run_item: RunItem) -> Iterator[tuple[OfferedRegion, str]]:
    """Regions of one item; those of further candidates name the first choice of their query."""
    control = read_config(row["label_config"] or "").controls[0]
    entries = list_handed_out(run_item, MAX_TOP_K)
    # a polygon or a box is an approximation of the candidate's mask, so what was written is read back
    read_back = {} if control.kind == "brush" else read_regions(make_regions(run_item, control, entries))
    first_choice = {entry.query: entry.region for entry in reversed(entries) if entry.rank == 1}
    for entry in entries:
        answer = run_item.answers[entry.query]
        candidate = answer.candidates[entry.candidate]
        others = [other["mask"] for i, other in enumerate(answer.candidates) if i not in answer.selected]
        region = OfferedRegion(
            region=entry.region,
            by="bulk",
            query=f"run {run_item.run} {entry.query}",
            label=answer.label,
            expression=answer.expression,
            score=float(candidate["score"]),
            model_version=version_of(row["answered_by"] or "", entry.rank),
            mask=read_back[entry.region].mask if entry.region in read_back else candidate["mask"],
            at=row["finished_at"] or 0.0,
            candidates=tuple(others) if entry.rank == 1 else (),
            instead_of=first_choice.get(entry.query) if entry.rank > 1 else None,
        )
        yield region, f"run {run_item.run}" if entry.rank == 1 else f"run {run_item.run} candidate {entry.rank}"


def _prediction_regions(row: Mapping[str, Any]) -> Iterator[OfferedRegion]:
    for region in map(DrawnRegion.from_json, row["regions"]):
        yield OfferedRegion(
            region=region.id,
            by="bulk",
            query=f"prediction {row['prediction']} {region.expression or region.id}",
            label=region.label,
            expression=region.expression or "",
            score=region.score,
            model_version=row["model_version"],
            mask=region.mask,
            at=row["created_at"],
        )
