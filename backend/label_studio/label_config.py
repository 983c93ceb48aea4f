"""Label configs: which image, prompt and controls a project has, as far as masks need them. Light: no torch, no numpy, no HTTP."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from backend.base.errors import BadConfig
from backend.label_studio.config_tags import KINDS, Kind, Tag, read_tags
from backend.label_studio.label_names import LabelName, LabelNames, split_words

DEFAULT_EXPRESSION_KEY = "expression"
"""Field of the task's data that holds its expression, if the prompt's TextArea does not name another."""

MESSAGE_NAME = "ris_message"
"""Name of the TextArea in which annotators are told something; never a prompt, never a region."""
PROMPT_WORDS = frozenset({"prompt", "prompts", "expression", "expressions"})
"""A TextArea with one of these words in its name is meant for expressions."""
SURE_WORDS = frozenset({"prompt", "prompts"})
"""Those of them that mean nothing else: an expression may be one of a face."""
REMARK_WORDS = frozenset({
    "comment", "comments", "note", "notes", "remark", "remarks", "feedback", "reason", "caption", "captions",
    "description", "descriptions", "transcription", "transcriptions", "title", "issue", "issues",
    "review", "reviews", "explanation", "justification", "rationale", "translation", "summary", "observation", "observations",
})  # fmt: skip
"""A TextArea with one of these words in its name is meant for something else."""
_EXAMPLE = '<BrushLabels name="brush" toName="image" smart="false"><Label value="Object"/></BrushLabels>'


@dataclass(frozen=True)
class Control:
    """A control of a label config that takes masks.

    Attributes:
        name: Its name: `from_name` of the regions.
        to_name: Name of the image.
        kind: What its regions are.
        labels: Its labels as regions carry them: a label's alias, else its value.
        names: All names that the labels go by: themselves, their values, `predicted_values`.
    """

    name: str
    to_name: str
    kind: Kind
    labels: tuple[str, ...]
    names: LabelNames

    @property
    def type(self) -> str:
        """Region type of the control: "brushlabels" and the like."""
        return f"{self.kind}labels"


@dataclass(frozen=True)
class LabelConfig:
    """What a project's label config offers.

    Attributes:
        image_name: Name of the Image tag.
        image_key: Field of the task's data that holds the image's address.
        prompts: Names of the TextAreas that an expression is typed into.
        controls: Controls that take masks: brush before polygon before rectangle.
        expression_key: Field of the task's data that holds an expression, if it has one.
        text_areas: Names of all TextAreas of the image that are none of regions or messages, prompts among them.
        is_prompt_named: The prompts' own names say so; else one was taken because there is no better one.
        other_images: Names of Image tags that are not answered; "{{…}}" in one stands for a number.
        is_prefilled: The input for expressions begins with a field of the task.
        cleaned_prompts: Those of the text areas whose entries an answer can replace, and the text that each belongs to.
    """

    image_name: str
    image_key: str
    prompts: tuple[str, ...]
    controls: tuple[Control, ...]
    expression_key: str = DEFAULT_EXPRESSION_KEY
    text_areas: tuple[str, ...] = ()
    is_prompt_named: bool = True
    other_images: tuple[str, ...] = ()
    is_prefilled: bool = False
    cleaned_prompts: Mapping[str, str] = field(default_factory=dict)

    def with_prompt(self, name: str | None) -> "LabelConfig":
        """With the TextArea that the project names for its prompt, if there is one of that name."""
        if name is None or name not in self.text_areas:
            return self
        return replace(self, prompts=(name,), is_prompt_named=True)

    def is_other_image(self, name: object) -> bool:
        """Whether a name is that of an image which is not answered."""
        return isinstance(name, str) and any(_is_like(other, name) for other in self.other_images)


class NoControl(BadConfig):
    """A config without a control that a mask can be returned to."""


@lru_cache(maxsize=64)  # every request brings its project's
def read_config(xml: str) -> LabelConfig:
    """Read a label config.

    Raises:
        BadConfig: If it is not XML, or has no image or no control that a mask can be returned to; says what to add.
    """
    tags = read_tags(xml)
    images = {tag.name: tag for tag in tags if tag.kind == "image" and tag.name and not tag.is_repeated}
    if not images:
        raise _no_image(tags)
    controls = [control for control in _list_controls(tags) if control.to_name in images]
    if not controls:
        raise NoControl(
            "The label config has no control with labels that a mask can be returned to.",
            f"Add {_EXAMPLE}.",
            reason="its label config has no labels that a mask can be given",
        )
    takes_masks = {control.to_name for control in controls}
    message_area = _find_message_area(tags)
    image_of = {name: name for name in takes_masks}
    if message_area and message_area not in images:
        image_of[message_area] = _find_image_of_text(tags, message_area, takes_masks) or controls[0].to_name
    areas = [tag for tag in tags if _is_area(tag) and tag.to_name in image_of]
    prompts, is_named = _choose_prompts(areas, is_connected=message_area is not None)
    image_name = image_of[prompts[0].to_name] if prompts else controls[0].to_name
    prompts = [tag for tag in prompts if image_of[tag.to_name] == image_name]
    controls = [control for control in controls if control.to_name == image_name]
    _refuse_dynamic(controls[0], tags)
    return LabelConfig(
        image_name=image_name,
        image_key=_read_image_key(images[image_name]),
        prompts=tuple(tag.name for tag in prompts),
        controls=tuple(control for control in controls if control.labels),
        expression_key=next(
            (key for tag in prompts if (key := _variable(tag.attributes.get("value")))), DEFAULT_EXPRESSION_KEY
        ),
        text_areas=tuple(tag.name for tag in areas if image_of[tag.to_name] == image_name),
        is_prefilled=any(_variable(tag.attributes.get("value")) for tag in prompts),
        cleaned_prompts={tag.name: tag.to_name for tag in areas if tag.to_name == message_area},
        is_prompt_named=is_named,
        other_images=tuple(tag.name for tag in tags if tag.kind == "image" and tag.name not in ("", image_name)),
    )


def is_about_message(context: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a context is of our own message's TextArea, which an annotator cleared or changed."""
    return bool(context) and context[-1].get("from_name") == MESSAGE_NAME


