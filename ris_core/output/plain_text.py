"""Text that others wrote, as text: never as markup, as a command to a terminal, or as what an encoding cannot hold."""

import json
import re
from typing import Any

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What moves a cursor, ends a line, turns the direction of what follows, or is no character."""
_LINE_ENDS = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What some readers of lines take for the end of one, and JSON does not escape of itself."""
_MARKDOWN = re.compile(r"[\\`*_\[\]|~$]")
_HTML = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}


def whole(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs: what UTF-8 can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(text: str) -> str:
    """The text on one line of a terminal: controls are written as Python would."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def lines(text: str) -> str:
    """The text on several lines of a terminal, as `one_line` has each."""
    return "\n".join(map(one_line, text.replace("\r\n", "\n").split("\n")))


def page(text: str) -> str:
    """The text of a whole document, with U+FFFD for what is no character of one: controls but ends of lines and tabs."""
    return _CONTROLS.sub(lambda match: match[0] if match[0] in "\n\r\t" else "\ufffd", whole(text))


def markdown(text: object) -> str:
    """The text in a line or a cell of a table of Markdown, shown as it is: no markup, no HTML, no end of line."""
    words = " ".join(whole(str(text)).split())
    return _MARKDOWN.sub(r"\\\g<0>", one_line(words).translate(_HTML))


def to_json(value: Any) -> str:
    """A value as one line of JSON that UTF-8 can hold and that no reader of lines cuts."""
    text = whole(json.dumps(value, ensure_ascii=False))
    return _LINE_ENDS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
