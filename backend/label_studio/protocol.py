"""Label Studio's JSON: tasks, contexts, requests, results, messages. Light: no torch, no numpy, no HTTP (`regions` writes masks).

Shapes as Label Studio 1.23 sends them; every field that may be missing may be missing.
"""

import json
import re
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.base.redaction import reason_of
from backend.label_studio.label_config import MESSAGE_NAME
from backend.label_studio.task_query import make_condition, make_query, tasks_path
from ris_core.errors import BadInput

Json = dict[str, Any]

_KEPT = "kept"
_ID_LENGTH = 10
_ID_ALPHABET = string.ascii_letters + string.digits


def parse_json(raw: bytes | bytearray | str) -> Any:
    """Read JSON with its run lengths as bytes, which take an eighth of the memory; what is none is dropped.

    A batch holds all earlier masks. The hook makes the parser let other threads run at each object: without one it keeps
    the interpreter to itself until the end, and a health check would wait for it.

    Raises:
        ValueError: If it is not JSON.
    """
    try:
        return json.loads(raw, object_hook=_pack_masks)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def pack_rle(value: object) -> bytes | None:
    """Run lengths as bytes; None if they are no list of numbers that are bytes."""
    if isinstance(value, bytes):
        return value
    try:
        return bytes(value) if isinstance(value, list) else None
    except (TypeError, ValueError):
        return None


def read_field(data: Mapping[str, Any], key: str) -> str | None:
    """Text of a field of a task's data; `a.b` also reaches into objects. None if it is not there, not text, or blank."""
    value: Any = data.get(key)
    if value is None and "." in key:
        value = data
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and value.strip() else None


def text_of(value: object) -> str:
    """The text that a field should be; empty if it is something else."""
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Task:
    """A task that something is asked about.

    Attributes:
        id: Its id, as text.
        data: Its data: image address and whatever else the project imported.
        user: Id of the user whose draft came with it; None where Label Studio sent none.
        project: Id of its project.
        drafts: Label Studio's drafts of that user: what it saved last of annotations that are not submitted.
        annotations: The task's annotations.
        predictions: Its predictions.
    """

    id: str
    data: Mapping[str, Any]
    user: int | None
    project: int | None
    drafts: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    annotations: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    predictions: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class PredictCall:
    """The body of a `/predict`.

    Attributes:
        tasks: Its tasks, in order; None for one that cannot be read.
        project: Id of the project.
        label_config: The project's label config; empty if none was sent.
        context: Results of the annotator's action; None outside interactive use, empty after a submit.
    """

    tasks: tuple[Task | None, ...]
    project: int | None
    label_config: str
    context: tuple[Json, ...] | None


