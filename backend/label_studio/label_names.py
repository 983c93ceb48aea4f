"""Names of labels, compared as people write them: in any case, in CamelCase or with separators, numbered, with emoji, in the plural."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from ris_core.language.lexicon import singular, spelled
from ris_core.language.lexicon import words as words_of

Words = tuple[str, ...]

_RANKS = 3
_KEPT = 1 << 14
"""Names that are kept read: every request brings its label config again."""
GENERIC = words_of(
    "object objects thing things item items mask masks region regions segment segments segmentation target targets instance "
    "instances foreground background area areas label labels class brush other others unknown any anything"
)
"""Words of labels that do not say what kind of thing is meant."""
_WRAPPED = re.compile(r"[(\[{<]([^()\[\]{}<>]*)[)\]}>]")
_PATH = re.compile(r"[/\\>|:→»]|\s[-–—]\s|(?<=[^\W\d_]{2})\.(?=[^\W\d_]{2})")
"""What stands between a kind and what is of it: "Animal/Frog", "class:frog", "animal.frog"."""
_EITHER = re.compile(r"[/|]|\s&\s")
"""What may stand between names of one thing: "Frog/Toad"."""
_INVERTED = re.compile(r"[,;]")
"""What stands between a thing and what is said about it: "Car, small"."""
_LETTERED = re.compile(r"^\s*\(?[^\W\d_][.)]\s+")
_MARKS = range(0x0300, 0x0370)
"""Accents of Latin, Greek and Cyrillic letters; other scripts' marks tell words apart."""
_EMOJI_MARKS = (range(0xFE00, 0xFE10), range(0x20D0, 0x2100))
"""What makes a picture of the character before it, and is no part of a word though Unicode counts it as a mark."""
_WORD_AFTER_DIGITS = 3
"""Letters after a digit that begin a word: "03frog", but not "3D"."""


@dataclass(frozen=True)
class LabelName:
    """One name of a label.

    Attributes:
        label: The label, as regions carry it.
        text: The name as the label config writes it.
        rank: 0 for what regions carry, 1 for what the page shows, 2 for one of its `predicted_values`.
    """

    label: str
    text: str
    rank: int = 0


class NameToken(NamedTuple):
    """A word of a text: folded, and where it stands."""

    word: str
    start: int
    end: int


class LabelMatch(NamedTuple):
    """The labels that a text names, several if nothing tells them apart.

    Attributes:
        level: How well, from 0: as written, in another case, folded, by a part of a name; less for a name of a higher rank.
        labels: In the order of the config, at least one.
    """

    level: int
    labels: tuple[str, ...]


class _Keys(NamedTuple):
    """What a name is compared by: as a whole, by a part of it; and how many words it has."""

    whole: frozenset[str]
    in_part: frozenset[str]
    length: int


@dataclass(frozen=True)
class LabelNames:
    """All names of a control's labels."""

    all: tuple[LabelName, ...]

    def find(self, text: str) -> LabelMatch | None:
        """The labels that have a text for a name: exact before folded, a label's own name before another one."""
        line, folded = fold(text), _number_keys(split_words(text))
        for level, index in enumerate(self._levels):
            keys = {_on_one_line(text)} if level == 0 else {line} if level <= _RANKS else folded
            labels = {label for key in keys for label in index.get(key, ())}
            if labels:
                return LabelMatch(level, tuple(label for label in self._labels if label in labels))
        return None

    def find_noun(self, text: str, head: str, phrase: str = "") -> LabelMatch | None:
        """The labels that an expression's noun names: a run of words with the head in it; the longest wins, then as in `find`.

        Args:
            text: The expression.
            head: Head noun of its target.
            phrase: The target's noun phrase, as far as it is known: where in the text the head stands.
        """
        tokens = list(read_tokens(text))
        at = _find_head(tokens, split_words(head), split_words(phrase))
        if at is None:
            return self.find(head)
        near = range(max(0, at - self._longest + 1), min(len(tokens), at + self._longest))
        runs = [(first, last) for first in near if first <= at for last in near if last >= at]
        for first, last in sorted(runs, key=lambda run: (run[0] - run[1], run[0])):
            if match := self.find(text[tokens[first].start : tokens[last].end]):
                return match
        return None

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name.label for name in self.all))

    @cached_property
    def _longest(self) -> int:
        """Words of the longest name, with room for what a text writes apart: "traffic light", "trafficlight"."""
        return 2 * max((_keys_of(name.text).length for name in self.all), default=0) + 1

    @cached_property
    def _levels(self) -> tuple[dict[str, list[str]], ...]:
        """Labels by what is compared, for each level: as written; then for each rank in another case, folded, a part."""
        levels: tuple[dict[str, list[str]], ...] = tuple({} for _ in range(1 + 3 * _RANKS))
        for name in self.all:
            whole, in_part, _ = _keys_of(name.text)
            by_level = {1: {fold(name.text)}, 1 + _RANKS: whole, 1 + 2 * _RANKS: in_part}
            entries = [(level + name.rank, keys) for level, keys in by_level.items()]
            if name.rank == 0:
                entries.append((0, {_on_one_line(name.text)}))
            for level, keys in entries:
                for key in keys - {""}:
                    levels[level].setdefault(key, []).append(name.label)
        return levels


