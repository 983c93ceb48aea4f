"""Tasks and annotations as Label Studio's API lists them, read strictly: what is not there proves nothing.

Label Studio 1.23.2 leaves columns such as `annotations_ids` empty unless `fields=all` is given, cuts them at 500 characters
even then, and may cap the size of a page. So no column is trusted to be whole: a task's annotations are compared with its own
counts, and pages are asked for until one is empty.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.base.errors import Unreachable
from backend.label_studio.annotation_layout import AnnotationLayout, read_layout
from backend.label_studio.annotations import (
    AnnotationVersion,
    StoredPrediction,
    read_prediction,
    read_time,
    read_version,
)
from backend.label_studio.client import LabelStudioClient, RequestRefused
from backend.label_studio.protocol import Json
from backend.label_studio.task_query import make_condition, make_query, tasks_path
from ris_core.errors import BadInput

PAGE = 50
"""Tasks of one request; each comes with all its annotations and predictions."""
LIST_PAGE = 1000
"""Tasks of one request that only counts."""
NOT_FOUND = 404
REMEDY = "Check LABEL_STUDIO_URL, and that no proxy answers in Label Studio's place."


class UnexpectedAnswer(Unreachable):
    """Label Studio answered something that it never does: nothing is concluded from it."""


@dataclass(frozen=True)
class ListedTask:
    """A task with its annotations.

    Attributes:
        data: The task's data.
        versions: Its annotations, as they are now.
        predictions: Label Studio's JSON.
        counted: How many annotations Label Studio says that it has, skipped ones too.
    """

    id: str
    data: Mapping[str, Any]
    versions: tuple[AnnotationVersion, ...]
    predictions: tuple[Json, ...]
    counted: int


def read_project_layout(studio: LabelStudioClient, project: int) -> AnnotationLayout:
    """What a project's label config says; shows too that the project is there and may be seen.

    Raises:
        Refused: If there is no such project.
        UnexpectedAnswer: If something else answers.
    """
    answer = _object(studio.request("GET", f"/api/projects/{project}/"), f"project {project}")
    if answer.get("id") != project or not isinstance(answer.get("label_config"), str):
        raise _unexpected(studio, f"for project {project} with {_short(answer.get('id'))} and no label config of it")
    return read_layout(answer["label_config"])


def newest_change(studio: LabelStudioClient, project: int) -> str | None:
    """Label Studio's time of the latest change of a project's tasks: what changes from now on is later. None of no task."""
    tasks, _ = _tasks(studio, project, {"ordering": ["-tasks:updated_at"]}, 1, {})
    if not tasks:
        return None
    time = tasks[0].get("updated_at")
    try:
        read_time(time)
    except BadInput as error:
        raise _unexpected(studio, f"with a task that was changed at {_short(time)}") from error
    return str(time)


def changed_tasks(
    studio: LabelStudioClient, project: int, layout: AnnotationLayout, since: str | None, overlap_s: float
) -> Iterator[list[ListedTask]]:
    """Pages of the tasks that changed since a time, or of all; each page is read wholly before it is given."""
    conditions = [make_condition("updated_at", "Datetime", _shift(since, -overlap_s))] if since else []
    for page in _pages(studio, project, conditions, PAGE, {"fields": "all"}):
        yield [_read_task(studio, project, task, layout) for task in page]


def list_task(studio: LabelStudioClient, project: int, task: str, layout: AnnotationLayout) -> ListedTask | None:
    """One task; None if the project does not list it."""
    query = make_query([make_condition("id", "Number", int(task), "equal")])
    tasks, _ = _tasks(studio, project, query, PAGE, {"fields": "all"})
    matches = (_read_task(studio, project, one, layout) for one in tasks if str(one["id"]) == task)
    return next(matches, None)


def count_annotations(studio: LabelStudioClient, project: int) -> dict[str, int]:
    """How many annotations each task of a project has, skipped ones too."""
    include = {"include": "id,project,total_annotations,cancelled_annotations"}
    counts: dict[str, int] = {}
    for page in _pages(studio, project, [], LIST_PAGE, include):
        counts |= {_task_id(studio, project, task): _counted(studio, task) for task in page}
    return counts


def ask_annotation(studio: LabelStudioClient, annotation: int) -> Json | None:
    """An annotation; None if Label Studio itself says that it has none of this id.

    Raises:
        UnexpectedAnswer: If something else answers, such as a proxy's page.
    """
    try:
        annotation_json = _object(studio.request("GET", f"/api/annotations/{annotation}/"), f"annotation {annotation}")
    except RequestRefused as error:
        is_own = isinstance(error.answer, Mapping) and isinstance(error.answer.get("detail"), str)
        if error.status == NOT_FOUND and is_own:
            return None
        raise _unexpected(
            studio, f"for annotation {annotation} with status {error.status} that is not its own"
        ) from error
    if annotation_json.get("id") != annotation:
        raise _unexpected(studio, f"for annotation {annotation} with another, {_short(annotation_json.get('id'))}")
    return annotation_json


def find_task_project(studio: LabelStudioClient, task: str) -> int | None:
    """The project of a task; None if Label Studio has no such task."""
    try:
        task_json = _object(studio.request("GET", f"/api/tasks/{task}/?resolve_uri=false"), f"task {task}")
    except RequestRefused as error:
        if error.status == NOT_FOUND:
            return None
        raise
    return task_json["project"] if _is_number(task_json.get("project")) else None


def find_prediction(
    studio: LabelStudioClient, project: int, prediction: int, layout: AnnotationLayout
) -> StoredPrediction | None:
    """A prediction of a project; None if it is deleted, or is another project's."""
    try:
        prediction_json = studio.request("GET", f"/api/predictions/{prediction}/")
    except RequestRefused as error:
        if error.status == NOT_FOUND:
            return None
        raise
    task = (
        str(prediction_json.get("task"))
        if isinstance(prediction_json, Mapping) and prediction_json.get("id") == prediction
        else ""
    )
    if not task.isdecimal():
        raise UnexpectedAnswer(f"Label Studio answers no prediction {prediction} with a task.", REMEDY)
    if prediction_json.get("project", project) != project:
        return None
    return read_prediction(prediction_json, project, task, task_data(studio, task), layout)


