"""A stand-in for the part of Label Studio 1.23.2's API that lists tasks, with the filters and orders that are asked for."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from tests.backend.corrections.made import CONFIG
from tests.backend.stand_in import recorded
from tests.backend.stand_in_tasks import Row, TaskRoutes


class FakeTasks(TaskRoutes):
    """Tasks with their annotations, told of what happens by the same events that a webhook brings.

    Attributes:
        tasks: By id: data, annotations and the time of the latest change.
        predictions: By id.
        asked: Paths that were asked for.
    """

    def __init__(self, project: int, label_config: str = CONFIG) -> None:
        super().__init__(project, label_config)
        self.tasks: dict[int, dict[str, Any]] = {}
        self.predictions: dict[int, dict[str, Any]] = {}
        self.asked: list[str] = []

    def happen(self, body: dict[str, Any]) -> None:
        """Change as Label Studio did before it sent this."""
        tasks = body.get("task") or []
        for task in tasks if isinstance(tasks, list) else [tasks]:
            self.tasks.setdefault(task["id"], {"annotations": []}).update(task)
        saved = body.get("annotation") or []
        for one in saved if isinstance(saved, list) else [saved]:
            kept = [old for old in self.tasks[one["task"]]["annotations"] if old["id"] != one["id"]]
            self.tasks[one["task"]]["annotations"] = [*kept, one]
            self.tasks[one["task"]].setdefault("updated_at", one["updated_at"])
            self.tasks[one["task"]]["updated_by"] = [{"user_id": 1}]
        gone = {one["id"] for one in body.get("annotations", [])}
        for task in self.tasks.values():
            left = [one for one in task["annotations"] if one["id"] not in gone]
            if len(left) < len(task["annotations"]):
                task |= {"annotations": left, "updated_at": max(body["project"]["updated_at"], task["updated_at"])}
        for task in body.get("tasks", []):
            if body["action"] == "TASKS_DELETED":
                self.tasks.pop(task["id"], None)

    def __call__(self, request: SimpleNamespace) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(request.path)
        return super().__call__(request)

    def task_rows(self) -> Iterator[Row]:
        for id, task in list(self.tasks.items()):
            annotations = [_listed("annotation", one) for one in task["annotations"]]
            of_task = [one for one in self.predictions.values() if int(one["task"]) == id]
            predictions = [_listed("prediction", one) for one in of_task]
            updated_at, is_touched = task.get("updated_at"), bool(task.get("updated_by"))
            yield Row(id, task.get("data", {}), annotations, predictions, updated_at, is_touched)


def _listed(kind: str, one: Mapping[str, Any]) -> dict[str, Any]:
    """Events have fields of their own, which lists do not have."""
    return {name: value for name, value in one.items() if name in recorded(kind)}