def fold(text: str) -> str:
    """Lower case, single spaces."""
    return _on_one_line(text.lower())


def read_aloud(name: str) -> str:
    """A label's name as an expression: `"02_Animal/TreeFrogs (x)"` -> `"tree frogs"`; one of plain words stays as it is."""
    if all(part.isalpha() for part in name.split()) and not any(_is_border(name, i) for i in range(1, len(name))):
        return name
    outside = _WRAPPED.sub(" ", name)
    last = _PATH.split(outside.strip())[-1] if split_words(outside) else name
    first, *rest = _INVERTED.split(_LETTERED.sub("", last))
    words = split_words(" ".join((*rest, first)))
    return " ".join(_without_numbers(words)[0] or words) or name


def noun_of(label: str) -> str:
    """What kind of thing a label says that it is, in the singular: `"03_TrafficLights"` -> `"traffic light"`.

    Empty if it says nothing that can be read as English: "Object", "Target region", "03".
    """
    words = [spelled(word) for word in split_words(label) if not word.isdecimal()]
    if not words or not GENERIC.isdisjoint(words) or not "".join(words).isascii():
        return ""
    return " ".join([*words[:-1], singular(words[-1])])


def split_words(text: str) -> Words:
    """The words of a text, folded: `"03_TrafficLights 🚦"` -> `("03", "traffic", "lights")`."""
    return tuple(token.word for token in read_tokens(text))


def read_tokens(text: str) -> Iterator[NameToken]:
    """The words of a text: runs of letters and digits, CamelCase and numbers taken apart; without case and accents."""
    start = None
    for i in range(len(text) + 1):
        is_inside = i < len(text) and _is_of_word(text[i])
        if start is not None and (not is_inside or _is_border(text, i)):
            if word := _fold_word(text[start:i]):
                yield NameToken(word, start, i)
            start = None
        if is_inside and start is None:
            start = i


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _is_of_word(character: str) -> bool:
    if character.isascii():
        return character.isalnum()
    is_emoji = any(ord(character) in marks for marks in _EMOJI_MARKS)
    return unicodedata.category(character)[0] in "LNM" and not is_emoji


def _is_border(text: str, i: int) -> bool:
    """Whether a new word begins inside a run of letters and digits."""
    before, here, after = text[i - 1], text[i], text[i + 1 : i + 2]
    if here.isdecimal() or before.isdecimal():
        follows = text[i : i + _WORD_AFTER_DIGITS]
        is_word = len(follows) == _WORD_AFTER_DIGITS and follows.isalpha()
        return here.isdecimal() != before.isdecimal() and (here.isdecimal() or is_word)
    return here.isupper() and (before.islower() or (before.isupper() and after.islower()))


def _fold_word(text: str) -> str:
    if text.isascii():
        return spelled(text.lower())
    apart = unicodedata.normalize("NFKD", text)
    kept = "".join(character for character in apart if ord(character) not in _MARKS)
    return unicodedata.normalize("NFC", kept).casefold()


