"""What an expression asks for: things, what they look like, and where they are among the others. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["position", "relation", "rank", "part"]


@dataclass(frozen=True)
class Clause:
    """One thing that is said about where something is.

    Attributes:
        kind: "position" in the picture, "relation" to landmarks, "rank" among the things of the same name, or "part": a side of
            the thing itself is meant.
        keyword: Direction or measure, as in `ris_core.language.lexicon`.
        wording: Its words, for people.
        landmarks: What it is measured against: of a relation, and of the ranks "near" and "far"; of "between" two, or one
            that is several.
        rank: Place in the order of a rank, from 1: "second from the left" is 2 of "left".
        is_negated: The opposite is asked for: "not on the left".
    """

    kind: Kind
    keyword: str
    wording: str
    landmarks: tuple[Referent, ...] = ()
    rank: int = 1
    is_negated: bool = False

    @property
    def label(self) -> str:
        """Its words, with the "not"."""
        return f"not {self.wording}" if self.is_negated else self.wording


@dataclass(frozen=True)
class Referent:
    """A thing that an expression speaks of.

    Attributes:
        phrase: What it looks like, in the singular, without article: "red apple"; empty if nothing is said.
        head: The noun of `phrase`; empty if there is none.
        clauses: Where it is.
        number: How many are meant; None if a plural or "all" leaves it open.
        excluded: What fits the description and is not meant: "not red", "without a hat", "except the left one".
    """

    phrase: str = ""
    head: str = ""
    clauses: tuple[Clause, ...] = ()
    number: int | None = 1
    excluded: tuple[Referent, ...] = ()

    @property
    def label(self) -> str:
        """Its words: "dog (second from the left, not brown dog)"."""
        details = [*(clause.label for clause in self.clauses), *(f"not {other.label}" for other in self.excluded)]
        return (self.phrase or "anything") + (f" ({', '.join(details)})" if details else "")

    @property
    def is_only_denied(self) -> bool:
        """Nothing says what is meant, only what is not: "not the tree", "not on the left"."""
        is_placed = any(not clause.is_negated for clause in self.clauses)
        return not (self.phrase or is_placed) and bool(self.excluded or self.clauses)

    @property
    def things(self) -> tuple[Referent, ...]:
        """Itself and everything that it is told from: landmarks and exclusions, at any depth."""
        landmarks = [landmark for clause in self.clauses for landmark in clause.landmarks]
        return (self, *(thing for other in (*landmarks, *self.excluded) for thing in other.things))
