"""A small stand-in for Label Studio's tasks and predictions, that answers as 1.23.2 does, and can be made to fail."""

import itertools
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from tests.backend.stand_in import Answer, Call, error, missing, recorded, route
from tests.backend.stand_in_tasks import Row, TaskRoutes

PROJECT = 3
CONFIG = """<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image" smart="false">
  <Label value="Red"/><Label value="Blue"/></BrushLabels></View>"""


class FakeStudio(TaskRoutes):
    """One project.

    Attributes:
        views: Projects by the ids of their views, which choose all tasks.
        tasks: Data by id.
        predictions: As they were made, with ids.
        annotations: By task.
        outage: Status that everything is answered with; None if all is well.
        forgets: Answers to imports are 500 although they were carried out.
        drops: Tasks whose predictions are dropped without a word.
        loses: After each import somebody else deletes the oldest prediction.
        imports: How many predictions each request for an import held.
    """

    def __init__(self) -> None:
        super().__init__(PROJECT, CONFIG)
        self.views = {7: PROJECT, 8: PROJECT + 1}
        self.tasks: dict[int, dict[str, Any]] = {}
        self.predictions: list[dict[str, Any]] = []
        self.annotations: dict[int, list[dict[str, Any]]] = {}
        self.outage: int | None = None
        self.forgets = False
        self.drops: set[int] = set()
        self.loses = False
        self.imports: list[int] = []
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def __call__(self, request: SimpleNamespace) -> tuple[int, dict[str, str], bytes]:
        if len(request.body) < int(request.headers.get("Content-Length") or 0):
            return 400, {}, b""  # the sender went away
        if self.outage:
            return self.outage, {}, json.dumps({"detail": "out of order"}).encode()
        with self._lock:
            return super().__call__(request)

    def of(self, task: int) -> list[dict[str, Any]]:
        """A task's predictions."""
        return [prediction for prediction in self.predictions if prediction["task"] == task]

    def task_rows(self) -> Iterator[Row]:
        for id, data in list(self.tasks.items()):
            yield Row(id, data, self.annotations.get(id, []), self.of(id))

    @route("PATCH", "/api/projects/{}/", 200, 400)
    def _change_project(self, call: Call, _project: str) -> Answer:
        version = call.body.get("model_version")
        if version and version not in {prediction["model_version"] for prediction in self.predictions}:
            why = "Model version doesn't exist either as live model or as static predictions."
            return error(400, "Validation error", validation_errors={"model_version": [why]})
        self.project |= call.body
        return self._project(call, str(self.project["id"]))

    @route("GET", "/api/projects/{}/model-versions/", 200)
    def _versions(self, _call: Call, _project: str) -> Answer:
        return 200, self.count_versions(one["model_version"] for one in self.predictions if one["task"] in self.tasks)

    @route("POST", "/api/projects/{}/import/predictions", 201, 400, 500)
    def _import(self, call: Call, _project: str) -> Answer:
        self.imports.append(len(call.body))
        if gone := [one for one in call.body if one["task"] not in self.tasks]:
            why = f'{gone[0]} contains invalid "task" field: corresponding task ID couldn\'t be retrieved from project'
            return error(400, "Validation error", validation_errors={"non_field_errors": [why]})
        kept = [one for one in call.body if one["task"] not in self.drops]
        for one in kept:
            self.predictions.append({"id": next(self._ids), **one})
        if self.loses:
            self.predictions = self.predictions[1:]
        return error(500, "out of order") if self.forgets else (201, {"created": len(kept)})

    @route("GET", "/api/dm/views/{}/", 200, 404)
    def _view(self, _call: Call, view: str) -> Answer:
        project = self.views.get(int(view))
        return (200, recorded("view", id=int(view), project=project)) if project else missing("View")

    @route("DELETE", "/api/predictions/{}/", 204, 404)
    def _delete_prediction(self, _call: Call, prediction: str) -> Answer:
        kept = [one for one in self.predictions if one["id"] != int(prediction)]
        found = len(kept) < len(self.predictions)
        self.predictions = kept
        return (204, None) if found else missing("Prediction")
