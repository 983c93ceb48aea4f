"""Words that are probably mistyped: what they may have been meant as. It is asked, never applied."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from ris_core.language import lexicon

SHORTEST = 4
"""Letters; what is shorter is one slip away from too many words."""


def suggest(words: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """For each word that is not known, the first known word that is one slip away: a letter more, less, other, or two swapped.

    Args:
        words: Lower-cased.
        known: The words that there are, the most usual first.
    """
    suggestions = {}
    for word in dict.fromkeys(words):
        if meant := _find(word, tuple(known)):
            suggestions[word] = meant
    return suggestions


def _find(word: str, known: tuple[str, ...]) -> str | None:
    order = _order(known)
    spelled = lexicon.spelled(word)
    if len(word) < SHORTEST or not word.isalpha() or {word, spelled, lexicon.singular(spelled)} & order.keys():
        return None
    found = [near for near in _one_slip_away(word) if near in order and len(near) >= SHORTEST - 1]
    return min(found, key=lambda near: order[near], default=None)


@lru_cache(maxsize=4)
def _order(known: tuple[str, ...]) -> dict[str, int]:
    return {word: i for i, word in reversed([*enumerate(known)])}


def _one_slip_away(word: str) -> Iterator[str]:
    """Damerau's four slips (A technique for computer detection and correction of spelling errors, 1964)."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    for i in range(len(word) + 1):
        head, tail = word[:i], word[i:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in letters)
        yield from (head + letter + tail for letter in letters)
