"""What runs ask of Label Studio: its tasks, and the predictions that it has and is given."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from backend.base.errors import Unreachable
from backend.label_studio import protocol
from backend.label_studio.client import LabelStudioClient, RequestRefused, reason_of
from backend.label_studio.protocol import Json, Task
from backend.runs.spec import BadRun, RunSpec

TIMEOUT_S = 40.0
"""Longest that Label Studio may be silent; shorter than a steward's lease, so that nothing is on its way when that ends."""
PAGE = 200
"""Tasks that are asked for at once."""


@dataclass(frozen=True)
class _Guarded:
    """A body whose last byte is held back until `check` returns; it raises if the body must not arrive whole."""

    content: bytes
    check: Callable[[], None]

    def __iter__(self) -> Iterator[bytes]:
        yield self.content[:-1]
        self.check()
        yield self.content[-1:]


class RunClient(LabelStudioClient):
    """Label Studio as stewards and planners use it.

    Args:
        url, token: As `LabelStudioClient` takes them.
    """

    def __init__(self, url: str, token: str | None, timeout_s: float | None = None) -> None:
        super().__init__(url, token, timeout_s or TIMEOUT_S)

    def label_config(self, spec: RunSpec) -> str:
        """The label config of a run's project.

        Raises:
            BadRun: If there is no such project, or the run's view is none of it.
        """
        found = self._get(f"/api/projects/{spec.project}/")
        if found is None:
            raise BadRun(
                f"There is no project {spec.project} at {self.url} that the token may see. Its number is in its address."
            )
        if spec.view is not None:
            view = self._get(f"/api/dm/views/{spec.view}/")
            if view is None or view["project"] != spec.project:
                raise BadRun(
                    f"The project {spec.project} has no view {spec.view}. Its number is in the address of the Data Manager, "
                    "after tab=."
                )
        return str(found["label_config"])

    def list_tasks(self, spec: RunSpec, after: int) -> tuple[tuple[Task, ...], int | None]:
        """The next tasks that a run is about, and where to go on; None at the end.

        Args:
            after: Where the last page ended: a task's id, the page's number if a view chooses the tasks, or 0.
        """
        query = {"page_size": PAGE, "resolve_uri": "false"}
        if spec.view is not None:
            query |= {"view": spec.view, "project": spec.project, "page": after + 1}
        else:
            chosen = {"filters": {"conjunction": "and", "items": _conditions(spec, after)}, "ordering": ["tasks:id"]}
            query |= {"project": spec.project, "query": json.dumps(chosen)}
        try:
            answer = self.request("GET", f"/api/tasks?{urlencode(query)}")
        except RequestRefused as error:
            if spec.view is not None and after and error.status == httpx.codes.NOT_FOUND:
                return (), None  # the page after the last one
            raise
        listed = protocol.read_tasks(json.dumps(answer).encode(), spec.project)
        wanted = listed if spec.tasks is None else tuple(task for task in listed if int(task.id) in set(spec.tasks))
        if spec.view is not None:
            return wanted, after + 1 if len(listed) == PAGE else None
        return wanted, max((int(task.id) for task in listed), default=None)

    def count_tasks(self, spec: RunSpec) -> int:
        """How many tasks a run is about, at most."""
        chosen = {"filters": {"conjunction": "and", "items": _conditions(spec, 0)}}
        which = {"view": spec.view} if spec.view is not None else {"query": json.dumps(chosen)}
        asked = {"project": spec.project, "page_size": 1, **which}
        total = int(self.request("GET", f"/api/tasks?{urlencode(asked)}")["total"])
        return total if spec.tasks is None else min(total, len(spec.tasks))

    def import_predictions(self, project: int, predictions: Sequence[Json], check: Callable[[], None]) -> int:
        """Write predictions, unless `check` raises at the last moment; how many Label Studio says that it made.

        Raises:
            Refused: If none was written.
            Unreachable: If it is not known what was.
        """
        body = _Guarded(json.dumps(list(predictions)).encode(), check)
        answer = self.request("POST", f"/api/projects/{project}/import/predictions", body)
        return int(answer["created"])

    def predictions_of(self, task: int) -> list[Json]:
        """The predictions that a task has, oldest first; none of a task that is gone."""
        try:
            found = self.request("GET", f"/api/predictions/?task={task}")
        except RequestRefused as error:
            # 400, as for any filter that is not understood
            if error.status == httpx.codes.BAD_REQUEST and not self.has_task(task):
                return []
            raise
        return sorted(found, key=lambda prediction: int(prediction["id"]))

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
        if not isinstance(json, _Guarded):
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


def _conditions(spec: RunSpec, after: int) -> list[dict[str, Any]]:
    def condition(field: str, operator: str, kind: str, value: object) -> dict[str, Any]:
        return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}

    first = max(after, min(spec.tasks) - 1) if spec.tasks else after
    items = [condition("id", "greater", "Number", first)]
    if spec.tasks:
        items.append(condition("id", "less_or_equal", "Number", max(spec.tasks)))
    if spec.only_unlabelled:
        items.append(condition("is_labeled", "equal", "Boolean", False))
    return items
