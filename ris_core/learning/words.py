"""Words that the people of a project use otherwise: which label a phrase means, and which phrase is looked for in its place.

A person accepts each of them. An expression that has none of these phrases in it is read as it always was.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

ARTICLES = frozenset(("the", "a", "an"))


def fold_phrase(text: str) -> str:
    """A phrase in lower case, with single blanks, without the article before it: equal for what counts as the same phrase."""
    words = text.casefold().split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ARTICLES else words)


@dataclass(frozen=True)
class Rewording:
    """An expression in the words that it is looked for with.

    Attributes:
        replaced: The phrases that were replaced, as they were accepted, by what stands in their place.
    """

    text: str
    replaced: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Words:
    """Accepted words.

    Attributes:
        labels: By phrase, the label of what is meant.
        phrases: By phrase, what is looked for in its place.
        Phrases are as `fold_phrase` returns them.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    phrases: Mapping[str, str] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self.labels) + len(self.phrases)

    def __bool__(self) -> bool:
        return self.number > 0

    def find_label(self, *phrases: str) -> str | None:
        """The label of the first of these phrases that has one."""
        return next((self.labels[key] for key in map(fold_phrase, phrases) if key in self.labels), None)

    def reword(self, text: str) -> Rewording:
        """An expression with its phrases replaced: whole words only, the longest first, and nothing twice."""
        if self._pattern is None:
            return Rewording(text)
        replaced: dict[str, str] = {}

        def replace(match: re.Match[str]) -> str:
            phrase = fold_phrase(match[0])
            if phrase not in self.phrases:  # letters that match and fold to others
                return match[0]
            replaced[phrase] = self.phrases[phrase]
            return replaced[phrase]

        return Rewording(self._pattern.sub(replace, text), replaced)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self.phrases, key=lambda phrase: (-len(phrase), phrase))
        choices = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in longest_first)
        return re.compile(rf"(?<![\w'-])(?:{choices})(?![\w-])", re.IGNORECASE) if choices else None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"labels": dict(self.labels), "phrases": dict(self.phrases)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Words":
        """Read `to_json`'s values."""
        return cls(dict(stored["labels"]), dict(stored["phrases"]))
