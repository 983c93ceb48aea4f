"""The tasks that have a prediction: of a bulk run, stored in Label Studio, or made when they were opened."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from backend.db.correction_tables import offered_prediction
from backend.db.run_tables import item, run
from backend.db.tables import request
from backend.label_studio.annotation_layout import read_layout


def read_predicted_tasks(
    db: sa.Connection, project: int, task: str | None = None
) -> dict[str, tuple[str | None, Mapping[str, Any]]]:
    """Image address and data by task, of tasks with a prediction.

    Args:
        task: Only of this task; of all if None.
    """
    tasks: dict[str, tuple[str | None, Mapping[str, Any]]] = {}
    items = sa.select(item.c.task, item.c.image).join(run, run.c.id == item.c.run)
    items = items.where((run.c.project == project) & (item.c.state == "done"))
    predictions = sa.select(offered_prediction.c.task, offered_prediction.c.image, offered_prediction.c.task_data)
    predictions = predictions.where(offered_prediction.c.project == project)
    # a prediction that was made while the task was opened is only in the request: Label Studio does not report its id
    opened = sa.select(request.c.task, request.c.body).where(
        (request.c.project == project) & (request.c.kind == "open") & (request.c.state == "done")
    )
    if task is not None:
        items = items.where(item.c.task == int(task) if task.isdecimal() else sa.false())
        predictions = predictions.where(offered_prediction.c.task == task)
        opened = opened.where(request.c.task == task)
    for number, image in db.execute(items):
        tasks[str(number)] = image, {}
    for name, image, data in db.execute(predictions):
        tasks[name] = image, data
    for name, body in db.execute(opened):
        if name not in tasks:
            layout = read_layout(body.get("label_config"))
            tasks[name] = layout.image_of(body.get("data") or {}), body["data"]
    return tasks
