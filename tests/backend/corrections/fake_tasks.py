"""A stand-in for the part of Label Studio 1.23.2's API that lists tasks, with the filters and orders that are asked for."""

import json
from datetime import datetime
from operator import eq, gt
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.backend.corrections.made import CONFIG

CHARACTERS = 500
"""After these, columns of lists are cut."""


class FakeTasks:
    """Tasks with their annotations, told of what happens by the same events that a webhook brings.

    Attributes:
        tasks: By id, as `/api/tasks?fields=all` has them.
        predictions: By id.
        asked: Paths that were asked for.
        largest_page: Tasks of one answer at most, as TASK_API_PAGE_SIZE_MAX sets it.
    """

    def __init__(self, project: int, label_config: str = CONFIG) -> None:
        self.project, self.label_config = project, label_config
        self.tasks: dict[int, dict[str, Any]] = {}
        self.predictions: dict[int, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.largest_page = 10_000

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
            is_own = int(rest[0]) == self.project
            return (200, {"id": self.project, "label_config": self.label_config}) if is_own else _missing("Project")
        if kind == "predictions":
            found = self.predictions.get(int(rest[0]))
            return (200, found) if found else _missing("Prediction")
        if kind == "annotations":
            saved = [one for task in self.tasks.values() for one in task["annotations"] if one["id"] == int(rest[0])]
            return (200, saved[0]) if saved else _missing("Annotation")
        if rest:
            found = self.tasks.get(int(rest[0]))
            return (200, self._show(found, "all")) if found else _missing("Task")
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        return 200, self._list(json.loads(asked["query"]), int(asked["page_size"]), asked)

    def _list(self, query: dict[str, Any], size: int, asked: dict[str, str]) -> dict[str, Any]:
        [order] = query["ordering"]
        key = order.removeprefix("-").removeprefix("tasks:")
        found = sorted(self.tasks.values(), key=lambda task: task[key], reverse=order.startswith("-"))
        for condition in query.get("filters", {}).get("items", []):
            name = condition["filter"].removeprefix("filter:tasks:")
            if name == "updated_at":  # without a fraction of a second the real one answers 500
                datetime.strptime(condition["value"], "%Y-%m-%dT%H:%M:%S.%fZ")
            is_wanted = {"greater": gt, "equal": eq}[condition["operator"]]
            found = [task for task in found if is_wanted(task[name], condition["value"])]
        shown = [self._show(task, asked.get("fields")) for task in found[: min(size, self.largest_page)]]
        if "include" in asked:
            included = asked["include"].split(",")
            shown = [{name: task[name] for name in included if name in task} for task in shown]
        return {"tasks": shown, "total": len(found)}

    def _show(self, task: dict[str, Any], fields: str | None) -> dict[str, Any]:
        skipped = sum(one["was_cancelled"] for one in task["annotations"])
        counts = {"total_annotations": len(task["annotations"]) - skipped, "cancelled_annotations": skipped}
        about = {"project": self.project, **task, **counts, "annotations_ids": ""}
        if fields != "all":
            return {name: value for name, value in about.items() if name != "annotations"}
        predictions = [dict(one) for one in self.predictions.values() if one["task"] == task["id"]]
        ids = ",".join(str(one["id"]) for one in task["annotations"])[:CHARACTERS]
        return {**about, "annotations_ids": ids, "predictions": predictions}


def _missing(what: str) -> tuple[int, dict[str, Any]]:
    return 404, {"status_code": 404, "detail": f"No {what} matches the given query."}