def task_data(studio: LabelStudioClient, task: str) -> dict[str, Any]:
    """A task's data."""
    data = _object(studio.request("GET", f"/api/tasks/{task}/?resolve_uri=false"), f"task {task}").get("data")
    return data if isinstance(data, dict) else {}


def _read_task(
    studio: LabelStudioClient, project: int, task: Mapping[str, Any], layout: AnnotationLayout
) -> ListedTask:
    id = _task_id(studio, project, task)
    annotations, predictions = task.get("annotations"), task.get("predictions", [])
    if not isinstance(annotations, list):
        raise _unexpected(studio, f"with task {id} without its annotations")
    if not isinstance(predictions, list) or not all(_has_id(one) for one in predictions):
        raise _unexpected(studio, f"with task {id} and predictions that cannot be read")
    data = task.get("data")
    data = data if isinstance(data, Mapping) else {}
    try:
        versions = tuple(read_version(one, project, {id: data}, layout) for one in annotations)
    except BadInput as error:
        raise _unexpected(studio, f"with task {id} and an annotation that cannot be read ({error})") from error
    if stray := [one for one in versions if (one.project, one.task) != (project, id)]:
        raise _unexpected(
            studio, f"with task {id} and annotation {stray[0].annotation} of task {_short(stray[0].task)}"
        )
    if len({one.annotation for one in versions}) < len(versions):
        raise _unexpected(studio, f"with task {id} and an annotation that is there twice")
    return ListedTask(id, data, versions, tuple(predictions), _counted(studio, task))


def _task_id(studio: LabelStudioClient, project: int, task: Mapping[str, Any]) -> str:
    if task.get("project", project) != project:
        raise _unexpected(studio, f"with a task of project {_short(task.get('project'))} for project {project}")
    return str(task["id"])


def _counted(studio: LabelStudioClient, task: Mapping[str, Any]) -> int:
    values = (task.get("total_annotations"), task.get("cancelled_annotations"))
    counts = [count for count in values if isinstance(count, int) and _is_number(count) and count >= 0]
    if len(counts) < len(values):
        raise _unexpected(studio, f"with task {_short(task.get('id'))} without counts of its annotations")
    return sum(counts)


def _pages(
    studio: LabelStudioClient, project: int, conditions: list[Json], size: int, more: Mapping[str, str]
) -> Iterator[list[Json]]:
    """Tasks in the order of their ids, each page asked for by the last id: numbered pages shift when tasks change meanwhile."""
    last = 0
    while True:
        query = make_query([*conditions, make_condition("id", "Number", last)])
        tasks, left = _tasks(studio, project, query, size, more)
        if not tasks:
            return
        ids = [task["id"] for task in tasks]
        if ids != sorted(set(ids)) or ids[0] <= last:
            raise _unexpected(studio, f"with tasks {_short(ids)} where those after {last} were asked for, in order")
        yield tasks
        if left == len(tasks):  # that a page is short proves nothing: TASK_API_PAGE_SIZE_MAX may cap it
            return
        last = ids[-1]


def _tasks(
    studio: LabelStudioClient, project: int, query: Mapping[str, Any], size: int, more: Mapping[str, str]
) -> tuple[list[Json], Any]:
    """Tasks of one page, and how many there are on this and later ones."""
    answer = studio.request("GET", tasks_path(project, size, query, **more))
    tasks = answer.get("tasks") if isinstance(answer, Mapping) else None
    if not isinstance(tasks, list) or not all(_has_id(one) for one in tasks):
        raise _unexpected(studio, "with no list of tasks")
    return tasks, answer.get("total")


def _shift(time: str, seconds: float) -> str:
    """A time of Label Studio's, moved; always with a fraction of a second: without one it answers 500."""
    moved = datetime.fromtimestamp(read_time(time), UTC) + timedelta(seconds=seconds)
    return moved.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _object(answer: object, what: str) -> Json:
    if not isinstance(answer, dict):
        raise UnexpectedAnswer(f"Label Studio answers no object for {what}; nothing was deleted for that.", REMEDY)
    return answer


def _has_id(value: object) -> bool:
    return isinstance(value, Mapping) and _is_number(value.get("id"))


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unexpected(studio: LabelStudioClient, what: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"Label Studio at {studio.url} answers {what}; nothing is concluded from that, and nothing was deleted.",
        REMEDY,
    )


def _short(value: object) -> str:
    return repr(value)[:40]
