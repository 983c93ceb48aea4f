"""What is said of one thing in a parse, before its landmarks are read; and which noun phrases are things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ris_core.language import grammar, lexicon
from ris_core.language.values import Clause

if TYPE_CHECKING:
    from spacy.tokens import Span, Token

NOBODY = -1
"""Key of the notes on a thing that has no noun phrase ("standing on the left")."""


@dataclass
class Description:
    """What is said about one thing; landmarks and exclusions stay spans.

    Attributes:
        before, after: Words of its look, before and after its noun.
        clauses: Where it is, each with what it is measured against.
        excluded: What is not meant: a thing, or words before and after the noun.
        ordinal: "second", "last", …, or empty.
        number: How many, if a word says so.
        is_every: "all", "every" or the like is said.
    """

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    clauses: list[tuple[Clause, Sequence[Span]]] = field(default_factory=list)
    excluded: list[Span | tuple[str, str]] = field(default_factory=list)
    ordinal: str = ""
    number: int | None = None
    is_every: bool = False


def is_plural(noun: Token) -> bool:
    """By its tag, but not "scissors"."""
    return noun.tag_ in ("NNS", "NNPS") and noun.lower_ not in lexicon.PAIRED_NOUNS


def is_thing(chunk: Span, is_target: bool) -> bool:
    """No place in the picture, no pronoun, and not "the one" of "that is the one on the left"."""
    root = chunk.root
    if root.lower_ in lexicon.PLACEHOLDERS:
        return root.dep_ != "attr" or (root.head.dep_ == "ROOT" and is_target)
    if root.lower_ in lexicon.CLOCK:
        return False
    if root.like_num:
        return is_target
    if root.lower_ == "row" and not is_target and any(token.lower_ in lexicon.SIDES for token in chunk):
        return False  # "in the back row" is a place
    if root.pos_ == "PRON" or root.lower_ in lexicon.ORDINALS or root.lower_ in lexicon.EXTREMES:
        return False
    if root.lower_ == "top" and _is_garment(chunk):
        return True
    is_named = any(word.pos_ in ("NOUN", "PROPN") for word in chunk[:-1])  # "sky area" is the sky
    is_told = (
        is_target
        and not is_named
        and root.lower_ in _AREAS
        and any(word.is_alpha and word.lower_ not in _BARE for word in chunk.doc)
    )
    return root.lower_ not in grammar.PLACES or is_told or (is_target and root.lower_ in lexicon.PICTURES)


_AREAS = lexicon.words("area region section space spot")
"""Parts of the picture that are things if something is said of them: "the snowy area", "area left of the bed"."""
_BARE = grammar.PLACES | _AREAS | frozenset(lexicon.SIDES) | lexicon.words("the a an of in on at to far very")


def _is_garment(chunk: Span) -> bool:
    """ "in a blue top", "wearing a top": worn, or told by something else than a side. "in the top left" is a place."""
    worn = chunk.doc[max(chunk.start - 1, 0)].lower_ in ("wearing", "wears")
    looks = [token for token in chunk if token.i != chunk.root.i and token.pos_ in ("ADJ", "NOUN", "VERB")]
    is_told = any(token.lower_ not in lexicon.SIDES and token.lower_ not in lexicon.FAR for token in looks)
    return worn or (is_told and chunk.root.dep_ in grammar.OBJECT_LABELS)
