"""What an annotator types into the prompt: which entry is asked now, its expressions, their labels, and what is said to be absent."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from backend.label_studio.label_config import Control, LabelConfig
from backend.label_studio.label_names import LabelMatch, fold, split_words
from backend.label_studio.protocol import Json, text_of
from ris_core.errors import BadExpression, BadInput

MAX_EXPRESSIONS = 16
"""Expressions of one request; each costs a segmentation while the annotator waits."""
ADVISED_LENGTH = 80
"""Characters of a label that is advised to be typed."""
Command = Literal["help", "accept", "reject"]
_COMMANDS: Mapping[str, Command] = {
    **dict.fromkeys(("help", "?", "/help"), "help"),
    **dict.fromkeys(("ok", "okay", "yes", "accept"), "accept"),
    **dict.fromkeys(("no", "undo", "reject", "wrong", "delete"), "reject"),
}
"""What people type to a prompt besides expressions, as a whole."""
_SEPARATORS = ";；"
_COLONS = ":："
_ABSENT = re.compile(rf"\s*none[{_COLONS}]", re.I)
_MORE = 40
"""Characters that a label may be typed longer than twice its names: blanks, and what is written out."""
_PREFIX_WORDS = 3
"""Words of what may be meant as a label, though there is none of that name."""
_DETERMINERS = frozenset(
    ("the", "a", "an", "this", "that", "these", "those", "all", "both", "every", "each", "any", "my", "his", "her")
)


@dataclass(frozen=True)
class ParsedPrompt:
    """The TextArea result that triggered a prediction.

    Attributes:
        id: Its result id: the same as long as the annotator keeps adding to it or edits it.
        texts: All its entries, in order, newest last.
        name: Of its control.
    """

    id: str
    texts: tuple[str, ...]
    name: str = ""


def read_prompt(context: Sequence[Json] | None, config: LabelConfig) -> ParsedPrompt | None:
    """The prompt in a context; None if there is none, as with clicks, boxes and after a submit.

    A per-region TextArea of the same config is not a prompt. If several prompts were sent the last one counts.
    """
    for result in reversed(context or ()):
        if str(result.get("type", "")).lower() != "textarea" or result.get("from_name") not in config.prompts:
            continue
        value = result.get("value")
        texts = value.get("text") if isinstance(value, Mapping) else None
        entries = [texts] if isinstance(texts, str) else texts if isinstance(texts, list) else []
        return ParsedPrompt(
            id=text_of(result.get("id")),
            texts=tuple(text for text in entries if isinstance(text, str)),
            name=text_of(result.get("from_name")),
        )
    return None


@dataclass(frozen=True)
class PromptEntries:
    """The entries of a prompt, and which of them is asked now.

    Attributes:
        texts: All of them, newest last.
        at: Index of the one that is asked.
    """

    texts: tuple[str, ...]
    at: int

    @property
    def asked(self) -> str:
        """What is asked."""
        return self.texts[self.at]

    def keep(self, parts: Sequence[str], control: Control | None = None) -> tuple[str, ...]:
        """The entries, of the one that is asked only these parts, and none that another entry has already.

        Args:
            control: As of `split_expressions`.
        """
        others = [text for i, text in enumerate(self.texts) if i != self.at]
        known = {fold(part) for text in others for part in _split(text, control)}
        known |= {fold(split_label(control, part)[1]) for text in others for part in _split(text, control) if control}
        kept = "; ".join(dict.fromkeys(part for part in parts if fold(part) not in known))
        others.insert(self.at, kept)
        return tuple(text for text in others if text)


def find_asked(texts: Sequence[str], last_texts: Sequence[str] | None) -> PromptEntries | None:
    """The entry now asked for: the one that is new since the last request, else the last; None if there is none.

    Entries are compared as a bag, so that removing one (which sends no request) does not hide what was added after.

    Args:
        texts: Entries of the TextArea now.
        last_texts: Its entries at the last request; None at the first.
    """
    if not texts:
        return None
    new = Counter(texts) - Counter(last_texts or ())
    at = next((i for i in reversed(range(len(texts))) if texts[i] in new), len(texts) - 1)
    return PromptEntries(tuple(texts), at)


def split_expressions(text: str, control: Control | None = None) -> tuple[str, ...]:
    """The expressions of `"the dog; the cat"`, without blank and repeated ones.

    Args:
        control: Where their masks go: a label of its that has a ";" in it is not cut where it stands before a ":".

    Raises:
        BadExpression: If there are more than `MAX_EXPRESSIONS`.
    """
    firsts: dict[str, str] = {}
    for part in _cut(text, control):
        firsts.setdefault(fold(part), part.strip())
    parts = tuple(part for part in firsts.values() if part)
    if len(parts) > MAX_EXPRESSIONS:
        raise BadExpression(
            f'{len(parts)} expressions were asked for at once; ask for at most {MAX_EXPRESSIONS}, separated by ";".'
        )
    return parts


@dataclass(frozen=True)
class PickedLabel:
    """The label of an expression's regions.

    Attributes:
        expression: The expression without its label prefix.
        label: A label of the control.
        is_guess: Nothing told which label it is; the first of those that it may be was taken.
        others: What it may be instead, the likeliest first; empty if it is no guess.
        no_label: What stands before a colon as a label would, and is none.
    """

    expression: str
    label: str
    is_guess: bool
    others: tuple[str, ...] = ()
    no_label: str = ""


def split_label(control: Control, text: str) -> tuple[str | None, str]:
    """Label and expression of `"Label: expression"`; None for the label if the prefix is none of the control's, or one of several.

    The name may be folded, and may have colons in it: what is written exactly goes before what is not, the longer before the
    shorter.
    """
    match, expression = _read_prefix(control, text)
    return (match.labels[0] if match and len(match.labels) == 1 else None), expression


def pick_label(control: Control, text: str, head_noun: str, phrase: str = "") -> PickedLabel:
    """Choose the label: the one named in a prefix, the only one, the one that the target's noun names, else the first.

    Args:
        control: The control that the regions go to.
        text: The expression as typed, with or without a "Label: " prefix.
        head_noun: Head of the expression's target phrase; empty if there is none or it is not known yet.
        phrase: The target phrase, if it is known.
    """
    match, expression = _read_prefix(control, text)
    no_label = "" if match else _read_no_label(expression)
    if match is None and len(control.labels) > 1 and head_noun:
        match = control.names.find_noun(expression, head_noun, phrase)
    likely = match.labels if match else control.labels
    is_guess = len(likely) > 1
    others = tuple(label for label in dict.fromkeys((*likely, *control.labels)) if label != likely[0])
    return PickedLabel(expression, likely[0], is_guess, others if is_guess else (), no_label)


def advise(control: Control, labels: Iterable[str]) -> str:
    """What to type before a colon to choose the first of these labels that can be typed; empty if none can.

    It is what the page shows, or the label's words: only what is read back as that label is advised.
    """
    for label in labels:
        own = [name.text for name in control.names.all if name.label == label and name.rank < 2]
        for name in dict.fromkeys((label, *own, " ".join(split_words(label)))):
            if len(name) <= ADVISED_LENGTH and name.isprintable() and _is_typed(control, f"{name}: it", label):
                return name
    return ""


def read_command(text: str) -> Command | None:
    """What a text asks for that is not about the picture; None of any other text."""
    return _COMMANDS.get(fold(text).strip(" .!"))


def is_again(text: str) -> bool:
    """Whether a text asks for the last entry once more."""
    return fold(text).strip(" .!") in ("again", "retry")


def read_absent(text: str) -> str | None:
    """The expression of which a text says that it means nothing, empty if it names none; None of any other text."""
    match = _ABSENT.match(text)
    return " ".join(text[match.end() :].split()) if match else None


def list_absent(entries: Iterable[str]) -> tuple[str, ...]:
    """Those of the entries of a prompt, each of which may hold several texts with ";" between, in order and once each."""
    texts = (text for entry in entries for text in _split(entry))
    return tuple(dict.fromkeys(absent for text in texts if (absent := read_absent(text))))


def seems_several(expression: str) -> bool:
    """Whether an expression lists several things as other tools have it: `"frog . car ."`, `"frog, car, tree"`."""
    text = expression.strip()
    if re.search(r"\w\s+\.\s+\w|\w\s+\.$", text):
        return True
    things = [split_words(part) for part in re.split(r"[,、，|]", text)]
    return len(things) > 2 and all(0 < len(words) <= _PREFIX_WORDS for words in things)


def _read_prefix(control: Control, text: str) -> tuple[LabelMatch | None, str]:
    """What a text names before one of its colons, and what stands behind that; the whole text if that is no label."""
    best: tuple[int, int] | None = None
    prefix: tuple[LabelMatch | None, str] = None, text.strip()
    room = len(text) - len(text.lstrip()) + 2 * max(len(name.text) for name in control.names.all) + _MORE
    for at in (i for i, character in enumerate(text[:room]) if character in _COLONS):
        rest, match = text[at + 1 :].strip(), control.names.find(text[:at])
        if rest and match and (best is None or (match.level, -at) < best):
            best, prefix = (match.level, -at), (match, rest)
    return prefix


def _read_no_label(text: str) -> str:
    """What was meant as a label: "Dog" of "Dog: the brown one", and nothing of "9:15", "sign: STOP" and "the sign: stop"."""
    match = re.match(rf"([^{_COLONS}]+)(?::\s+|：\s*)(.+)", text, re.S)
    if not match:
        return ""
    prefix, rest = match[1].strip(), match[2].strip()
    words, rest_words = split_words(prefix), split_words(rest)
    is_name = 0 < len(words) <= _PREFIX_WORDS and words[0] not in _DETERMINERS and any(map(str.isalpha, words))
    is_quoted = rest.isupper() or not rest_words or rest_words[0].isdecimal() or rest[0] in "\"'“”‘’«»"
    return prefix if is_name and not is_quoted and (len(rest_words) > 1 or prefix[0].isupper()) else ""


def _is_typed(control: Control, text: str, label: str) -> bool:
    """Whether a text, typed, is one expression with this label."""
    return (
        read_absent(text) is None
        and split_expressions(text, control) == (text.strip(),)
        and split_label(control, text)[0] == label
    )


def _cut(text: str, control: Control | None = None) -> Iterator[str]:
    """What stands between separators, but not in those that are part of a label."""
    label = _label_with_separator(control) if control else None
    start = at = 0
    while start <= len(text):
        match = label.match(text, start) if label and at == start else None
        at = match.end() if match else at
        end = next((i for i in range(at, len(text)) if text[i] in _SEPARATORS), len(text))
        yield text[start:end]
        start = at = end + 1


def _label_with_separator(control: Control) -> re.Pattern[str] | None:
    """Finds the names with a separator in them, and the colon behind; the longest first."""
    names = {" ".join(name.text.split()) for name in control.names.all}
    cut = sorted((name for name in names if any(one in name for one in _SEPARATORS)), key=len, reverse=True)
    if not cut:
        return None
    patterns = [re.sub(r"(\\ )*([;；])(\\ )*", r"\\s*\2\\s*", re.escape(name)).replace("\\ ", r"\s+") for name in cut]
    return re.compile(rf"\s*(?:{'|'.join(patterns)})\s*(?=[{_COLONS}])", re.I)


def _split(entry: str, control: Control | None = None) -> tuple[str, ...]:
    try:
        return split_expressions(entry, control)
    except BadInput:  # too many to be asked at once, but what they say counts
        return tuple(_cut(entry, control))
