"""What an annotator types into the prompt: which entry is asked now, its expressions, their labels, and what is said to be absent."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend.label_studio.label_config import Config, Control, fold
from backend.label_studio.protocol import Json, text_of
from ris_core.errors import BadExpression, BadInput

MAX_EXPRESSIONS = 16
"""Expressions of one request; each costs a segmentation while the annotator waits."""
_SEPARATOR = ";"
_ABSENT = "none:"


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
        return Prompt(id=text_of(result.get("id")), texts=tuple(text for text in entries if isinstance(text, str)))
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
    label = control.aliases.get(fold(prefix)) if colon and rest.strip() else None
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


def read_absent(text: str) -> str | None:
    """The expression of which a text says that it means nothing, empty if it names none; None of any other text."""
    bare = text.strip()
    if bare[: len(_ABSENT)].casefold() != _ABSENT:
        return None
    return " ".join(bare[len(_ABSENT) :].split())


def list_absent(entries: Iterable[str]) -> tuple[str, ...]:
    """Those of the entries of a prompt, each of which may hold several texts with ";" between, in order and once each."""
    texts = (text for entry in entries for text in _split(entry))
    return tuple(dict.fromkeys(absent for text in texts if (absent := read_absent(text))))


def _match_noun(control: Control, expression: str, head_noun: str) -> str | None:
    """The label whose name, of one or more words, ends in the head noun and stands in the expression; the longest wins."""
    head, text = fold(head_noun), f" {fold(expression)} "
    if not head:
        return None
    for alias in sorted(control.aliases, key=len, reverse=True):
        last = alias.rsplit(" ", 1)[-1]
        if head in (last, f"{last}s", f"{last}es") and (alias == last or f" {alias}" in text):
            return control.aliases[alias]
    return None


def _split(entry: str) -> tuple[str, ...]:
    try:
        return split_expressions(entry)
    except BadInput:  # too many to be asked at once, but what they say counts
        return tuple(entry.split(";"))
