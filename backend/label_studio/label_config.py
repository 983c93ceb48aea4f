"""Label configs: which image, prompt and controls a project has, as far as masks need them. Light: no torch, no numpy, no HTTP."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from backend.errors import BadConfig
from backend.redaction import reason_of

Kind = Literal["brush", "polygon", "rectangle"]

KINDS: dict[str, Kind] = {"brushlabels": "brush", "polygonlabels": "polygon", "rectanglelabels": "rectangle"}
"""Tags that a mask can be returned to, best first: a brush keeps every pixel, a polygon its outline, a rectangle its box."""

DEFAULT_EXPRESSION_KEY = "expression"
"""Field of the task's data that holds its expression, if the prompt's TextArea does not name another."""

MESSAGE_NAME = "ris_message"
"""Name of the TextArea in which annotators are told something; never a prompt, never a region."""
_EXAMPLE = '<BrushLabels name="brush" toName="image" smart="false"><Label value="Object"/></BrushLabels>'


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
        raise BadConfig("The label config has no <Image>.", 'Add <Image name="image" value="$image"/>.')
    controls = sorted(
        (control for tag in tags if (control := _read_control(tag)) and control.to_name in images),
        key=lambda control: list(KINDS.values()).index(control.kind),  # stable: in the order of the config otherwise
    )
    if not controls:
        raise BadConfig(
            "The label config has no control with labels that a mask can be returned to.", f"Add {_EXAMPLE}."
        )
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


def fold(text: str) -> str:
    """For comparing labels: lower case, single spaces."""
    return " ".join(text.lower().split())


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
            f"The label config is not XML that can be read ({reason_of(error)}).", "Copy one from label_config/."
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
            aliases.setdefault(fold(other), own)
    aliases.update({fold(own): own for own in reversed(shown)})  # a label's own name beats another's alias
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
            "the task.",
            'Write value="$image", with one image per task.',
        )
    return key


def _variable(value: str | None) -> str | None:
    return value[1:] if value and value.startswith("$") and len(value) > 1 else None


def _is_true(tag: _Tag, attribute: str) -> bool:
    return tag.attributes.get(attribute, "").lower() == "true"
