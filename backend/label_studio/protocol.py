"""Label Studio's JSON: tasks, contexts, label configs, labels, messages. Light: no torch, no numpy, no HTTP (`regions` writes masks).

Shapes as Label Studio 1.23 sends them; every field that may be missing may be missing.
"""

import json
import re
import secrets
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from backend.errors import BadConfig
from ris_core.errors import BadExpression, BadInput

Json = dict[str, Any]
Kind = Literal["brush", "polygon", "rectangle"]

KINDS: dict[str, Kind] = {"brushlabels": "brush", "polygonlabels": "polygon", "rectanglelabels": "rectangle"}
"""Tags that a mask can be returned to, best first: a brush keeps every pixel, a polygon its outline, a rectangle its box."""

MAX_EXPRESSIONS = 16
"""Expressions of one request; each costs a segmentation while the annotator waits."""

DEFAULT_EXPRESSION_KEY = "expression"
"""Field of the task's data that holds its expression, if the prompt's TextArea does not name another."""

MESSAGE_NAME = "ris_message"
"""Name of the TextArea in which annotators are told something; never a prompt, never a region."""

_SEPARATOR = ";"
_ID_LENGTH = 10
_ID_ALPHABET = string.ascii_letters + string.digits
_EXAMPLE = '<BrushLabels name="brush" toName="image" smart="false"><Label value="Object"/></BrushLabels>'


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


@dataclass(frozen=True)
class Control:
    """A control of a label config that takes masks.

    Attributes:
        name: Its name: `from_name` of the regions.
        to_name: Name of the image.
        kind: What its regions are.
        labels: Its labels as regions carry them: a label's alias, else its value.
        aliases: Lower-cased other names (values, `predicted_values`) and the labels themselves -> label.
    """

    name: str
    to_name: str
    kind: Kind
    labels: tuple[str, ...]
    aliases: Mapping[str, str]

    @property
    def type(self) -> str:
        """Region type of the control: "brushlabels" and the like."""
        return f"{self.kind}labels"


@dataclass(frozen=True)
class Config:
    """What a project's label config offers.

    Attributes:
        image_name: Name of the Image tag.
        image_key: Field of the task's data that holds the image's address.
        prompts: Names of the TextAreas that an expression is typed into.
        controls: Controls that take masks: brush before polygon before rectangle.
        expression_key: Field of the task's data that holds an expression, if it has one.
    """

    image_name: str
    image_key: str
    prompts: tuple[str, ...]
    controls: tuple[Control, ...]
    expression_key: str = DEFAULT_EXPRESSION_KEY


def read_config(xml: str) -> Config:
    """Read a label config.

    Raises:
        BadConfig: If it is not XML, or has no image or no control that a mask can be returned to; says what to add.
    """
    tags = _read_tags(xml)
    images = {tag.attributes.get("name", ""): tag for tag in tags if tag.name == "image"}
    if not images:
        raise BadConfig('The label config has no <Image>. Add <Image name="image" value="$image"/>.')
    controls = sorted(
        (control for tag in tags if (control := _read_control(tag)) and control.to_name in images),
        key=lambda control: list(KINDS.values()).index(control.kind),  # stable: in the order of the config otherwise
    )
    if not controls:
        raise BadConfig(f"The label config has no control with labels that a mask can be returned to. Add {_EXAMPLE}.")
    prompts = [tag for tag in tags if _is_prompt(tag) and tag.attributes.get("toname") in images]
    image_name = next(
        (name for name in _targets(prompts) if any(c.to_name == name for c in controls)), controls[0].to_name
    )
    prompts = [tag for tag in prompts if tag.attributes["toname"] == image_name]
    return Config(
        image_name=image_name,
        image_key=_read_image_key(images[image_name]),
        prompts=tuple(tag.attributes["name"] for tag in prompts if tag.attributes.get("name")),
        controls=tuple(control for control in controls if control.to_name == image_name),
        expression_key=next(
            (key for tag in prompts if (key := _variable(tag.attributes.get("value")))), DEFAULT_EXPRESSION_KEY
        ),
    )


def find_message_area(xml: str) -> str | None:
    """Name of the object that a label config's message TextArea belongs to; None if annotators cannot be told anything.

    Also of a config that `read_config` refuses: what is wrong with it can be told then.
    """
    try:
        tags = _read_tags(xml)
    except BadConfig:
        return None
    areas = (tag.attributes for tag in tags if tag.name == "textarea" and not _is_true(tag, "perregion"))
    return next((area.get("toname") or None for area in areas if area.get("name") == MESSAGE_NAME), None)


def read_field(data: Mapping[str, Any], key: str) -> str | None:
    """Text of a field of a task's data; `a.b` also reaches into objects. None if it is not there, not text, or blank."""
    value: Any = data.get(key)
    if value is None and "." in key:
        value = data
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and value.strip() else None


