"""Where an expression names a side of a thing: "the left half of the cake", "top of the tower", "the edge of the table".

Only "left of" and "right of" without a noun are relations; every other side that is said to be of a thing is a part of it. A part
without a side ("portion of the fence") is answered by the thing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ris_core.language import lexicon

PART_NOUNS = lexicon.words("half side part end section portion area corner edge quarter third")
"""Nouns of parts."""
_OPENINGS = lexicon.words("the a an very whole entire far near extreme")


@dataclass(frozen=True)
class NamedPart:
    """A side of a thing, as it was said.

    Attributes:
        keywords: Its directions, as in `lexicon.SIDES`; none of "the edge".
        wordings: The words of each: "bottom", "left corner".
        start: Index of the first word of the thing.
        colours: What it looks like: "the brown part".
    """

    keywords: Sequence[str]
    wordings: Sequence[str]
    start: int
    colours: Sequence[str] = ()


def opening_part(words: Sequence[str]) -> NamedPart | None:
    """The part that an expression begins with, if it does."""
    opening = next((i for i, word in enumerate(words) if word not in _OPENINGS), len(words))
    first = opening
    while first < len(words) and words[first] in lexicon.COLOURS:
        first += 1
    i = first
    while i < len(words) and words[i] in lexicon.SIDES:
        i += 1
    keywords = [lexicon.SIDES[word] for word in words[first:i]]
    is_named = i < len(words) and words[i] in PART_NOUNS
    stop = i + is_named
    is_relation = not is_named and not set(keywords).isdisjoint(("left", "right"))
    if not (keywords or is_named) or is_relation or words[stop : stop + 1] != ["of"]:
        return None
    wordings = [*words[first : i - 1], " ".join(words[i - 1 : stop])] if keywords else ()
    return NamedPart(keywords, wordings, stop + 1, words[opening:first])
