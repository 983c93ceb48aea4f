"""What bulk runs ask of Label Studio's API: a project's tasks, and the predictions that tasks have and are given."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from backend.base.errors import Unreachable
from backend.base.redaction import reason_of
from backend.label_studio import protocol
from backend.label_studio.client import LabelStudioClient, RequestRefused
from backend.label_studio.protocol import Json, Task
from backend.label_studio.task_query import make_condition, make_query, tasks_path

PAGE = 200
"""Tasks that are asked for at once."""
PREDICTIONS_PAGE = 50
"""Tasks that are asked for at once with their predictions, each of which may have tens of kilobytes."""
MIN_PER_PAGE = 10
"""Of the tasks on such a page so many, on average, must be wanted ones; else one request a task is cheaper."""


class TaskSelection(Protocol):
    """Which tasks of a project are meant."""

    @property
    def project(self) -> int:
        """Id of the project."""

    @property
    def view(self) -> int | None:
        """Id of the Data Manager's view that chooses the tasks; None without one."""

    @property
    def tasks(self) -> tuple[int, ...] | None:
        """Ids of the tasks; None for all."""

    @property
    def only_unlabelled(self) -> bool:
        """Whether tasks that somebody annotated are left out."""


class PredictionsClient(LabelStudioClient):
    """Label Studio's API, with what reads tasks and writes predictions."""

    def find_label_config(self, project: int) -> str | None:
        """The label config of a project; None if there is no such project that the token may see."""
        project_json = self._get(f"/api/projects/{project}/")
        return None if project_json is None else str(project_json["label_config"])

    def find_view_project(self, view: int) -> int | None:
        """The project of a view of the Data Manager; None if there is no such view."""
        view_json = self._get(f"/api/dm/views/{view}/")
        return None if view_json is None else view_json["project"]

    def list_tasks(self, selection: TaskSelection, after: int) -> tuple[tuple[Task, ...], int | None]:
        """The next tasks of a selection, and where to go on; None at the end.

        Args:
            after: Where the last page ended: a task's id, the page's number if a view chooses the tasks, or 0.
        """
        if selection.view is not None:
            path = tasks_path(selection.project, PAGE, view=selection.view, page=after + 1)
        else:
            path = tasks_path(selection.project, PAGE, make_query(_make_conditions(selection, after)))
        try:
            answer = self.request("GET", path)
        except RequestRefused as error:
            if selection.view is not None and after and error.status == httpx.codes.NOT_FOUND:
                return (), None  # the page after the last one
            raise
        listed = protocol.read_tasks(json.dumps(answer).encode(), selection.project)
        if selection.view is not None:
            return listed, after + 1 if len(listed) == PAGE else None
        chosen = None if selection.tasks is None else set(selection.tasks)
        tasks = tuple(task for task in listed if chosen is None or int(task.id) in chosen)
        return tasks, max((int(task.id) for task in listed), default=None)

    def count_tasks(self, selection: TaskSelection) -> int:
        """How many tasks a selection has, at most."""
        if selection.view is not None:
            path = tasks_path(selection.project, 1, view=selection.view)
        else:
            path = tasks_path(selection.project, 1, make_query(_make_conditions(selection, 0)))
        total = int(self.request("GET", path)["total"])
        return total if selection.tasks is None else min(total, len(selection.tasks))

    def import_predictions(self, project: int, predictions: Sequence[Json], check: Callable[[], None]) -> int:
        """Write predictions, unless `check` raises at the last moment; how many Label Studio says that it made.

        Raises:
            RequestRefused: If none was written.
            Unreachable: If it is not known what was.
        """
        body = _GuardedBody(json.dumps(list(predictions)).encode(), check)
        answer = self.request("POST", f"/api/projects/{project}/import/predictions", body)
        return int(answer["created"])

    def predictions_of(self, task: int) -> list[Json]:
        """The predictions that a task has, oldest first; none of a task that is gone."""
        try:
            predictions = self.request("GET", f"/api/predictions/?task={task}")
        except RequestRefused as error:
            # 400, as for any filter that is not understood
            if error.status == httpx.codes.BAD_REQUEST and not self.has_task(task):
                return []
            raise
        return sorted(predictions, key=lambda prediction: int(prediction["id"]))

    def list_predictions(self, project: int, tasks: Sequence[int]) -> dict[int, list[Json]]:
        """The predictions of tasks, by task id, each task's oldest first, with one request for many tasks.

        What is missing here proves nothing: ask `predictions_of`. Tasks may be left out, as where those asked for lie among so
        many others that asking for each one is cheaper.
        """
        predictions: dict[int, list[Json]] = {}
        first, last = min(tasks) - 1, max(tasks)
        for _ in range(-(-len(tasks) // MIN_PER_PAGE)):
            conditions = [make_condition("id", "Number", first), make_condition("id", "Number", last, "less_or_equal")]
            path = tasks_path(project, PREDICTIONS_PAGE, make_query(conditions), fields="all")
            listed = self.request("GET", path)["tasks"]
            for task in listed:
                own = [one for one in task.get("predictions") or () if isinstance(one.get("id"), int)]
                predictions[int(task["id"])] = sorted(own, key=lambda prediction: int(prediction["id"]))
            first = max((int(task["id"]) for task in listed), default=last)
            if first >= last:
                break
        return {task: predictions[task] for task in tasks if task in predictions}

    def has_task(self, task: int) -> bool:
        """Whether there is a task of that id."""
        return self._get(f"/api/tasks/{task}/") is not None

    def annotations_from(self, task: int, prediction: int) -> list[int]:
        """Ids of the annotations of a task that somebody made from a prediction; none of a task that is gone."""
        annotations = self._get(f"/api/tasks/{task}/annotations/") or ()
        return sorted(int(one["id"]) for one in annotations if one.get("parent_prediction") == prediction)

    def delete_prediction(self, prediction: int) -> None:
        """Delete a prediction, if it is there."""
        try:
            self.request("DELETE", f"/api/predictions/{prediction}/")
        except RequestRefused as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise

    def count_predictions(self, project: int, model_version: str) -> int:
        """How many predictions of a version a project has."""
        counts = self.request("GET", f"/api/projects/{project}/model-versions/")
        return int(counts.get(model_version, 0))

    def show_version(self, project: int, model_version: str) -> None:
        """Let the Data Manager show and sort by the scores of a version."""
        self.request("PATCH", f"/api/projects/{project}/", {"model_version": model_version})

    def _get(self, path: str) -> Any:
        """What is there; None if nothing is."""
        try:
            return self.request("GET", path)
        except RequestRefused as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def _send(self, method: str, path: str, json: object) -> httpx.Response:
        if not isinstance(json, _GuardedBody):
            return super()._send(method, path, json)
        # with its length given the body is not sent in chunks, which Label Studio's own server does not read
        about = {"Content-Type": "application/json", "Content-Length": str(len(json.content))}
        headers = {**self._key.headers(), **about}
        try:
            return self._http.request(method, self.url + path, content=iter(json), headers=headers)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"Label Studio at {self.url} does not answer ({reason_of(error)}).",
                "Check that it runs and LABEL_STUDIO_URL.",
            ) from error


@dataclass(frozen=True)
class _GuardedBody:
    """A body whose last byte is held back until `check` returns; it raises if the body must not arrive whole."""

    content: bytes
    check: Callable[[], None]

    def __iter__(self) -> Iterator[bytes]:
        yield self.content[:-1]
        self.check()
        yield self.content[-1:]


def _make_conditions(selection: TaskSelection, after: int) -> list[dict[str, Any]]:
    first = max(after, min(selection.tasks) - 1) if selection.tasks else after
    conditions = [make_condition("id", "Number", first)]
    if selection.tasks:
        conditions.append(make_condition("id", "Number", max(selection.tasks), "less_or_equal"))
    if selection.only_unlabelled:
        conditions.append(make_condition("is_labeled", "Boolean", False, "equal"))
    return conditions