@dataclass(frozen=True)
class Task:
    """A task that something is asked about.

    Attributes:
        id: Its id, as text.
        data: Its data: image address and whatever else the project imported.
        user: Id of the user whose draft came with it; None where Label Studio sent none.
        project: Id of its project.
        drafts: Label Studio's drafts of that user: what it saved last of annotations that are not submitted.
    """

    id: str
    data: Mapping[str, Any]
    user: int | None
    project: int | None
    drafts: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


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
        label_config=_text(body.get("label_config")),
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
        {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": int(task)},
        {"filter": "filter:tasks:is_labeled", "operator": "equal", "type": "Boolean", "value": False},
    ]
    query = {"filters": {"conjunction": "and", "items": conditions}, "ordering": ["tasks:id"]}
    # addresses as a /predict has them, which are what images are known by
    return "/api/tasks?" + urlencode(
        {"project": project, "page_size": count, "resolve_uri": "false", "query": json.dumps(query)}
    )


def read_tasks(raw: bytes, project: int) -> tuple[Task, ...]:
    """The tasks of an answer to `next_tasks_path`, without those that cannot be read.

    Raises:
        BadInput: If it is not such an answer.
    """
    try:
        body = parse_json(raw)
    except ValueError as error:
        raise BadInput(f"Label Studio's list of tasks is not JSON ({error}). Check LABEL_STUDIO_URL.") from error
    tasks = body.get("tasks") if isinstance(body, Mapping) else None
    if not isinstance(tasks, list):
        raise BadInput("Label Studio's list of tasks has no tasks. Check LABEL_STUDIO_URL and its version.")
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
        hostname=_text(body.get("hostname")) or None,
        access_token=_text(body.get("access_token")) or None,
        label_config=_text(body.get("schema")) or _text(body.get("label_config")),
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


@dataclass(frozen=True)
class Prompt:
    """The TextArea result that triggered a prediction.

    Attributes:
        id: Its result id: the same as long as the annotator keeps adding to it or edits it.
        texts: All its entries, in order, newest last.
    """

    id: str
    texts: tuple[str, ...]


def read_prompt(context: Sequence[Json] | None, config: Config) -> Prompt | None:
    """The prompt in a context; None if there is none, as with clicks, boxes and after a submit.

    A per-region TextArea of the same config is not a prompt. If several prompts were sent the last one counts.
    """
    for result in reversed(context or ()):
        if str(result.get("type", "")).lower() != "textarea" or result.get("from_name") not in config.prompts:
            continue
        value = result.get("value")
        texts = value.get("text") if isinstance(value, Mapping) else None
        entries = [texts] if isinstance(texts, str) else texts if isinstance(texts, list) else []
        return Prompt(id=_text(result.get("id")), texts=tuple(text for text in entries if isinstance(text, str)))
    return None


def find_asked(texts: Sequence[str], last_texts: Sequence[str] | None) -> tuple[str, ...]:
    """The expressions now asked for: those of the entry that is new since the last request, else of the last entry.

    Entries are compared as a bag, so that removing one (which sends no request) does not hide what was added after.

    Args:
        texts: Entries of the TextArea now.
        last_texts: Its entries at the last request; None at the first.

    Raises:
        BadExpression: If the entry holds more than `MAX_EXPRESSIONS` expressions.
    """
    if not texts:
        return ()
    new = Counter(texts) - Counter(last_texts or ())
    changed = next((text for text in reversed(texts) if text in new), texts[-1])
    return split_expressions(changed)


def split_expressions(text: str) -> tuple[str, ...]:
    """The expressions of `"the dog; the cat"`, without blank and repeated ones.

    Raises:
        BadExpression: If there are more than `MAX_EXPRESSIONS`.
    """
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(_SEPARATOR) if part.strip()))
    if len(parts) > MAX_EXPRESSIONS:
        raise BadExpression(
            f'{len(parts)} expressions were asked for at once; ask for at most {MAX_EXPRESSIONS}, separated by ";".'
        )
    return parts


@dataclass(frozen=True)
class Picked:
    """The label of an expression's regions.

    Attributes:
        expression: The expression without its label prefix.
        label: A label of the control.
        is_guess: Nothing told which label it is; the first was taken.
    """

    expression: str
    label: str
    is_guess: bool


def split_label(control: Control, text: str) -> tuple[str | None, str]:
    """Label and expression of `"Label: expression"`, in any case; (None, text) if the prefix is no label of the control."""
    prefix, colon, rest = text.partition(":")
    label = control.aliases.get(_fold(prefix)) if colon and rest.strip() else None
    return (label, rest.strip()) if label else (None, text.strip())


def pick_label(control: Control, text: str, head_noun: str) -> Picked:
    """Choose the label: the one named in a prefix, the only one, the one that the head noun names, else the first.

    Args:
        control: The control that the regions go to.
        text: The expression as typed, with or without a "Label: " prefix.
        head_noun: Head of the expression's target phrase; empty if there is none or it is not known yet.
    """
    named, expression = split_label(control, text)
    label = named or (control.labels[0] if len(control.labels) == 1 else _match_noun(control, expression, head_noun))
    return Picked(expression=expression, label=label or control.labels[0], is_guess=label is None)


