"""A small stand-in for Label Studio's tasks and predictions, that answers as 1.23.2 does, and can be made to fail."""

import itertools
import json
import threading
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROJECT = 3
CONFIG = """<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image" smart="false">
  <Label value="Red"/><Label value="Blue"/></BrushLabels></View>"""


class FakeStudio:
    """One project.

    Attributes:
        tasks: Data by id.
        predictions: As they were made, with ids.
        annotations: By task.
        outage: Status that everything is answered with; None if all is well.
        forgets: Answers to imports are 500 although they were carried out.
        drops: Tasks whose predictions are dropped without a word.
        imports: How many predictions each request for an import held.
    """

    def __init__(self) -> None:
        self.tasks: dict[int, dict[str, Any]] = {}
        self.predictions: list[dict[str, Any]] = []
        self.annotations: dict[int, list[dict[str, Any]]] = {}
        self.project: dict[str, Any] = {"id": PROJECT, "label_config": CONFIG, "model_version": ""}
        self.outage: int | None = None
        self.forgets = False
        self.drops: set[int] = set()
        self.imports: list[int] = []
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def __call__(self, request: SimpleNamespace) -> tuple[int, dict[str, str], bytes]:
        if len(request.body) < int(request.headers.get("Content-Length") or 0):
            return 400, {}, b""  # the sender went away
        with self._lock:
            status, answer = self._answer(request)
        return status, {}, b"" if answer is None else json.dumps(answer).encode()

    def of(self, task: int) -> list[dict[str, Any]]:
        """A task's predictions."""
        return [prediction for prediction in self.predictions if prediction["task"] == task]

    def _answer(self, request: SimpleNamespace) -> tuple[int, Any]:
        url = urlsplit(request.path)
        if self.outage:
            return self.outage, {"detail": "out of order"}
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        kind, *rest = url.path.removeprefix("/api/").strip("/").split("/")
        body = json.loads(request.body) if request.body else None
        return getattr(self, f"_{kind}_{request.method.lower()}")(rest, asked, body)

    def _projects_get(self, rest: list[str], _asked: Any, _body: Any) -> tuple[int, Any]:
        if rest[1:] == ["model-versions"]:
            versions = [prediction["model_version"] for prediction in self.predictions]
            return 200, {version: versions.count(version) for version in versions}
        return (200, self.project) if int(rest[0]) == self.project["id"] else (404, {"detail": "No Project matches."})

    def _projects_patch(self, _rest: list[str], _asked: Any, body: Any) -> tuple[int, Any]:
        self.project |= body
        return 200, self.project

    def _projects_post(self, _rest: list[str], _asked: Any, body: Any) -> tuple[int, Any]:
        self.imports.append(len(body))
        if gone := [one["task"] for one in body if one["task"] not in self.tasks]:
            return 400, {"validation_errors": [f"task ID {gone[0]} not found in project"]}
        kept = [one for one in body if one["task"] not in self.drops]
        for one in kept:
            self.predictions.append({"id": next(self._ids), **one})
        return (500, {}) if self.forgets else (201, {"created": len(kept)})

    def _tasks_get(self, rest: list[str], asked: Any, _body: Any) -> tuple[int, Any]:
        if rest[1:] == ["annotations"]:
            return 200, self.annotations.get(int(rest[0]), [])
        if rest:
            return (200, {"id": int(rest[0])}) if int(rest[0]) in self.tasks else (404, {})
        query = json.loads(asked["query"])
        for condition in query["filters"]["items"]:
            assert condition["filter"] in ("filter:tasks:id", "filter:tasks:is_labeled")
        bounds = {c["operator"]: c["value"] for c in query["filters"]["items"] if c["filter"] == "filter:tasks:id"}
        ids = [i for i in sorted(self.tasks) if bounds["greater"] < i <= bounds.get("less_or_equal", i)]
        if any(condition["filter"] == "filter:tasks:is_labeled" for condition in query["filters"]["items"]):
            ids = [i for i in ids if not self.annotations.get(i)]
        page = [{"id": i, "data": self.tasks[i], "project": PROJECT} for i in ids[: int(asked["page_size"])]]
        return 200, {"tasks": page, "total": len(ids)}

    def _dm_get(self, rest: list[str], _asked: Any, _body: Any) -> tuple[int, Any]:
        """Views: 7 is of the project, 8 of another one."""
        views = {"7": {"id": 7, "project": PROJECT}, "8": {"id": 8, "project": PROJECT + 1}}
        return (200, views[rest[1]]) if rest[1] in views else (404, {"detail": "No View matches."})

    def _predictions_get(self, _rest: list[str], asked: Any, _body: Any) -> tuple[int, Any]:
        return 200, self.of(int(asked["task"]))

    def _predictions_delete(self, rest: list[str], _asked: Any, _body: Any) -> tuple[int, Any]:
        kept = [one for one in self.predictions if one["id"] != int(rest[0])]
        found = len(kept) < len(self.predictions)
        self.predictions = kept
        return (204, None) if found else (404, {})
