"""A referring expression, as it was read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from ris_core.language import grammar, lexicon, referents
from ris_core.language.values import Referent

if TYPE_CHECKING:
    from spacy.tokens import Doc

_LITTLE = lexicon.words("the a an in at of number no nr")
_PLACES = grammar.PLACES | lexicon.CLOCK


@dataclass(frozen=True)
class Expression:
    """A referring expression and what its grammar says.

    Attributes:
        raw: As typed.
        text: Lower-cased, tokens joined by single blanks: what the text encoder reads.
        target_phrase: Noun phrase of the thing referred to.
        head: Head noun of the target phrase; the whole text if there is none.
        other_phrases: The other noun phrases, in order.
        position: "left", "right", "middle", "up", "down" or "none": where in the image.
        relation: "left", "right", "up", "down", "big", "small", "within" or "none": against the other things.
        is_whole: No noun phrase was found; the target phrase is the whole text.
        referents: What is asked for in full, with its clauses: one thing, or several that are joined by "and". Empty if it
            was not read.
        unused: Words that count for nothing: numbers that are no count ("player 23"), and what the profile does not know
            (`ris_core.language.vocabulary`).
    """

    raw: str
    text: str
    target_phrase: str
    head: str
    other_phrases: tuple[str, ...]
    position: str
    relation: str
    is_whole: bool
    referents: tuple[Referent, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def meant(self) -> tuple[str, str]:
        """Head and noun phrase of the first thing that is meant, as typed if it is the target: of "not the cat but the dog" the dog."""
        if not self.referents:
            return self.head, self.target_phrase
        first, spelled_head = self.referents[0], lexicon.spelled(self.head)
        is_target = first.head in (spelled_head, lexicon.singular(spelled_head))
        return (self.head, self.target_phrase) if is_target else (first.head, first.phrase)

    @property
    def names_nothing(self) -> bool:
        """Whether its words are places of the picture and numbers alone, read as nothing that could be found: "corner", "4"."""
        is_blank = bool(self.referents) and all(one == Referent(number=one.number) for one in self.referents)
        words = [word for word in self.text.split() if any(map(str.isalnum, word)) and word not in _LITTLE]
        return is_blank and bool(words) and all(word[0].isdecimal() or word in _PLACES for word in words)

    def named(self, noun: str) -> Self:
        """With a noun for every thing that the words only point at: "the white one", "second from the left" of a known kind.

        What names nothing at all ("corner") stays as it is, and so does what says only what is not meant.
        """
        if self.names_nothing:
            return self
        named = []
        for one in self.referents:
            words = [noun if word == referents.THING else word for word in one.phrase.split()] or [noun]
            is_named = bool(one.head) or one.is_only_denied or noun not in words
            named.append(one if is_named else replace(one, phrase=" ".join(words), head=noun.split()[-1]))
        return replace(self, referents=tuple(named))

    @classmethod
    def from_doc(
        cls,
        doc: Doc,
        quirks: frozenset[str] = frozenset(),
        raw: str | None = None,
        text: str | None = None,
        normal: Doc | None = None,
    ) -> Self:
        """Read a dependency parse (spaCy, ClearNLP-style labels).

        Args:
            doc: The parsed text.
            quirks: Identifiers of the released code's behaviours to reproduce (`docs/developers/method.md`).
            raw: What was typed, if it differs from the text of `doc`.
            text: Its tokens, joined by blanks, if they do.
            normal: The parse of the normalised text, if that differs: what is asked for in full is read from it.
        """
        phrases = grammar.analyse(doc, quirks)
        read = doc if normal is None else normal
        things = referents.read(read)
        return cls(
            raw=doc[:].text if raw is None else raw,
            text=doc[:].text if text is None else text,  # `doc.text` may end in a blank
            target_phrase=phrases.target,
            head=phrases.head,
            other_phrases=phrases.others,
            position=phrases.position,
            relation=phrases.relation,
            is_whole=phrases.is_whole,
            referents=things,
            unused=referents.unread(read, things),
        )
