"""The words that a text encoder was trained on, where they are few: what lies beyond them is said, not guessed.

A vocabulary is a value, stored as JSON beside the profile that names it. Words of place, order and number are none of it: they are
read by rules (`ris_core.language.lexicon`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ris_core.errors import UnknownName, UnknownWord
from ris_core.language import lexicon, spelling
from ris_core.language.expression import Expression
from ris_core.language.referents import THING
from ris_core.language.values import Clause, Referent

FOLDER = Path(__file__).parents[1] / "profiles"
SUFFIX = ".vocabulary.json"
_LINKING = frozenset(
    [*lexicon.ATTRIBUTIVES, *lexicon.HOLDING, "and", "or", "a", "an", "the", "his", "her", "its", "their"]
)
"""Words of a look that only join others."""
_POINTING = frozenset(
    [*_LINKING, *lexicon.PLACEHOLDERS, *lexicon.EVERY, *lexicon.NUMBERS, *lexicon.SKIPPED, *lexicon.COMMANDS]
) | lexicon.words("it this that these those them they there here which what is are me you i to else whole")
"""Words that ask for anything at all."""


@dataclass(frozen=True)
class Vocabulary:
    """What a text encoder knows.

    Attributes:
        nouns: In the singular; their plurals are known too.
        adjectives: Colours and the like.
        names: Nouns that the encoder does not know, in the singular: things may be called so, and nothing is described by them.
    """

    nouns: frozenset[str]
    adjectives: frozenset[str]
    names: frozenset[str] = frozenset()

    @classmethod
    def load(cls, name: str) -> Self:
        """Read a stored vocabulary.

        Args:
            name: As the profile calls it.

        Raises:
            UnknownName: If there is none of that name.
        """
        file = FOLDER / f"{name}{SUFFIX}"
        if not file.is_file():
            names = sorted(other.name.removesuffix(SUFFIX) for other in FOLDER.glob(f"*{SUFFIX}"))
            raise UnknownName(f"No vocabulary named {name!r}. Available: {', '.join(names)}.")
        stored = json.loads(file.read_text(encoding="utf-8"))
        return cls(nouns=frozenset(stored["nouns"]), adjectives=frozenset(stored["adjectives"]))

    def with_names(self, names: Iterable[str]) -> Self:
        """The same for things that may also be called by these nouns, since they are found by something else than the encoder."""
        return replace(self, names=frozenset(names))

    @property
    def digest(self) -> str:
        """Changes with the words of the encoder."""
        words = [sorted(self.nouns), sorted(self.adjectives)]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]

    @property
    def words(self) -> tuple[str, ...]:
        """Those of the encoder, in the order of the alphabet."""
        return tuple(sorted(self.nouns | self.adjectives))

    def knows(self, word: str) -> bool:
        """Whether a word of a look means something, in any number and spelling."""
        return bool(lexicon.forms(word) & (self.nouns | self.adjectives))

    def knows_noun(self, noun: str) -> bool:
        """Whether a thing may be called so."""
        return noun.casefold() in self.names or self.knows(noun)

    def restrict(self, expression: Expression) -> Expression:
        """What can be asked of it: things of known nouns, with `unused` for the words that had to be left out.

        Raises:
            UnknownWord: If nothing is left that is known.
        """
        unknown: list[str] = []
        restrictions = [self._restrict(referent, unknown) for referent in expression.referents]
        referents = tuple(referent for referent in restrictions if referent is not None)
        unused = tuple(dict.fromkeys([*unknown, *expression.unused]))
        if all(referent == Referent(number=referent.number) for referent in referents):  # nothing is said that was read
            unused = unused or tuple(dict.fromkeys(filter(self._is_strange, expression.text.split())))
            if expression.referents and unused:
                raise UnknownWord(unused, spelling.suggest(unused, self.words))
        return replace(expression, referents=referents, unused=unused)

    def _is_strange(self, word: str) -> bool:
        """Whether a word is none that only points, asks or counts."""
        return not (word in _POINTING or self.knows(word) or word in ",.;:!?")

    def _restrict(self, referent: Referent, unknown: list[str]) -> Referent | None:
        """The referent without what is not known, which goes to `unknown`; None if its noun is not, or nothing is left."""
        head, words = referent.head, referent.phrase.split()
        if head and not self.knows_noun(head):
            unknown.append(head)
            return None
        at = words.index(head or THING) if (head or THING) in words else len(words)
        before, after = self._keep(words[:at], unknown), self._keep(words[at + 1 :], unknown)
        is_whole = len(after) == len(words[at + 1 :])  # of "with a red ribbon" nothing stays without its noun
        phrase = [*before, *words[at : at + 1], *(after if is_whole else ())]
        if not head and not (before or (after and is_whole)):
            phrase = []
        clauses = tuple(clause for clause in (self._restrict_clause(c, unknown) for c in referent.clauses) if clause)
        excluded = tuple(other for other in referent.excluded if self._knows_all(other, unknown))
        is_lost = (referent.phrase and not phrase) or (referent.is_only_denied and not (excluded or clauses))
        return None if is_lost else replace(referent, phrase=" ".join(phrase), clauses=clauses, excluded=excluded)

    def _keep(self, words: Iterable[str], unknown: list[str]) -> list[str]:
        kept: list[str] = []
        for word in words:
            (kept if word in _LINKING or self.knows(word) else unknown).append(word)
        return kept

    def _restrict_clause(self, clause: Clause, unknown: list[str]) -> Clause | None:
        """None if a landmark is not known; whoever looks at the picture always is."""
        things = [
            thing if thing.head in lexicon.VIEWERS else self._restrict(thing, unknown) for thing in clause.landmarks
        ]
        landmarks = tuple(thing for thing in things if thing is not None)
        return replace(clause, landmarks=landmarks) if len(landmarks) == len(things) else None

    def _knows_all(self, referent: Referent, unknown: list[str]) -> bool:
        """An exclusion counts as a whole: without "shiny", "except the shiny frog" would leave out all frogs."""
        missing: list[str] = []
        self._restrict(referent, missing)
        unknown += missing
        return not missing
