"""The kinds of outcomes: their names, their order in tables, and how pages explain and draw them."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Name = Literal["accepted", "edited", "replaced", "rejected", "missed", "imported", "foreign", "unanswered"]


class OutcomeKind(NamedTuple):
    """A kind of outcome.

    Attributes:
        meaning: What happened to the region, for readers of a report.
        colour: Of its bars, as CSS has it.
        is_verdict: The annotator has judged a proposal. Only these count when the quality of proposals is computed.
        is_exported: What was saved goes into data sets.
        is_hard_negative: What was offered shows what the expression does not mean.
    """

    meaning: str
    colour: str
    is_verdict: bool = False
    is_exported: bool = True
    is_hard_negative: bool = False


KINDS: Mapping[Name, OutcomeKind] = {
    "foreign": OutcomeKind("its id was offered for another task; never exported", "#000000", is_exported=False),
    "accepted": OutcomeKind("saved as it was offered (IoU at least 0.999)", "#2a9d57", is_verdict=True),
    "edited": OutcomeKind("offered, then changed", "#e9b44c", is_verdict=True),
    "replaced": OutcomeKind(
        "another candidate of the same query was taken", "#7b6cd9", is_verdict=True, is_hard_negative=True
    ),
    "rejected": OutcomeKind(
        "predicted when the task was opened, and deleted", "#d1495b", is_verdict=True, is_hard_negative=True
    ),
    "missed": OutcomeKind("drawn by hand", "#3d7fc4"),
    "imported": OutcomeKind("came with a data set; whether it was changed since is not known", "#8a6d3b"),
    "unanswered": OutcomeKind(
        "suggested, and not accepted; Label Studio does not report rejected suggestions", "#b5b5b5"
    ),
}
"""All outcomes, in the order of tables; "foreign" comes first because a person should look at it."""

NAMES: tuple[Name, ...] = tuple(KINDS)
HARD_NEGATIVES: tuple[Name, ...] = tuple(name for name, kind in KINDS.items() if kind.is_hard_negative)
VERDICTS: tuple[Name, ...] = tuple(name for name, kind in KINDS.items() if kind.is_verdict)