def read_predict(body: object) -> PredictCall:
    """Read the body of a `/predict`.

    Raises:
        BadInput: If it is not an object with a list of tasks.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("tasks"), list):
        raise BadInput('The body of /predict must be an object with a list "tasks".')
    params = body.get("params")
    context = params.get("context") if isinstance(params, Mapping) else None
    project = read_project(body.get("project"))
    return PredictCall(
        tasks=tuple(_read_task(task, project) for task in body["tasks"]),
        project=project,
        label_config=text_of(body.get("label_config")),
        context=_read_results(context) if isinstance(context, Mapping) else None,
    )


def next_tasks_path(project: int, task: str, count: int) -> str:
    """Path in Label Studio's API that lists the next tasks of a project, in the order of their ids, that nobody has labelled.

    Args:
        project: Id of the project.
        task: Id of the task that they come after; a number.
        count: How many.
    """
    conditions = [
        make_condition("id", "Number", int(task)),
        make_condition("is_labeled", "Boolean", False, "equal"),
    ]
    return tasks_path(project, count, make_query(conditions))


def read_tasks(raw: bytes, project: int) -> tuple[Task, ...]:
    """The tasks of an answer to `next_tasks_path`, without those that cannot be read.

    Raises:
        BadInput: If it is not such an answer.
    """
    try:
        body = parse_json(raw)
    except ValueError as error:
        raise BadInput(
            f"Label Studio's list of tasks is not JSON ({reason_of(error)}).", "Check LABEL_STUDIO_URL."
        ) from error
    tasks = body.get("tasks") if isinstance(body, Mapping) else None
    if not isinstance(tasks, list):
        raise BadInput("Label Studio's list of tasks has no tasks.", "Check LABEL_STUDIO_URL and its version.")
    return tuple(task for entry in tasks if (task := _read_task(entry, project)))


@dataclass(frozen=True)
class SetupCall:
    """The body of a `/setup`.

    Attributes:
        project: Id of the project; None if there is none.
        hostname: Label Studio's own address, None if it sent none.
        access_token: Legacy token of the project's creator; a secret.
        label_config: The project's label config.
        extra_params: What was typed into the connection's form; empty if that is no JSON object.
    """

    project: int | None
    hostname: str | None
    access_token: str | None
    label_config: str
    extra_params: Json


def read_setup(body: object) -> SetupCall:
    """Read the body of a `/setup`; anything missing is None or empty (the form sends text, `""` for no parameters).

    Raises:
        BadInput: If it is not an object.
    """
    if not isinstance(body, Mapping):
        raise BadInput("The body of /setup must be an object.")
    return SetupCall(
        project=read_project(body.get("project")),
        hostname=text_of(body.get("hostname")) or None,
        access_token=text_of(body.get("access_token")) or None,
        label_config=text_of(body.get("schema")) or text_of(body.get("label_config")),
        extra_params=_read_object(body.get("extra_params")),
    )


def read_project(value: object) -> int | None:
    """Project id of `7`, `"7"`, `"7.1795166623"` (id and creation time, as ML requests carry it) or `{"id": 7}`."""
    if isinstance(value, Mapping):
        value = value.get("id")
    match = (
        re.match(r"\d{1,18}(?!\d)", str(value))
        if isinstance(value, str | int) and not isinstance(value, bool)
        else None
    )
    return int(match[0]) if match else None


def read_event_action(raw: bytes | bytearray) -> tuple[str, int | None]:
    """Action and project of a webhook's body; "" for an action that cannot be read."""
    try:
        event = parse_json(raw)
    except ValueError:
        event = None
    event = event if isinstance(event, dict) else {}
    return text_of(event.get("action")), read_project(event.get("project"))


def prediction(regions: Sequence[Json], score: float, model_version: str) -> Json:
    """A prediction of one task as Label Studio takes it; score in [0, 1]."""
    return {"result": list(regions), "score": float(score), "model_version": model_version}


def keep_texts(prediction: Json, kept: Sequence[str]) -> Json:
    """A prediction with what of a prompt's texts brought something. It is for us: Label Studio is not sent that."""
    return {**prediction, _KEPT: list(kept)}


def split_kept(prediction: Json) -> tuple[Json, tuple[str, ...] | None]:
    """A prediction as Label Studio takes it, and what `keep_texts` noted; None if that is not known."""
    kept = prediction.get(_KEPT)
    bare = {name: value for name, value in prediction.items() if name != _KEPT}
    return bare, None if kept is None else tuple(kept)


def list_regions(prediction: object) -> list[Json]:
    """The results of a prediction, the list itself; an empty one if it has none."""
    results = prediction.get("result") if isinstance(prediction, Mapping) else None
    return results if isinstance(results, list) else []


def add_message(prediction: Json, to_name: str, text: str | None) -> Json:
    """A prediction with a message beside its regions. Args: as of `message_result`."""
    return add_result(prediction, message_result(to_name, text))


def add_result(prediction: Json, result: Json) -> Json:
    """A prediction with one more result."""
    return {**prediction, "result": [*list_regions(prediction), result]}


def label_of(region: Json) -> str:
    """The label of a region of ours."""
    return region["value"][region["type"]][0]