@lru_cache(_KEPT)
def _keys_of(name: str) -> _Keys:
    whole, *parts = _read(name)
    in_part = frozenset(key for part in parts for key in _number_keys(part))
    return _Keys(_number_keys(whole), in_part, len(whole))


def _read(name: str) -> tuple[Words, ...]:
    """What a name may be read as: its words; then those without brackets, the kind in front of it, a number of its own."""
    if all(part.isalpha() for part in name.split()):  # most are plain, and there may be a thousand
        return (split_words(name),)
    outside, inside = _WRAPPED.sub(" ", name), " ".join(_WRAPPED.findall(name))
    texts = [name, f"{inside} {outside}", outside] if split_words(outside) else [name, inside]
    texts += [_PATH.split(text.strip())[-1] for text in texts]
    texts += [part for text in texts for part in _EITHER.split(text)]
    for text in dict.fromkeys(texts):
        first, *rest = _INVERTED.split(text)
        texts += [f"{' '.join(rest)} {first}", first] if rest else []
    texts += [_LETTERED.sub("", text) for text in texts]
    whole, *others = (split_words(text) for text in dict.fromkeys(texts))
    parts = [part for words in (whole, *others) for part in (words, *_without_numbers(words))]
    telling = [part for part in parts if any(map(_is_telling, part))]
    return tuple(dict.fromkeys([whole, *telling]))


def _is_telling(word: str) -> bool:
    """A word, and not a number or one Latin letter."""
    return word.isalpha() and not (len(word) == 1 and word.isascii())


def _without_numbers(words: Words) -> tuple[Words, Words]:
    """Without those in front, and without those at the end too."""
    first = next((i for i, word in enumerate(words) if not word.isdecimal()), len(words))
    last = next((i for i in range(len(words), 0, -1) if not words[i - 1].isdecimal()), 0)
    return words[first:], words[first:last]


def _number_keys(words: Words) -> frozenset[str]:
    """What words are compared by, written together: the last one in all the singulars that it may have."""
    return frozenset("".join((*words[:-1], last)) for last in _singulars(words[-1])) if words else frozenset()


def _singulars(word: str) -> Iterator[str]:
    """A word, and what it may be the plural of: spelling alone does not tell "buses" from "houses"."""
    yield word
    yield singular(word)
    if len(word) > 1 and word.endswith("s") and not word.endswith("ss"):
        yield word[:-1]
    for ending, singular_endings in _PLURAL_ENDINGS.items():
        if len(word) > len(ending) + 1 and word.endswith(ending):
            yield from (word[: -len(ending)] + one for one in singular_endings)


_PLURAL_ENDINGS = {
    "es": ("",), "ies": ("y",), "ves": ("f", "fe"), "men": ("man",), "zzes": ("z",), "sses": ("s",), "i": ("us",), "ae": ("a",),
    "children": ("child",), "people": ("person",), "mice": ("mouse",), "geese": ("goose",), "feet": ("foot",), "teeth": ("tooth",),
}  # fmt: skip
"""Also of compounds: "grandchildren", "werewolves"."""


def _find_head(tokens: list[NameToken], head: Words, phrase: Words) -> int | None:
    """Index of the token that the head ends in: in the phrase if that is found in the text, else the first."""
    words = [token.word for token in tokens]
    for inside in (phrase, head):
        if (start := _find_run(words, inside)) is None:
            continue
        length = len(inside)
        within = _find_run(words[start : start + length][::-1], head[::-1])
        if within is not None:
            return start + length - 1 - within
    return None


def _find_run(words: list[str], wanted: Words) -> int | None:
    """Where a run of words begins in others."""
    starts = range(len(words) - len(wanted) + 1) if wanted else range(0)
    return next((i for i in starts if all(map(_is_one_of, words[i : i + len(wanted)], wanted))), None)


def _is_one_of(word: str, wanted: str) -> bool:
    """Whether a word is another one, or its plural."""
    return word == wanted or wanted in _singulars(word)