@lru_cache(maxsize=64)
def find_message_area(xml: str) -> str | None:
    """Name of the object that a label config's message TextArea belongs to; None if annotators cannot be told anything.

    Also of a config that `read_config` refuses: what is wrong with it can be told then.
    """
    try:
        tags = read_tags(xml)
    except BadConfig:
        return None
    return _find_message_area(tags)


def _no_image(tags: Sequence[Tag]) -> BadConfig:
    if any(tag.kind == "image" and tag.is_repeated for tag in tags):
        return BadConfig(
            "The label config repeats its <Image> in a <Repeater>; only one image a task is answered.",
            'Make a project with <Image name="image" value="$image"/>, and import each page as a task.',
            reason="its label config repeats the image for several pages (Repeater)",
        )
    return BadConfig(
        "The label config has no <Image>.",
        'Add <Image name="image" value="$image"/>.',
        reason="its label config has no image",
    )


def _list_controls(tags: Sequence[Tag]) -> list[Control]:
    """Best first; those whose labels come from the task among them, with the labels that the config itself has."""
    controls = (control for tag in tags if not tag.is_repeated and (control := _read_control(tag)))
    return sorted(controls, key=lambda control: list(KINDS.values()).index(control.kind))  # stable


def _read_control(tag: Tag) -> Control | None:
    has_labels = bool(tag.labels) or _is_dynamic(tag)
    if tag.kind not in KINDS or not tag.name or not has_labels or tag.is_true("smartonly"):
        return None
    aliases = [label.get("alias") or label["value"] for label in tag.labels]
    names = [LabelName(own, own) for own in aliases]
    for label, own in zip(tag.labels, aliases, strict=True):
        names.append(LabelName(own, label["value"], 1))
        names += [LabelName(own, other, 2) for other in label.get("predicted_values", "").split(",") if other.strip()]
    return Control(tag.name, tag.to_name, KINDS[tag.kind], tuple(dict.fromkeys(aliases)), LabelNames(tuple(names)))


