"""Annotations as Label Studio tells of them, in webhooks and in its API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from backend.label_studio import protocol
from backend.label_studio.annotation_layout import AnnotationLayout, read_layout
from backend.label_studio.drawn_regions import DrawnRegion, read_drawn, read_number, read_texts
from ris_core.errors import BadInput

LARGEST_ID = 2**63 - 1
"""What the database takes."""
CREATED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")
DELETED = "ANNOTATIONS_DELETED"


@dataclass(frozen=True)
class AnnotationVersion:
    """An annotation as it was saved once.

    Attributes:
        annotation: Label Studio's id.
        task: Its task's id, as text.
        annotator: Label Studio's user id; None if nothing says so.
        created_at, updated_at: Label Studio's clock, seconds since 1970, UTC.
        lead_time_s: Time that the annotator had it open, all times together.
        was_cancelled: The task was skipped.
        is_reviewed: Marked as ground truth.
        parent_prediction: Label Studio's id of the prediction that it began with.
        task_data: Its task's data.
        image: The address of the image in it; None if the label config does not tell.
        regions: What is drawn.
        texts: Id and entries of the texts of the whole task, such as the prompt.
        problems: What could not be read, in words.
    """

    annotation: int
    project: int
    task: str
    annotator: int | None
    created_at: float
    updated_at: float
    lead_time_s: float | None
    was_cancelled: bool
    is_reviewed: bool
    parent_prediction: int | None
    task_data: Mapping[str, Any]
    image: str | None
    regions: tuple[DrawnRegion, ...]
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredPrediction:
    """A prediction as Label Studio has it: its id there, and its regions."""

    prediction: int
    project: int
    task: str
    created_at: float
    model_version: str
    regions: tuple[DrawnRegion, ...]
    task_data: Mapping[str, Any]
    image: str | None


@dataclass(frozen=True)
class AnnotationEvent:
    """What a webhook says: annotations as they were saved, and ids of deleted ones.

    Attributes:
        tasks: Of deleted ones, as far as it names any; Label Studio does not.
    """

    project: int | None
    versions: tuple[AnnotationVersion, ...] = ()
    deleted: tuple[int, ...] = ()
    tasks: frozenset[str] = frozenset()


def read_event(body: object) -> AnnotationEvent:
    """Read a webhook's body; events that are not about annotations say nothing.

    Raises:
        BadInput: If it tells of an annotation in a form that cannot be read.
    """
    if not isinstance(body, Mapping):
        raise BadInput("The event is no JSON object.")
    action, about = body.get("action"), body.get("project")
    project = protocol.read_project(about)
    if action == DELETED:
        entries = _many(body.get("annotations"))
        task_ids = [entry.get("task") for entry in (body, *entries) if isinstance(entry, Mapping)]
        ids = (task.get("id") if isinstance(task, Mapping) else task for task in task_ids)
        of = frozenset(str(id) for id in ids if id is not None)
        return AnnotationEvent(project, deleted=tuple(map(_id, entries)), tasks=of)
    if action not in CREATED:
        return AnnotationEvent(project)
    layout = read_layout(about.get("label_config") if isinstance(about, Mapping) else None)
    annotations, tasks = _many(body.get("annotation")), _many(body.get("task"))
    data = {str(task.get("id")): _mapping(task.get("data")) for task in tasks if isinstance(task, Mapping)}
    return AnnotationEvent(project, tuple(read_version(one, project, data, layout) for one in annotations))


def list_problems(versions: Sequence[AnnotationVersion]) -> Iterator[str]:
    """What could not be read in them."""
    for version in versions:
        for problem in version.problems:
            yield f"annotation {version.annotation}, {problem}"


def read_version(
    annotation: object, project: int | None, data: Mapping[str, Any], layout: AnnotationLayout
) -> AnnotationVersion:
    """Read an annotation.

    Args:
        annotation: Label Studio's JSON.
        project: Its project, if it does not say.
        data: Data of tasks, by id.
        layout: What the project's label config says.

    Raises:
        BadInput: If it has no id, task, project or time.
    """
    if not isinstance(annotation, Mapping):
        raise BadInput("An annotation is no JSON object.")
    own = protocol.read_project(annotation.get("project"))
    project = project if own is None else own
    task = annotation.get("task")
    task = task.get("id") if isinstance(task, Mapping) else task
    if project is None or task is None:
        raise BadInput(f"Annotation {annotation.get('id')!r} names no project or no task.")
    task_data = data.get(str(task), {})
    regions, problems = read_drawn(annotation.get("result"), layout)
    field = protocol.read_field(task_data, layout.expression_key)
    return AnnotationVersion(
        annotation=_id(annotation),
        project=project,
        task=str(task),
        annotator=_user(annotation.get("completed_by")),
        created_at=read_time(annotation.get("created_at")),
        updated_at=read_time(annotation.get("updated_at") or annotation.get("created_at")),
        lead_time_s=read_number(annotation.get("lead_time")),
        was_cancelled=bool(annotation.get("was_cancelled")),
        is_reviewed=bool(annotation.get("ground_truth")),
        parent_prediction=_user(annotation.get("parent_prediction")),
        task_data=dict(task_data),
        image=layout.image_of(task_data),
        regions=tuple(_with_field(region, field) for region in regions),
        texts=read_texts(annotation.get("result"), layout),
        problems=problems,
    )


def read_prediction(
    prediction: Mapping[str, Any], project: int, task: str, data: Mapping[str, Any], layout: AnnotationLayout
) -> StoredPrediction:
    """Read a prediction.

    Args:
        prediction: Label Studio's JSON, with an id.
        data: Its task's data.
        layout: What the project's label config says.

    Raises:
        BadInput: If it has no time.
    """
    return StoredPrediction(
        prediction=int(prediction["id"]),
        project=project,
        task=task,
        created_at=read_time(prediction.get("created_at")),
        model_version=str(prediction.get("model_version") or ""),
        regions=read_drawn(prediction.get("result"), layout)[0],
        task_data=data,
        image=layout.image_of(data),
    )


def read_time(text: object) -> float:
    """Seconds since 1970 of Label Studio's "2026-11-20T09:12:00.113184Z".

    Raises:
        BadInput: If it is no such time.
    """
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError as error:
        raise BadInput(f"The time {text!r} cannot be read. Label Studio writes 2026-11-20T09:12:00Z.") from error


def _with_field(region: DrawnRegion, field: str | None) -> DrawnRegion:
    return (
        replace(region, expression=field, expressions=(field,), wording="task")
        if region.expression is None and field
        else region
    )


def _many(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _id(entry: object) -> int:
    value = entry.get("id") if isinstance(entry, Mapping) else entry
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST_ID:
        raise BadInput(f"An annotation has the id {str(value)[:40]!r}; Label Studio's are numbers of at most 64 bits.")
    return value


def _user(value: object) -> int | None:
    value = value.get("id") if isinstance(value, Mapping) else value
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_ID else None