def has_run_lengths(region: Json) -> bool:
    """Whether a region is a brush with its mask."""
    return "rle" in region.get("value", {})


def without_run_lengths(region: Json) -> Json:
    """A region without a brush's mask, which may take megabytes."""
    return {**region, "value": {name: value for name, value in region["value"].items() if name != "rle"}}


def count_characters(prediction: Json) -> int:
    """About how long a prediction is as text: its masks are nearly all of it."""
    return sum(len(str(region["value"])) for region in list_regions(prediction))


def new_region_id() -> str:
    """A fresh region id in Label Studio's own form: 10 characters. Handed out once, never again."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def prompt_result(name: str, to_name: str, texts: Sequence[str]) -> Json:
    """The entries of a prompt, in place of those that it has. Label Studio accepts it at once only if it belongs to no image."""
    return {
        "id": new_region_id(),
        "type": "textarea",
        "from_name": name,
        "to_name": to_name,
        "value": {"text": list(texts)},
    }


def message_result(to_name: str, text: str | None) -> Json:
    """What is told to an annotator, as a result beside the regions of an interactive answer.

    Label Studio shows it at once in place of the one before. An answer without one leaves that standing, so each
    carries one: with no text to take it away.

    Args:
        to_name: From `find_message_area`.
        text: What is told; None for nothing.
    """
    # `text` alone: a value with one key is how Label Studio tells a result of the whole task from a region
    value = {"text": [text] if text else []}
    return {
        "id": new_region_id(),
        "type": "textarea",
        "from_name": MESSAGE_NAME,
        "to_name": to_name,
        "readonly": True,  # else the page offers to delete it, and deleting it asks for a prediction
        "value": value,
    }


def note_untold(regions: Sequence[Json], texts: Sequence[str]) -> None:
    """Keep with regions what there was no room for in the message about them, as `meta.ris.untold`."""
    for region in regions if texts else ():
        notes = region.setdefault("meta", {}).setdefault("ris", {})
        notes["untold"] = list(dict.fromkeys([*read_untold(region), *texts]))


def read_untold(region: Json) -> Sequence[str]:
    """What `note_untold` kept with a region."""
    return region.get("meta", {}).get("ris", {}).get("untold", ())


def _pack_masks(result: Json) -> Json:
    if "rle" in result:
        packed = pack_rle(result.pop("rle"))
        if packed is not None:
            result["rle"] = packed
    return result


def _read_task(task: object, project: int | None) -> Task | None:
    if not isinstance(task, Mapping) or not isinstance(task.get("data"), Mapping):
        return None
    own = read_project(task.get("project"))
    return Task(
        id=str(task.get("id", "")),
        data=task["data"],
        user=_read_user(task),
        project=project if own is None else own,
        drafts=_list_objects(task.get("drafts")),
        annotations=_list_objects(task.get("annotations")),
        predictions=_list_objects(task.get("predictions")),
    )


def _list_objects(value: object) -> tuple[Mapping[str, Any], ...]:
    return tuple(one for one in value if isinstance(one, Mapping)) if isinstance(value, list) else ()


def _read_user(task: Mapping[str, Any]) -> int | None:
    """The user of the last draft: Label Studio sends an e-mail address as `user` and ends `created_username` with ", <id>"."""
    drafts = task.get("drafts")
    for draft in reversed(drafts if isinstance(drafts, list) else []):
        if isinstance(draft, Mapping):
            if isinstance(user := draft.get("user"), int) and not isinstance(user, bool):
                return user
            if match := re.search(r", (\d{1,18})$", text_of(draft.get("created_username"))):
                return int(match[1])
    return None


def _read_results(context: Mapping[str, Any]) -> tuple[Json, ...]:
    results = context.get("result")
    return tuple(dict(result) for result in results if isinstance(result, Mapping)) if isinstance(results, list) else ()


def _read_object(value: object) -> Json:
    """An object, also one that is written out as text."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, Mapping) else {}