def _refuse_dynamic(control: Control, tags: Sequence[Tag]) -> None:
    """Labels that come with the task are not known where a label is chosen: one of the others would be taken silently."""
    for tag in tags:
        if tag.name == control.name and tag.kind in KINDS and _is_dynamic(tag):
            value = tag.attributes["value"]
            raise BadConfig(
                f"The labels of the control {control.name!r} come from the task's data (value={value!r}), and masks would go "
                "there; such labels are not known beforehand.",
                'Write each as <Label value="…"/>, and take the value away.',
                reason=f"its labels come from the task’s data ({value})",
            )


def _is_dynamic(tag: Tag) -> bool:
    return tag.kind in KINDS and "$" in tag.attributes.get("value", "")


def _is_area(tag: Tag) -> bool:
    """A TextArea of the whole task that annotators type into."""
    is_plain = tag.kind == "textarea" and not tag.is_true("perregion") and not tag.is_repeated
    return is_plain and tag.name not in ("", MESSAGE_NAME)


def _choose_prompts(areas: Sequence[Tag], is_connected: bool) -> tuple[list[Tag], bool]:
    """The TextAreas that expressions are typed into, and whether their names say so.

    Without such a name it is the first one that is not named as something else. In a config with a place for messages, one that
    is will do too: `ris connect` of version 0.1 took any.
    """
    if by_name := [tag for tag in areas if PROMPT_WORDS & set(split_words(tag.name))]:
        by_name = [tag for tag in by_name if not REMARK_WORDS & set(split_words(tag.name))] or by_name
        surely = [tag for tag in by_name if SURE_WORDS & set(split_words(tag.name)) or tag.name in PROMPT_WORDS]
        return surely or by_name, True
    neutral = [tag for tag in areas if not REMARK_WORDS & set(split_words(tag.name))]
    return (neutral or (list(areas) if is_connected else []))[:1], False


def _find_image_of_text(tags: Sequence[Tag], text: str, images: Collection[str]) -> str | None:
    """Name of the image that a text stands for, since it shows the same field.

    A prompt may belong to such a text instead of the image: Label Studio then accepts what its entries are replaced by.
    """
    value = next((tag.attributes.get("value") for tag in tags if tag.name == text), None)
    return next((tag.name for tag in tags if tag.name in images and tag.attributes.get("value") == value), None)


def _find_message_area(tags: Sequence[Tag]) -> str | None:
    areas = (tag for tag in tags if tag.kind == "textarea" and not tag.is_true("perregion"))
    return next((area.to_name or None for area in areas if area.name == MESSAGE_NAME), None)


def _read_image_key(tag: Tag) -> str:
    value = tag.attributes.get("value")
    key = _variable(value)
    about = f"The <Image> named {tag.name!r} has "
    if "valuelist" in tag.attributes:
        raise BadConfig(
            f"{about}a valueList, which shows several images at once.",
            'Write value="$image" instead, with one image per task.',
            reason="its label config shows several images at once (valueList)",
        )
    if not key or _NO_FIELD.search(key):
        is_entry = key is not None and _ENTRY.fullmatch(key)
        wrong = "is one entry of a list" if is_entry else "names no field of the task"
        raise BadConfig(
            f"{about}value={value!r}, which {wrong}.",
            'Write value="$image", with one image per task.',
            reason=f"its image {wrong}{f' (${key})' if key else ''}",  # an address is not for annotators
        )
    return key


_NO_FIELD = re.compile(r"[\[\]{}$/]|\.\d+(\.|$)")
"""What is in the name of no field that can be read: indices, and addresses that are put together."""
_ENTRY = re.compile(r"[^\[\]{}$/]*(\[\d+\]|\.\d+(?=\.|$))[^{}$/]*")


def _variable(value: str | None) -> str | None:
    return value[1:] if value and value.startswith("$") and len(value) > 1 else None


def _is_like(pattern: str, name: str) -> bool:
    """Whether a name is one of those that "page_{{idx}}" becomes."""
    return re.fullmatch(r"\d+".join(map(re.escape, re.split(r"\{\{.*?\}\}", pattern))), name) is not None
