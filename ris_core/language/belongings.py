"""What is a look, and no place, although a preposition says it: clothes, own parts, gazes.

"The man in the car" is in a place, "the man in the red shirt" is not; nor is "a scarf around her neck", or who walks "away from us".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ris_core.language import hypernyms, lexicon

if TYPE_CHECKING:
    from spacy.tokens import Span

_WORN_AT = lexicon.words("on around at over upon onto")
"""Before somebody's own part, no places; but "the lamp above her head" is in one."""
_OWN = lexicon.words("arm hand neck wrist shoulder lap chest nose ear forehead chin knee waist phone cellphone cell")
"""Parts and belongings: "tattoos on both arms", "talking on the phone"."""
_NOWHERE = lexicon.words("air sun shade wind rain snow dark sunlight flight motion distance sky")
"""Where everything may be."""
_PARTICLES = lexicon.words("up down straight back over out right directly")
_ARTICLES = lexicon.words("the a an this that")


def is_gaze(words: Sequence[str], i: int) -> bool:
    """Whether a word tells where something looks or goes: "walking AWAY from the house", "smiling AT the boy", "looking up AT us"."""
    before = [word for word in words[max(i - 2, 0) : i] if word not in _PARTICLES]
    return words[i] in ("at", "away") and bool(before) and before[-1] in lexicon.GAZES


def is_own(words: Sequence[str], i: int, landmark: Span) -> bool:
    """Whether a preposition at `i` tells of somebody's own part: "around her neck", "on both arms"."""
    is_part = words[landmark.start] in lexicon.POSSESSIVES or lexicon.singular(landmark.root.lower_) in _OWN
    return words[i] in _WORN_AT and is_part


def is_container(words: Sequence[str], landmark: Span, holder: str) -> bool:
    """Whether what follows "in" is a place that a thing is in; of people only with "the", since they may wear it.

    Args:
        words: Of the document, as they are spelled in descriptions.
        landmark: The noun phrase behind "in".
        holder: The noun of what is said to be in it.
    """
    noun = landmark.root.lower_
    is_look = bool({noun, lexicon.singular(noun)} & (lexicon.GARMENTS | _NOWHERE)) or noun in lexicon.COLOURS
    article = words[landmark.start]
    is_person = hypernyms.is_kind_of(holder, "person") or lexicon.singular(holder) == "person"
    return landmark.root.pos_ == "NOUN" and not is_look and article in _ARTICLES and (article == "the" or not is_person)
