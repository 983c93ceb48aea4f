"""Where the elements of an XML text stand in it, and putting lines between them without touching the rest."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from xml.parsers import expat

import numpy as np

from backend.base.errors import BadConfig
from backend.base.redaction import reason_of

COMMENT = "#comment"


class Element(NamedTuple):
    """An element, or a comment, and where it stands.

    Attributes:
        tag: In lower case, as Label Studio reads it; `COMMENT` for a comment.
        attributes: Their names in lower case; of a comment its text.
        start: Offset of its start tag, in characters.
        inside: Offset after its start tag.
        end: Offset after its end tag.
        depth: 0 for the root.
    """

    tag: str
    attributes: dict[str, str]
    start: int
    inside: int
    end: int
    depth: int

    @property
    def name(self) -> str:
        """Its attribute "name"; empty if it has none."""
        return self.attributes.get("name", "")


def read_elements(xml: str) -> list[Element]:
    """All elements and comments in the order in which they begin.

    Raises:
        BadConfig: If it is not XML, or has a document type.
    """
    try:
        elements = _scan(xml.encode())
    except (expat.ExpatError, ValueError) as error:
        raise BadConfig(
            f"The label config is not XML that can be read ({reason_of(error)}).", "Copy one from label_config/."
        ) from error
    return sorted(elements, key=lambda element: element.start)


def around(elements: Sequence[Element], inner: Element) -> list[Element]:
    """Those that hold an element, outermost first."""
    return [element for element in elements if element.start < inner.start and inner.end <= element.end]


def children(elements: Sequence[Element], parent: Element) -> list[Element]:
    """Those that an element holds directly."""
    return [e for e in elements if e.depth == parent.depth + 1 and parent.start < e.start < parent.end]


def keeps(before: Sequence[Element], after: Sequence[Element]) -> bool:
    """Whether everything is still there in the same order, with all its attributes."""
    rest = iter(after)
    return all(
        any(new.tag == old.tag and old.attributes.items() <= new.attributes.items() for new in rest) for old in before
    )


def insert_before(text: str, at: int, lines: str) -> str:
    """Put lines in front of what stands at an offset, indented as that is, or by one step if it does not begin its line."""
    newline, indent, is_first = _line_of(text, at)
    if is_first:
        return text[:at] + _indented(lines, newline + indent) + newline + indent + text[at:]
    between = newline + indent + "  "
    return text[:at] + between + _indented(lines, between) + between + text[at:]


def insert_after(text: str, at: int, lines: str) -> str:
    """Put lines behind what ends at an offset, indented as the line that it ends on."""
    newline, indent, _ = _line_of(text, at)
    return text[:at] + newline + indent + _indented(lines, newline + indent) + text[at:]


def insert_attribute(text: str, element: Element, attribute: str) -> str:
    """Write `name="value"` behind an element's other attributes."""
    at = len(text[: element.inside].removesuffix(">").removesuffix("/").rstrip())
    return f"{text[:at]} {attribute}{text[at:]}"


def _scan(raw: bytes) -> list[Element]:
    parser = expat.ParserCreate("utf-8")  # whatever the text says: it is encoded here
    elements: list[Element] = []
    opened: list[tuple[str, dict[str, str], int]] = []
    is_first_byte = (np.frombuffer(raw, np.uint8) & 0xC0) != 0x80  # of a character
    characters = np.concatenate([[0], np.cumsum(is_first_byte)])  # in front of each byte

    def add(tag: str, attributes: dict[str, str], *offsets: int) -> None:
        start, inside, after = (int(characters[at]) for at in offsets)
        elements.append(Element(tag, attributes, start, inside, after, depth=len(opened)))

    def start(tag: str, attributes: dict[str, str]) -> None:
        opened.append((tag.lower(), {key.lower(): value for key, value in attributes.items()}, parser.CurrentByteIndex))

    def end(_tag: str) -> None:
        tag, attributes, at = opened.pop()
        start_tag = _START_TAG.match(raw, at)
        assert start_tag
        inside = start_tag.end()
        is_empty = raw[inside - 2 : inside] == b"/>"
        add(tag, attributes, at, inside, inside if is_empty else raw.index(b">", parser.CurrentByteIndex) + 1)

    def comment(text: str) -> None:
        at = parser.CurrentByteIndex
        after = raw.index(b"-->", at) + len(b"-->")
        add(COMMENT, {"text": text}, at, after, after)

    def document_type(*_: object) -> None:
        raise ValueError("it has a DOCTYPE")

    parser.StartElementHandler, parser.EndElementHandler, parser.CommentHandler = start, end, comment
    parser.StartDoctypeDeclHandler = document_type
    parser.Parse(raw, True)
    return elements


_START_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""")


def _line_of(text: str, at: int) -> tuple[str, str, bool]:
    """Line break of the text, indentation of the line of an offset, and whether nothing else stands in front of that."""
    before = text[text.rfind("\n", 0, at) + 1 : at]
    rest = before.lstrip()
    return "\r\n" if "\r\n" in text else "\n", before[: len(before) - len(rest)], not rest


def _indented(lines: str, between: str) -> str:
    return between.join(lines.splitlines())
