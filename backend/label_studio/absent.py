"""Expressions that mean nothing in an image, as annotators say so where they type prompts: "none: the giraffe"."""

from collections.abc import Iterable

from backend.label_studio.protocol import split_expressions
from ris_core.errors import BadInput

PREFIX = "none:"


def read_absent(text: str) -> str | None:
    """The expression of which a text says that it means nothing, empty if it names none; None of any other text."""
    bare = text.strip()
    if bare[: len(PREFIX)].casefold() != PREFIX:
        return None
    return " ".join(bare[len(PREFIX) :].split())


def list_absent(entries: Iterable[str]) -> tuple[str, ...]:
    """Those of the entries of a prompt, each of which may hold several texts with ";" between, in order and once each."""
    texts = (text for entry in entries for text in _split(entry))
    return tuple(dict.fromkeys(absent for text in texts if (absent := read_absent(text))))


def _split(entry: str) -> tuple[str, ...]:
    try:
        return split_expressions(entry)
    except BadInput:  # too many to be asked at once, but what they say counts
        return tuple(entry.split(";"))
