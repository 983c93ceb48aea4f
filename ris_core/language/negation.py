"""Whether a thing is named only to say that it is not meant: "not the tree", "all but the tree", "tree, no".

Read off the surface: what a parser makes of "not" differs, but an expression must never be answered by what it rules out. So
whatever is not surely about something else ("not on the left, the tree") is taken to rule the thing out.
"""

from __future__ import annotations

from collections.abc import Sequence

from ris_core.language import lexicon

LONGEST = max(len(words.split()) for words in lexicon.EXCEPTIONS)
"""Words of the longest exception."""
_STOPS = frozenset([",", ".", ";", ":", "-", "(", "and", "but", "in", "with", "of", *lexicon.HOLDING]).union(
    lexicon.SIDES, lexicon.RELATIONS, lexicon.EXTREMES
)
"""Words that a negation before them does not reach across: it is about them."""
_DEGREES = lexicon.words("- so very too really quite that all")
_DETERMINERS = lexicon.words("the a an this that these those his her their")  # and not "its": "its not the tree"
_TAIL = lexicon.words("""
    it this that these those one ones the a i we you what which is are was be been do does did want need mean meant wanted like
    here there any more at all him her them me please thanks thank selected included picked marked chosen . , ! ? ; : - ) … 's
    """)
"""Words behind a last negation that leave it without anything else to be about: "the tree is not what I want"."""


def take_away(words: Sequence[str], i: int) -> int:
    """How many words from `i` on make an exception: 2 for "other than"; 0 if there is none."""
    length = next((n for n in range(LONGEST, 0, -1) if " ".join(words[i : i + n]) in lexicon.EXCEPTIONS), 0)
    verb, article = (*words[i : i + 2], "", "")[:2]
    return length or int(verb in lexicon.DISMISSING and article in _DETERMINERS)


def rules_out(words: Sequence[str], start: int, stop: int) -> bool:
    """Whether the noun phrase `words[start:stop]`, which is named first of all, is not meant."""
    return (
        begins_denied(words, start, stop)
        or _is_denied(words, start)
        or _is_excepted(words, start)
        or _is_dropped(words, stop)
    )


def denies(words: Sequence[str], start: int, i: int) -> bool:
    """Whether in a noun phrase from `start` on an adjective at `i` is denied: "the not red frog", "a non-red or blue frog"."""
    j = i - 1
    while j >= start and words[j] in _DEGREES:
        j -= 1
    if j > start and words[j] in ("or", "nor", ","):
        return denies(words, start, j - 1)
    return j >= start and words[j] in lexicon.NEGATIONS and words[j] != "no"


def keeps_others(words: Sequence[str], start: int) -> bool:
    """Whether everything else is asked for: "all but the tree", "everything except the tree"."""
    pairs = zip(words[:start], ["", *words], strict=False)
    return any(word in lexicon.EVERY and before not in lexicon.NEGATIONS for word, before in pairs)


def is_all_but_nothing(words: Sequence[str], start: int) -> bool:
    """Whether two negations before a noun phrase undo each other: "nothing but the tree" is the tree."""
    i = _exception_before(words, start)
    if i is None:
        return False
    is_nobody = any(word in lexicon.NOBODIES for word in words[max(i - 2, 0) : i])
    return is_nobody or " ".join(words[max(i - 2, 0) : i]) in ("no one", "no thing", "no object")


def begins_denied(words: Sequence[str], start: int, stop: int) -> bool:
    """Whether a noun phrase itself says "no", of all of it: "no tree", "not the red tree"; not "the not red tree"."""
    first = next((i for i in range(start, stop - 1) if words[i] not in lexicon.EVERY), start)
    if words[first] not in lexicon.FROM_ALL and take_away(words[: stop - 1], first):
        return True
    for i in range(start, stop - 1):
        if words[i] in lexicon.NEGATIONS:
            is_adjective = words[i] == "non" or any(word in _DETERMINERS for word in words[start:i])
            return not is_adjective or all(word == "-" for word in words[i + 1 : stop - 1])
    return False


def _is_denied(words: Sequence[str], start: int) -> bool:
    """ "don't select the tree", "none of the trees"."""
    for i in range(start - 1, -1, -1):
        if words[i] in lexicon.NEGATIONS:
            return not is_all_but_nothing(words, start)
        is_part = words[i] == "of" and not any(word in _STOPS for word in words[i - 1 : i])
        if words[i] in _STOPS and not is_part:
            return False
    return False


def _is_excepted(words: Sequence[str], start: int) -> bool:
    """ "all but the tree", "without the tree", "instead of the tree"."""
    i = start if words[start] == "but" else _exception_before(words, start)
    if i is None or (words[i] in lexicon.FROM_ALL and not any(word in lexicon.EVERY for word in words[:i])):
        return False
    return not is_all_but_nothing(words, start)


def _exception_before(words: Sequence[str], start: int) -> int | None:
    """Where an exception begins that ends before a noun phrase, or before "the", "for", "maybe" and the like in front of it."""
    for i in range(start - 1, -1, -1):
        if n := take_away(words, i):
            longer = [k for k in range(max(i - LONGEST, 0), i) if k + take_away(words, k) >= i + n]
            return min(longer, default=i)
        if words[i] in _STOPS and words[i] not in ("of", "with"):
            return None
        if start - i > LONGEST:
            return None
    return None


def _is_dropped(words: Sequence[str], stop: int) -> bool:
    """ "tree, not", "the tree is not it", "tree excluded"."""
    tail = list(words[stop:])
    while tail and not tail[-1].isalnum() and tail[-1] not in lexicon.NEGATIONS:
        tail.pop()
    if tail and (tail[-1] in lexicon.DROPPED or tail[-2:] == ["left", "out"]):
        return True
    last = max((i for i, word in enumerate(tail) if word in lexicon.NEGATIONS), default=None)
    return last is not None and all(word in _TAIL for word in tail[last + 1 :])
