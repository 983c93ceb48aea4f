"""Clicks and boxes of Label Studio's smart tools: what a context says was pointed at. Light, as `protocol` is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from defusedxml.ElementTree import fromstring
from jaxtyping import Bool
from numpy import ndarray

from backend.label_studio.label_config import LabelConfig
from backend.label_studio.protocol import Json
from ris_core.errors import BadExpression
from ris_core.types.prompts import Prompts

CLICK_TYPES = ("keypointlabels", "keypoint")
BOX_TYPES = ("rectanglelabels", "rectangle")
OTHER_SHAPES = ("brushlabels", "brush", "ellipselabels", "ellipse", "polygonlabels", "polygon")
"""What smart tools of other kinds draw."""
MAX_CLICKS = 32
"""Clicks that are answered together; each costs one more run of a decoder."""

_FARTHEST = 1e6
"""Percent; what is farther away, endless or no number was not drawn by a person."""


@dataclass(frozen=True)
class Gesture:
    """What an annotator pointed at since a mask was accepted or rejected last. Coordinates are percent of the image.

    Attributes:
        id: Id of its first result: the same as long as clicks are added.
        clicks: x, y and whether it is on the thing (Alt held: it is not), in the order they were made.
        box: Left, upper, right and lower side, if one was drawn; the newest counts.
        label: Label of the control that was used last; empty if it has none.
    """

    id: str
    clicks: tuple[tuple[float, float, bool], ...]
    box: tuple[float, float, float, float] | None
    label: str

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Gesture":
        """What `to_json` returned, once it was JSON."""
        box = value["box"]
        return cls(
            value["id"],
            tuple((x, y, is_positive) for x, y, is_positive in value["clicks"]),
            None if box is None else (box[0], box[1], box[2], box[3]),
            value["label"],
        )

    @property
    def is_positive(self) -> bool:
        """Says where a thing is, and not only what does not belong to it."""
        return self.box is not None or any(is_positive for _, _, is_positive in self.clicks)

    @property
    def kind(self) -> str:
        """ "click" or "box": what was drawn."""
        return "click" if self.clicks else "box"

    def to_json(self) -> Json:
        """As JSON values."""
        return asdict(self)

    def to_prompts(self, size_hw: tuple[int, int], mask: Bool[ndarray, "h w"] | None = None) -> Prompts:
        """In pixels of an image of this size, with the mask that it corrects, if any."""
        to_pixels = np.array(size_hw[::-1]) / 100
        return Prompts(
            points_xy=np.array([(x, y) for x, y, _ in self.clicks]).reshape(-1, 2) * to_pixels,
            is_positive=np.array([is_positive for _, _, is_positive in self.clicks], bool),
            box_xyxy=None if self.box is None else np.array(self.box) * np.tile(to_pixels, 2),
            mask=mask,
        )


def takes_gestures(label_config: str) -> bool:
    """Whether a label config has smart key points or rectangles.

    Args:
        label_config: One that `protocol.read_config` can read.
    """
    for element in fromstring(label_config).iter():
        attributes = {name.lower(): value.lower() for name, value in element.attrib.items()}
        if str(element.tag).lower() in (*CLICK_TYPES, *BOX_TYPES) and attributes.get("smart") == "true":
            return True
    return False


def read_gesture(context: Sequence[Json] | None, config: LabelConfig) -> Gesture | None:
    """The clicks and boxes on the config's image in a context; None if there are none.

    Label Studio sends the results of the tool in use, oldest first; they add up until a mask is accepted or rejected. It
    turns pictures only on the screen: `image_rotation` changes no coordinates.

    Raises:
        BadExpression: If there are more than `MAX_CLICKS` clicks.
    """
    on_image = (result for result in context or () if result.get("to_name") == config.image_name)
    used = [result for result in on_image if _read_click(result) or _read_box(result)]
    clicks = tuple(click for result in used if (click := _read_click(result)))
    boxes = [box for result in used if (box := _read_box(result))]
    if not used:
        return None
    if len(clicks) > MAX_CLICKS:
        raise BadExpression(
            f"{len(clicks)} clicks are more than {MAX_CLICKS}: accept or reject what is offered, then go on."
        )
    return Gesture(
        id=str(used[0].get("id", "")), clicks=clicks, box=boxes[-1] if boxes else None, label=_read_label(used[-1])
    )


def is_about_other_image(context: Sequence[Json] | None, config: LabelConfig) -> bool:
    """Whether a context is about an image of the label config that is not the one which is answered."""
    return any(config.is_other_image(result.get("to_name")) for result in context or ())


def is_pointing(context: Sequence[Json] | None, config: LabelConfig) -> bool:
    """Whether a context is about something that was drawn on the config's image, though nothing in it can be answered."""
    types = (*CLICK_TYPES, *BOX_TYPES, *OTHER_SHAPES)
    return any(
        str(result.get("type", "")).lower() in types and result.get("to_name", config.image_name) == config.image_name
        for result in context or ()
    )


def _read_click(result: Json) -> tuple[float, float, bool] | None:
    place = _read_numbers(result, CLICK_TYPES, "x", "y")
    return (_clip(place[0]), _clip(place[1]), result.get("is_positive") is not False) if place else None


def _read_box(result: Json) -> tuple[float, float, float, float] | None:
    """A box that has an area on the image."""
    sides = _read_numbers(result, BOX_TYPES, "x", "y", "width", "height")
    if not sides:
        return None
    x, y, width, height = sides
    box = _clip(x), _clip(y), _clip(x + width), _clip(y + height)
    return box if box[0] < box[2] and box[1] < box[3] else None


def _read_numbers(result: Json, types: Sequence[str], *names: str) -> list[float] | None:
    value = result.get("value")
    if str(result.get("type", "")).lower() not in types or not isinstance(value, Mapping):
        return None
    numbers: list[Any] = [value.get(name) for name in names]
    return [float(number) for number in numbers] if all(map(_is_percent, numbers)) else None


def _is_percent(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _FARTHEST


def _read_label(result: Json) -> str:
    labels = result["value"].get(str(result["type"]).lower())
    first = labels[0] if isinstance(labels, list) and labels else ""
    return first if isinstance(first, str) else ""


def _clip(percent: float) -> float:
    return min(max(percent, 0.0), 100.0)
