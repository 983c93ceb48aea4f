"""The elements of a label config, as Label Studio reads them."""

from collections.abc import Iterator
from typing import Literal, NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from backend.base.errors import BadConfig
from backend.base.redaction import reason_of

Kind = Literal["brush", "polygon", "rectangle"]

KINDS: dict[str, Kind] = {"brushlabels": "brush", "polygonlabels": "polygon", "rectanglelabels": "rectangle"}
"""Tags that a mask can be returned to, best first: a brush keeps every pixel, a polygon its outline, a rectangle its box."""


class Tag(NamedTuple):
    """An XML element as Label Studio reads it: names in any case; with the attributes of the labels below it.

    Attributes:
        kind: Its element's name in lower case.
        is_repeated: It stands in a Repeater, so it is there once a page.
    """

    kind: str
    attributes: dict[str, str]
    labels: tuple[dict[str, str], ...]
    is_repeated: bool

    @classmethod
    def of(cls, element: Element, is_repeated: bool = False) -> "Tag":
        kind = element.tag.lower()
        below = [child for child in _below(element) if isinstance(child.tag, str)] if kind in KINDS else []
        labels = (_lower(child) for child in below if child.tag.lower() == "label")
        return cls(kind, _lower(element), tuple(label for label in labels if label.get("value")), is_repeated)

    @property
    def name(self) -> str:
        """Its attribute "name"; empty if it has none."""
        return self.attributes.get("name", "")

    @property
    def to_name(self) -> str:
        """What it belongs to."""
        return self.attributes.get("toname", "")

    def is_true(self, attribute: str) -> bool:
        """Whether an attribute says "true"."""
        return self.attributes.get(attribute, "").lower() == "true"


def read_tags(xml: str) -> list[Tag]:
    """All elements of a label config, in order.

    Raises:
        BadConfig: If it is not XML.
    """
    try:
        root = fromstring(xml)
    except (ParseError, DefusedXmlException, ValueError, TypeError) as error:
        raise BadConfig(
            f"The label config is not XML that can be read ({reason_of(error)}).",
            "Copy one from label_config/.",
            reason="its label config is not XML",
        ) from error
    tags, waiting = [], [(root, False)]
    while waiting:
        element, is_repeated = waiting.pop()
        if isinstance(element.tag, str):
            tags.append(Tag.of(element, is_repeated))
            is_repeated = is_repeated or element.tag.lower() == "repeater"
        waiting += [(child, is_repeated) for child in reversed(element)]
    return tags


def _below(element: Element) -> Iterator[Element]:
    """What lies below an element in order, but not below a control in it: nested controls would be read over and over."""
    waiting = list(reversed(element))
    while waiting:
        child = waiting.pop()
        yield child
        if not (isinstance(child.tag, str) and child.tag.lower() in KINDS):
            waiting += reversed(child)


def _lower(element: Element) -> dict[str, str]:
    return {key.lower(): value for key, value in element.attrib.items()}
