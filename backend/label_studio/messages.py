"""What an annotator is told: one short sentence about what happened. No internals, no paths, no addresses, no secrets."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from backend.base.errors import BadConfig, Busy, ImageCause, ImageUnreachable, Unreachable
from backend.settings.project import BadProjectSetting
from ris_core.errors import BadExpression, BadImage, BadImageCause, NegatedTarget, RisError, UnknownWord

Kind = Literal[
    "no_worker",
    "loading",
    "unreachable",
    "busy",
    "encoding",
    "too_slow",
    "bad_setting",
    "bad_config",
    "image_unreachable",
    "bad_image",
    "failed",
    "bad_expression",
    "negated",
    "unknown_word",
    "nothing_found",
    "ambiguous",
    "label_guessed",
    "no_label",
    "candidate",
    "absent",
    "emptied",
    "replaces",
    "others",
    "click",
    "other_image",
    "separate",
    "unused",
    "english",
    "help",
    "accept",
    "reject",
    "repeated",
    "reading",
    "words",
    "meant",
    "corrects",
    "alone",
    "inside",
    "not_words",
    "worse",
    "accept_first",
    "instead",
    "sent_back",
    "uncalibrated",
]

MAX_LENGTH = 240
"""Characters of a message; it stands on one or two lines under the prompt."""
QUOTED_LENGTH = 40
"""Characters of an expression, label or setting that is quoted."""
RETRY_S = 20
"""How long a model that loads is given before the annotator is asked to try again."""
REASON_LENGTH = 120
"""Characters of why a label config cannot be answered."""
LISTED_LENGTH = 90
"""Characters of a list of labels."""
AMBIGUOUS_HINT = "something else fits nearly as well. Type #{rank} to see it, or say more."
"""What can be done about an ambiguous expression, with the rank of what else fits."""

TEXTS: Mapping[Kind, str] = {
    "no_worker": "No worker is running: ask whoever runs the backend.",
    "loading": f"Still loading the model, try again in {RETRY_S} s.",
    "unreachable": "The backend cannot work right now: ask whoever runs it.",
    "busy": "Busy: others are waiting too. Try again in a minute.",
    "encoding": "Reading the picture, {about}. Type “again” then.",
    "too_slow": "That took too long. Try again; if it happens often, ask whoever runs the backend.",
    "bad_setting": "This project's setting {about} cannot be used: ask whoever connected the project.",
    "bad_config": "This project cannot be answered: {about}. Ask whoever set the project up.",
    "image_unreachable": "The image cannot be reached: {about}.",
    "bad_image": "The image cannot be opened: {about}.",
    "failed": "Something went wrong. Try again; if it happens often, ask whoever runs the backend.",
    "bad_expression": "{about}",
    "negated": "{about}",
    "unknown_word": "{about}",
    "nothing_found": "Nothing found for {about}.",
    "meant": "Did you mean {about}?",
    "ambiguous": "Not sure about {about}",
    "candidate": "{about}",
    "absent": "Kept when you submit: nothing in the image is “{about}”. It was not searched.",
    "emptied": "Nothing is left of it: now click on what you mean.",
    "replaces": (
        "Accept it, and it takes the place of the mask that you accepted before, with what you painted on it in the last 5 s."
    ),
    "instead": "Accepted, it takes the place of the one before; “also next” keeps both.",
    "corrects": "Corrects the mask of {about}.",
    "alone": "Taken by itself: Label Studio has not saved yet which expression it is about.",
    "inside": "Searched for {about} in the box.",
    "not_words": "What the box shows, and not {about}: it is saved without words.",
    "worse": "It may be less exact than before; Undo takes it back.",
    "accept_first": "Accept it before you submit, or only what you drew is saved.",
    "others": "Not it? “next” shows what else that can mean.",
    "label_guessed": "Label guessed: {about}",
    "no_label": "{about}",
    "click": "Nothing says where the thing is: undo, then click on it, or draw a box around it.",
    "other_image": "Only the image “{about}” is answered here.",
    "separate": "Several things? Write “;” between them.",
    "unused": "Not used: {about}.",
    "english": "Expressions are read in English. No English word was found, so only the look counts.",
    "help": (
        "Type what you mean: “the red cup left of the dog”, or several with “;”. Then “next” and “back” for other candidates, "
        "“Label: the cup” to choose a label, “none: the cat” if there is none."
    ),
    "accept": "Accept it with the tick; or switch Auto-Accept on, and every mask is accepted at once.",
    "reject": "Take it back with Undo (Tab, then Ctrl+Z). “next” shows another candidate in its place.",
    "reading": "Read as: {about}.",
    "words": "Looked for {about}, as this project has learnt.",
    "sent_back": "A reviewer sent back {about}.",
    "uncalibrated": "Scores here only put candidates in order: none says how likely a mask is right.",
    "repeated": "The mask of {about} is there already. Type it again to get it once more.",
}
"""The sentences."""

PRIORITY: Mapping[str, tuple[Kind, ...]] = {
    "what went wrong, or brought nothing": (
        "no_worker",
        "loading",
        "unreachable",
        "busy",
        "encoding",
        "too_slow",
        "bad_setting",
        "bad_config",
        "image_unreachable",
        "bad_image",
        "failed",
        "bad_expression",
        "negated",
        "unknown_word",
        "other_image",
        "nothing_found",
        "meant",
        "emptied",
        "click",
        "help",
        "accept",
        "reject",
        "repeated",
    ),
    "what a reviewer says": ("sent_back",),
    "a guess": ("label_guessed", "no_label"),
    "what is kept or replaced": ("absent", "not_words", "worse", "replaces", "corrects", "alone", "inside"),
    "words that were not used": ("separate", "english", "unused"),
    "how it was read": ("ambiguous", "words", "reading"),
    "the rest": ("candidate", "instead", "others", "accept_first", "uncalibrated"),
}
"""What is said first, and stays where there is no room for everything."""
URGENCY: tuple[Kind, ...] = tuple(kind for kinds in PRIORITY.values() for kind in kinds)

TEXT_FAULTS: frozenset[Kind] = frozenset(("bad_expression", "negated", "unknown_word", "nothing_found"))
"""What is said of a text that brings nothing, however often it is asked."""

ERRORS: Mapping[type[RisError], Kind] = {
    BadExpression: "bad_expression",
    NegatedTarget: "negated",
    UnknownWord: "unknown_word",
    BadImage: "bad_image",
    ImageUnreachable: "image_unreachable",
    BadProjectSetting: "bad_setting",
    BadConfig: "bad_config",
    Busy: "busy",
    Unreachable: "unreachable",
    RisError: "failed",
}
"""What an error is told as; a class that is not here is told as its nearest parent."""

IMAGE_CAUSES: Mapping[ImageCause, str] = {
    "bad_address": "the task has no usable address",
    "bad_data_uri": "the task's data is damaged",
    "unknown_host": "its host is not known",
    "host_not_allowed": "its host is not allowed",
    "not_data": "its address is a page of Label Studio, not an image",
    "in_storage": "only Label Studio can open its storage",
    "local_file": "the file cannot be read",
    "token": "Label Studio does not let the backend read it",
    "expired": "its address has expired, or its server does not let the backend read it",
    "missing": "it does not exist",
    "redirect": "its address leads elsewhere",
    "moved": "Label Studio is at another address",
    "too_large": "it is too large",
    "too_slow": "it took too long",
    "passing": "its server does not give it out",
    "down": "its server does not answer",
    "refused": "its server does not give it out",
    "other": "ask whoever set the project up",
}
"""What an `ImageUnreachable` says to an annotator; its own text has addresses and settings in it."""

BAD_IMAGE_CAUSES: Mapping[BadImageCause, str] = {
    "missing": "its file is not there",
    "empty": "it is empty",
    "unknown_kind": "it is no image of a known kind",
    "web_page": "a web page came in its place, perhaps since Label Studio asks for a login",
    "too_large": "it is too large",
    "damaged": "it is damaged",
    "other": "ask whoever set the project up",
}
"""What a `BadImage` says to an annotator."""


@dataclass(frozen=True)
class Message:
    """What is said, and the kind of it, which is counted.

    Attributes:
        kind: Of several that were joined that of the first.
        parts: Those that it was joined of, the most urgent first, with those that there was no room for; empty for a single one.
    """

    kind: Kind
    text: str
    parts: tuple["Message", ...] = field(default=(), compare=False)

    @property
    def left_out(self) -> tuple[str, ...]:
        """What there was no room for."""
        return tuple(part.text for part in self.parts if part.text not in self.text)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        parts = [part.to_json() for part in self.parts]
        return {"kind": self.kind, "text": self.text, **({"parts": parts} if parts else {})}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Message":
        """What `to_json` returned, once it was JSON."""
        return cls(value["kind"], value["text"], tuple(map(cls.from_json, value.get("parts", ()))))


def say(kind: Kind, about: str = "") -> Message:
    """The sentence of a kind, with what it is about; never longer than `MAX_LENGTH`."""
    return Message(kind, _clip(TEXTS[kind].format(about=about), MAX_LENGTH))


def about_answer(
    expression: str,
    decision: str,
    is_empty: bool,
    label: str = "",
    other_label: str = "",
    *,
    has_candidates: bool = False,
    seems_several: bool = False,
    unused: Sequence[str] = (),
    rival: int = 2,
    reading: str = "",
    meant: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Message, ...]:
    """What is to be said about an expression's answer; nothing if it is a plain match.

    Args:
        expression: As typed, without its label.
        decision: "match", "ambiguous" or "no_match".
        is_empty: Nothing was handed out.
        label: The label that was guessed; empty if it was not.
        other_label: One that may be meant instead, as it can be typed before a colon; empty if none can be.
        has_candidates: There is something to be shown, however unlikely.
        seems_several: The expression may list several things without the separator.
        unused: Its words that the model does not know, and did not use.
        rival: Rank of what fits nearly as well.
        reading: How it was read, if that is to be said.
        meant: What words of it may have been meant as, by the word.
    """
    remarks = [say("separate")] if seems_several else []
    if reading:
        remarks.append(say("reading", _clip(reading, LISTED_LENGTH)))
    if unused:
        remarks.append(say("unused", ", ".join(map(_quote, unused))))
    near = ", ".join(map(_quote, dict.fromkeys(meant.values())))
    if is_empty:
        nearest = ". “next” shows what comes nearest" if has_candidates else ""
        question = (say("meant", near),) if near else ()
        return (say("nothing_found", _quote(expression) + nearest), *question, *remarks)
    if near:
        remarks.append(say("meant", near))
    if decision == "ambiguous":
        remarks.append(say("ambiguous", f"{_quote(expression)}: {AMBIGUOUS_HINT.format(rank=rival)}"))
    if label:
        remarks.append(about_guess(label, other_label))
    return tuple(remarks)


def about_encoding(left_s: float) -> Message:
    """What is said while a picture is encoded, which takes longer than an answer may; `left_s` is infinite if it is not known."""
    if math.isinf(left_s):
        return say("encoding", "which takes a minute or more")
    tens = max(1, math.ceil(left_s / 10))
    return say("encoding", f"about {10 * tens} s" if tens <= 12 else f"about {math.ceil(left_s / 60)} minutes")


def about_guess(label: str, other_label: str = "") -> Message:
    """What is to be said about a label that nothing named. Args: as of `about_answer`."""
    remedy = f"write “{other_label}: …” to choose." if other_label else "correct it once it is accepted."
    return say("label_guessed", f"{_clip(label, QUOTED_LENGTH)}; {remedy}")


def about_correction(expression: str) -> Message:
    """What is to be said where a click or a box is taken to be about what was offered a moment ago."""
    return say("corrects", _quote(expression) if expression else "what you pointed at before")


def about_words(replaced: Mapping[str, str]) -> Message:
    """What is to be said where others were looked for in place of typed phrases; at least one, by phrase."""
    pairs = (f"{_quote(meaning)} in place of {_quote(phrase)}" for phrase, meaning in replaced.items())
    return say("words", _clip(", ".join(pairs), 2 * LISTED_LENGTH))


def about_inside(expression: str, is_it: bool) -> Message:
    """What is to be said of what was found in a box: whether it is what the expression says."""
    return say("inside" if is_it else "not_words", _quote(expression))


def about_sent_back(expression: str, reason: str, comment: str) -> Message:
    """What is to be said of a mask that a reviewer rejected; each of these may be empty."""
    what = _quote(expression) if expression else "a mask"
    why = ", ".join(filter(None, (reason, _clip(comment, REASON_LENGTH).rstrip("."))))
    return say("sent_back", f"{what}: {why}" if why else what)


def about_repeated(expressions: Sequence[str]) -> Message:
    """What is to be said where the same was asked for again in an annotation."""
    return say("repeated", _clip(", ".join(map(_quote, expressions)), LISTED_LENGTH))


def about_prefix(prefix: str, labels: Sequence[str]) -> Message:
    """What is to be said where a label was meant that does not exist.

    Args:
        prefix: What was typed for it.
        labels: Which there are, at least one.
    """
    if len(labels) == 1:
        return say("no_label", f"{_quote(prefix)} is no label here; there is only {_clip(labels[0], QUOTED_LENGTH)}.")
    listed, rest = _clip(labels[0], QUOTED_LENGTH), list(labels[1:])
    while rest and len(listed) + len(rest[0]) + 2 <= LISTED_LENGTH:
        listed += f", {rest.pop(0)}"
    more = f" and {len(rest)} more" if rest else ""
    return say("no_label", f"{_quote(prefix)} is no label here; there are {listed}{more}.")


def about_candidate(rank: int, count: int, probability: float | None = None) -> Message:
    """What is to be said about a candidate that was asked for.

    Args:
        rank: Its rank, from 1.
        count: How many there are.
        probability: That it is right, in [0, 1]; None if its score only ranks.
    """
    if count == 1:
        return say(
            "candidate", "There is no other candidate. Say it differently, click on it, or draw a box around it."
        )
    more = "“next” shows the next." if rank < count else "It is the last; “next” begins again."
    fits = "" if probability is None else f", fits with {_percent(probability)}"
    return say("candidate", f"Candidate {rank} of {count}{fits}. {more}")


def about_nothing(kind: str) -> Message:
    """What is to be said where nothing was found at a "click" or in a "box".

    Label Studio takes away what was drawn only with a suggestion, and would save it.
    """
    return say("nothing_found", f"this {kind}: undo it, so that it is not submitted")


def about_error(error: RisError) -> Message:
    """What is to be said about what went wrong, and its notes: about a label that does not exist, or words that were replaced."""
    notes = (say("no_label", note) for note in getattr(error, "__notes__", ()))
    return join((_about_error(error), *notes)) or say("failed")


def _about_error(error: RisError) -> Message:
    kind = next(ERRORS[kind] for kind in type(error).__mro__ if kind in ERRORS)
    if isinstance(error, BadExpression):  # made of the annotator's own words and of advice
        return say(kind, str(error))
    if isinstance(error, ImageUnreachable):
        return say(kind, IMAGE_CAUSES[error.cause])
    if isinstance(error, BadImage):
        is_named = bool(error.kind) and error.cause == "unknown_kind"
        return say(kind, f"{error.kind} images are not read" if is_named else BAD_IMAGE_CAUSES[error.cause])
    if isinstance(error, BadProjectSetting):
        is_text = error.key == "profile" and isinstance(error.value, str)
        return say(kind, f"{error.key} ({_quote(str(error.value))})" if is_text else error.key)
    if isinstance(error, BadConfig):
        return say(kind, _clip(error.reason or "its label config or data does not suit", REASON_LENGTH))
    return say(kind)


def about_outcome(outcome: str) -> Message | None:
    """What is to be said about a request that ended without a word of its own; None for what needs none.

    Args:
        outcome: "answered", "unmatched", "idle", "superseded" (a newer one is answered), "expired" or "failed".
    """
    kinds: Mapping[str, Kind] = {"expired": "too_slow", "failed": "failed"}
    return say(kinds[outcome]) if outcome in kinds else None


def join(told: Iterable[Message]) -> Message | None:
    """One message of several, the most urgent first, as many as have room; None if there is none."""
    parts = (part for message in told for part in (message.parts or (message,)))
    ordered = sorted(dict.fromkeys(parts), key=lambda part: URGENCY.index(part.kind))
    if len(ordered) < 2:
        return next(iter(ordered), None)
    text = ordered[0].text
    for other in ordered[1:]:
        if len(text) + 1 + len(other.text) <= MAX_LENGTH:
            text = f"{text} {other.text}"
    return Message(ordered[0].kind, text, tuple(ordered))


def _percent(share: float) -> str:
    """Never 0 or 100 of what is neither."""
    percent = 100 * share
    return "less than 1 %" if percent < 1 else "more than 99 %" if percent > 99 else f"{percent:.0f} %"


def _quote(text: str) -> str:
    return f"“{_clip(text, QUOTED_LENGTH)}”"


def _clip(text: str, length: int) -> str:
    """On one line, of what can be printed, no longer than that."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
