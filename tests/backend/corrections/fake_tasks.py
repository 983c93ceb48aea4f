"""A stand-in for the part of Label Studio 1.23.2's API that lists tasks, with the filters and orders that are asked for."""

import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.backend.corrections.made import CONFIG


class FakeTasks:
    """Tasks with their annotations, told of what happens by the same events that a webhook brings.

    Attributes:
        tasks: By id, as `/api/tasks?fields=all` has them.
        predictions: By id.
        asked: Paths that were asked for.
    """

    def __init__(self, project: int, label_config: str = CONFIG) -> None:
        self.project, self.label_config = project, label_config
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
        status, answer = self._answer(request.path)
        return status, {}, json.dumps(answer).encode()

    def _answer(self, path: str) -> tuple[int, Any]:
        url = urlsplit(path)
        kind, *rest = url.path.removeprefix("/api/").strip("/").split("/")
        if kind == "projects":
            return 200, {"id": self.project, "label_config": self.label_config}
        if kind == "predictions":
            found = self.predictions.get(int(rest[0]))
            return (200, found) if found else (404, {"detail": "No Prediction matches"})
        if rest:
            return 200, self.tasks[int(rest[0])]
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        return 200, {"tasks": self._list(json.loads(asked["query"]), int(asked["page_size"]), asked)}

    def _list(self, query: dict[str, Any], size: int, asked: dict[str, str]) -> list[dict[str, Any]]:
        [order] = query["ordering"]
        key = order.removeprefix("-").removeprefix("tasks:")
        found = sorted(self.tasks.values(), key=lambda task: task[key], reverse=order.startswith("-"))
        for condition in query.get("filters", {}).get("items", []):
            assert condition["operator"] == "greater"
            name = condition["filter"].removeprefix("filter:tasks:")
            found = [task for task in found if task[name] > condition["value"]]
        if "include" in asked:
            ids = ((task["id"], ",".join(str(one["id"]) for one in task["annotations"])) for task in found)
            return [{"id": task, "annotations_ids": annotations} for task, annotations in ids][:size]
        predictions = [dict(one) for one in self.predictions.values()]
        return [{**task, "predictions": [p for p in predictions if p["task"] == task["id"]]} for task in found[:size]]