def prediction(regions: Sequence[Json], score: float, model_version: str) -> Json:
    """A prediction of one task as Label Studio takes it; score in [0, 1]."""
    return {"result": list(regions), "score": float(score), "model_version": model_version}


def new_region_id() -> str:
    """A fresh region id in Label Studio's own form: 10 characters. Handed out once, never again."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


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


def _pack_masks(found: Json) -> Json:
    if "rle" in found:
        packed = pack_rle(found.pop("rle"))
        if packed is not None:
            found["rle"] = packed
    return found


class _Tag(NamedTuple):
    """An XML element as Label Studio reads it: names in any case; with the attributes of the labels below it."""

    name: str
    attributes: dict[str, str]
    labels: tuple[dict[str, str], ...]

    @classmethod
    def of(cls, element: Element) -> "_Tag":
        name = element.tag.lower()
        below = [child for child in _below(element) if isinstance(child.tag, str)] if name in KINDS else []
        labels = (_lower(child) for child in below if child.tag.lower() == "label")
        return cls(name, _lower(element), tuple(label for label in labels if label.get("value")))


def _below(element: Element) -> Iterator[Element]:
    """What lies below an element in order, but not below a control in it: nested controls would be read over and over."""
    waiting = list(reversed(element))
    while waiting:
        child = waiting.pop()
        yield child
        if not (isinstance(child.tag, str) and child.tag.lower() in KINDS):
            waiting += reversed(child)


def _read_tags(xml: str) -> list[_Tag]:
    try:
        return [_Tag.of(element) for element in fromstring(xml).iter() if isinstance(element.tag, str)]
    except (ParseError, DefusedXmlException, ValueError, TypeError) as error:
        raise BadConfig(
            f"The label config is not XML that can be read ({error}). Copy one from label_config/."
        ) from error


def _lower(element: Element) -> dict[str, str]:
    return {key.lower(): value for key, value in element.attrib.items()}


def _read_control(tag: _Tag) -> Control | None:
    name, labels = tag.attributes.get("name"), tag.labels
    if tag.name not in KINDS or not name or not labels or _is_true(tag, "smartonly"):
        return None
    shown = [label.get("alias") or label["value"] for label in labels]
    aliases: dict[str, str] = {}
    for label, own in zip(labels, shown, strict=True):
        for other in (label["value"], *label.get("predicted_values", "").split(",")):
            aliases.setdefault(_fold(other), own)
    aliases.update({_fold(own): own for own in reversed(shown)})  # a label's own name beats another's alias
    aliases.pop("", None)
    return Control(name, tag.attributes.get("toname", ""), KINDS[tag.name], tuple(dict.fromkeys(shown)), aliases)


def _is_prompt(tag: _Tag) -> bool:
    return tag.name == "textarea" and not _is_true(tag, "perregion") and tag.attributes.get("name") != MESSAGE_NAME


def _targets(tags: Iterable[_Tag]) -> list[str]:
    return [tag.attributes["toname"] for tag in tags]


def _read_image_key(tag: _Tag) -> str:
    key = _variable(tag.attributes.get("value"))
    if not key:
        raise BadConfig(
            f"The <Image> named {tag.attributes.get('name')!r} has value={tag.attributes.get('value')!r}, which names no field of "
            'the task. Write value="$image", with one image per task.'
        )
    return key


def _variable(value: str | None) -> str | None:
    return value[1:] if value and value.startswith("$") and len(value) > 1 else None


def _is_true(tag: _Tag, attribute: str) -> bool:
    return tag.attributes.get(attribute, "").lower() == "true"


def _read_task(task: object, project: int | None) -> Task | None:
    if not isinstance(task, Mapping) or not isinstance(task.get("data"), Mapping):
        return None
    own = read_project(task.get("project"))
    drafts = task.get("drafts")
    return Task(
        id=str(task.get("id", "")),
        data=task["data"],
        user=_read_user(task),
        project=project if own is None else own,
        drafts=tuple(draft for draft in drafts if isinstance(draft, Mapping)) if isinstance(drafts, list) else (),
    )


def _read_user(task: Mapping[str, Any]) -> int | None:
    """The user of the last draft: Label Studio sends an e-mail address as `user` and ends `created_username` with ", <id>"."""
    drafts = task.get("drafts")
    for draft in reversed(drafts if isinstance(drafts, list) else []):
        if isinstance(draft, Mapping):
            if isinstance(user := draft.get("user"), int) and not isinstance(user, bool):
                return user
            if match := re.search(r", (\d{1,18})$", _text(draft.get("created_username"))):
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


def _match_noun(control: Control, expression: str, head_noun: str) -> str | None:
    """The label whose name, of one or more words, ends in the head noun and stands in the expression; the longest wins."""
    head, text = _fold(head_noun), f" {_fold(expression)} "
    if not head:
        return None
    for alias in sorted(control.aliases, key=len, reverse=True):
        last = alias.rsplit(" ", 1)[-1]
        if head in (last, f"{last}s", f"{last}es") and (alias == last or f" {alias}" in text):
            return control.aliases[alias]
    return None


def _fold(text: str) -> str:
    return " ".join(text.lower().split())


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
