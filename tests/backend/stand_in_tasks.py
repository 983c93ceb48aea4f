"""Tasks with their annotations and predictions, as a stand-in for Label Studio lists them."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from operator import eq, gt, le
from typing import Any, NamedTuple

from tests.backend.stand_in import Answer, Call, StandIn, error, missing, recorded, route

CHARACTERS = 500
"""After these, columns of lists are cut."""
LARGEST_PAGE = 10_000
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"greater": gt, "less_or_equal": le, "equal": eq}


class Row(NamedTuple):
    """A task.

    Attributes:
        annotations, predictions: With the fields that are set; the others are as in new ones.
        updated_at: Label Studio's time of its latest change; None if it does not matter.
        is_touched: Whether somebody saved something in it, that may be gone.
    """

    id: int
    data: Mapping[str, Any]
    annotations: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    updated_at: str | None = None
    is_touched: bool = False


class TaskRoutes(StandIn):
    """What tasks, annotations and predictions are asked by.

    Attributes:
        project: What it answers of its project, besides what all projects have.
        largest_page: Tasks of one answer at most, as TASK_API_PAGE_SIZE_MAX sets it.
    """

    largest_page = LARGEST_PAGE

    def __init__(self, project: int, label_config: str) -> None:
        super().__init__()
        self.project: dict[str, Any] = {"id": project, "label_config": label_config}

    def task_rows(self) -> Iterable[Row]:
        """Its tasks."""
        raise NotImplementedError

    @route("GET", "/api/projects/{}/", 200, 401, 404)
    def _project(self, _call: Call, project: str) -> Answer:
        if int(project) != self.project["id"]:
            return missing("Project")
        rows = list(self.task_rows())
        saved = [one for row in rows for one in row.annotations]
        counts = {
            "task_number": len(rows),
            "total_annotations_number": sum(not one.get("was_cancelled") for one in saved),
            "skipped_annotations_number": sum(bool(one.get("was_cancelled")) for one in saved),
            "total_predictions_number": sum(len(row.predictions) for row in rows),
            "num_tasks_with_annotations": sum(_is_labelled(row) for row in rows),
            "finished_task_number": sum(_is_labelled(row) for row in rows),
        }
        counts["useful_annotation_number"] = counts["total_annotations_number"]
        counts["queue_total"], counts["queue_done"] = len(rows), counts["finished_task_number"]
        return 200, {**recorded("project", **counts), **self.project}

    def count_versions(self, versions: Iterable[str]) -> dict[str, int]:
        """Predictions by version; the project's own version is there, even without any."""
        found = list(versions)
        own = [self.project["model_version"]] if self.project.get("model_version") else []
        return {version: found.count(version) for version in [*own, *found]}

    @route("GET", "/api/tasks/{}/", 200, 404)
    def _task(self, _call: Call, task: str) -> Answer:
        found = self._find(task)
        return (200, self._show(found, "task")) if found else missing("Task")

    @route("GET", "/api/tasks/{}/annotations/", 200, 404)
    def _annotations_of(self, _call: Call, task: str) -> Answer:
        found = self._find(task)
        return (200, [self._annotation(found, one) for one in found.annotations]) if found else missing("Task")

    @route("GET", "/api/annotations/{}/", 200, 404)
    def _an_annotation(self, _call: Call, annotation: str) -> Answer:
        for row in self.task_rows():
            for one in row.annotations:
                if one["id"] == int(annotation):
                    return 200, self._annotation(row, one)
        return missing("Annotation")

    @route("GET", "/api/predictions/{}/", 200, 404)
    def _a_prediction(self, _call: Call, prediction: str) -> Answer:
        for row in self.task_rows():
            for one in row.predictions:
                if one["id"] == int(prediction):
                    return 200, self._prediction(row, one)
        return missing("Prediction")

    @route("GET", "/api/predictions/", 200, 400)
    def _predictions_of(self, call: Call) -> Answer:
        found = self._find(call.query["task"])
        if found is None:
            choice = "Select a valid choice. That choice is not one of the available choices."
            return error(400, "Validation error", validation_errors={"task": [choice]})
        return 200, [self._prediction(found, one) for one in found.predictions]

    @route("GET", "/api/tasks", 200, 401, 404, 500)
    def _list(self, call: Call) -> Answer:
        asked, query = call.query, json.loads(call.query.get("query", "{}"))
        if int(asked["project"]) != self.project["id"]:
            return missing("Project")
        try:
            found = self._choose(query)
        except ValueError as wrong:
            return error(500, str(wrong))
        size = min(int(asked["page_size"]), self.largest_page)
        first = (int(asked.get("page", 1)) - 1) * size
        if first and first >= len(found):
            return error(404, "Invalid page.")
        kind = "listed task with all fields" if asked.get("fields") == "all" else "listed task"
        shown = [self._show(row, kind) for row in found[first : first + size]]
        if "include" in asked:
            included = asked["include"].split(",")
            shown = [{name: value for name, value in task.items() if name in included} for task in shown]
        sums = {
            "total": len(found),
            "total_annotations": sum(not one.get("was_cancelled") for row in found for one in row.annotations),
            "total_predictions": sum(len(row.predictions) for row in found),
        }
        return 200, recorded("list of tasks", tasks=shown, **sums)

    def _choose(self, query: Mapping[str, Any]) -> list[Row]:
        """The rows that a query of filters and an order asks for.

        Raises:
            ValueError: If a time has no fraction of a second.
        """
        found = list(self.task_rows())
        for condition in query.get("filters", {}).get("items", []):
            name, wanted = condition["filter"].removeprefix("filter:tasks:"), condition["value"]
            if name == "updated_at":
                datetime.strptime(wanted, "%Y-%m-%dT%H:%M:%S.%fZ")
            is_wanted = OPERATORS[condition["operator"]]
            found = [row for row in found if is_wanted(_column(row, name), wanted)]
        [order] = query.get("ordering", ["tasks:id"])
        name = order.removeprefix("-").removeprefix("tasks:")
        return sorted(found, key=lambda row: _column(row, name), reverse=order.startswith("-"))

    def _find(self, task: str) -> Row | None:
        return next((row for row in self.task_rows() if row.id == int(task)), None)

    def _show(self, row: Row, kind: str) -> dict[str, Any]:
        skipped = [one for one in row.annotations if one.get("was_cancelled")]
        own: dict[str, Any] = {
            "id": row.id,
            "inner_id": row.id,
            "data": dict(row.data),
            "project": self.project["id"],
            "cancelled_annotations": len(skipped),
            "total_annotations": len(row.annotations) - len(skipped),
            "total_predictions": len(row.predictions),
            "is_labeled": _is_labelled(row),
            "updated_by": [{"user_id": 1}] if row.annotations or row.is_touched else [],
        }
        if row.updated_at:
            own["updated_at"] = row.updated_at
        return recorded(kind, **own, **({} if kind == "listed task" else self._more(row, kind)))

    def _more(self, row: Row, kind: str) -> dict[str, Any]:
        """What a list has only with `fields=all`; without it, columns such as `annotations_ids` are there, but empty."""
        times = [one["lead_time"] for one in row.annotations if one.get("lead_time")]
        done = [one for one in row.annotations if not one.get("was_cancelled")]
        is_listed = kind != "task"
        return {
            "annotations": [self._annotation(row, one, is_listed) for one in row.annotations],
            "predictions": [self._prediction(row, one) for one in row.predictions],
            "annotators": [1] if row.annotations else [],
            "completed_at": self._annotation(row, done[-1])["created_at"] if done else None,
            "avg_lead_time": sum(times) / len(times) if times else None,
            "annotations_ids": _joined(str(one["id"]) for one in row.annotations),
            "predictions_model_versions": _joined({one["model_version"]: 1 for one in row.predictions}),
            "annotations_results": _joined(_text(one) for one in row.annotations) if is_listed else "",
            "predictions_results": _joined(_text(one) for one in row.predictions) if is_listed else "",
        }

    def _annotation(self, row: Row, one: Mapping[str, Any], is_listed: bool = True) -> dict[str, Any]:
        kind = "annotation" if is_listed else "annotation of a task"
        person = {} if is_listed else {"completed_by": recorded(kind)["completed_by"]}
        return recorded(kind, **{"project": self.project["id"], "task": row.id, **one, **person})

    def _prediction(self, row: Row, one: Mapping[str, Any]) -> dict[str, Any]:
        return recorded("prediction", **{"project": self.project["id"], "task": row.id, **one})


class UploadRoutes(StandIn):
    """Pictures that were uploaded; for one that is gone Label Studio answers 500."""

    def picture(self, name: str) -> bytes | None:
        """An uploaded picture."""
        raise NotImplementedError

    @route("GET", "/data/upload/{}/{}", 200, 401, 500)
    def _upload(self, _call: Call, _project: str, name: str) -> Answer:
        found = self.picture(name)
        return (200, found) if found else error(500, "'NoneType' object has no attribute 'has_permission'")


def _is_labelled(row: Row) -> bool:
    return any(not one.get("was_cancelled") for one in row.annotations)


def _column(row: Row, name: str) -> Any:
    return _is_labelled(row) if name == "is_labeled" else getattr(row, name)


def _joined(texts: Iterable[str]) -> str:
    return ",".join(texts)[:CHARACTERS]


def _text(one: Mapping[str, Any]) -> str:
    return json.dumps(one.get("result", [])).replace('"', "")
