"""The noun phrases of a parse that name things, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ris_core.language import grammar, lexicon
from ris_core.language.descriptions import NOBODY, is_thing

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span

_PICKING = (lexicon.SIDES, lexicon.EXTREMES, lexicon.ORDINALS, (lexicon.LAST,))
"""Words that say which one of its kind a thing is."""


@dataclass(frozen=True)
class NounPhrases:
    """The things that a text names.

    Attributes:
        phrases: Their noun phrases, in order.
        target: First token of the one that the grammar takes for the target, or `NOBODY`.
        owners: Of "the left boy's shoe" first token of the shoe to that of the boy.
    """

    phrases: Sequence[Span]
    target: int
    owners: Mapping[int, int]


def find_things(doc: Doc, words: Sequence[str]) -> NounPhrases:
    """Read the noun phrases of a document.

    Args:
        doc: With ClearNLP-style labels.
        words: Its words as they are spelled in descriptions.
    """
    target = grammar.find_target(doc)
    own = target.phrase.start if target else NOBODY
    chunks = (_trimmed(chunk, words) for chunk in doc.noun_chunks)
    phrases: list[Span] = []
    owners: dict[int, int] = {}
    for chunk in chunks:
        if is_thing(chunk, is_target=chunk.start == own):
            parts = list(_without_owner(chunk, words))
            phrases += parts
            owners |= {thing.start: owner.start for owner, thing in pairwise(parts)}
    return NounPhrases(phrases, next((start for start, owner in owners.items() if owner == own), own), owners)


def _trimmed(chunk: Span, words: Sequence[str]) -> Span:
    """Without a first word that is none of it: a comma, or "near" in "not near bike", which a parser may take for an adjective."""
    is_relation = words[chunk.start] == "near" and chunk.start > 0
    is_other = len(chunk) > 1 and (is_relation or chunk[0].is_punct)
    return chunk.doc[chunk.start + 1 : chunk.end] if is_other else chunk


def _without_owner(chunk: Span, words: Sequence[str]) -> Iterator[Span]:
    """A noun phrase, apart from its owner where words say which one that is: "the left boy's shoe", but not "the boy's shoe"."""
    end = next((token.i for token in chunk[1:-1] if token.lower_ in ("'s", "'")), 0)
    if any(words[i] in table for i in range(chunk.start, end - 1) for table in _PICKING):
        yield chunk.doc[chunk.start : end]
        yield chunk.doc[end + 1 : chunk.end]
    else:
        yield chunk
