"""From a dependency parse to what it asks for (`ris_core.language.values`).

Beside `ris_core.language.grammar`, which gives the flags of the published methods, this reads structure: clauses belong to noun phrases,
and a landmark has clauses of its own. Pure functions over a spaCy document with ClearNLP-style labels; importing this module
loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ris_core.language import grammar, lexicon, parts
from ris_core.language.clauses import ClauseReader
from ris_core.language.descriptions import NOBODY, Description, is_plural
from ris_core.language.values import Clause, Referent

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, Token

THING = "object"
"""Stands for a noun where there is none: "the red one"."""


def read(doc: Doc) -> tuple[Referent, ...]:
    """What is referred to, in order: one thing, or several that are joined ("the cat and the dog").

    Args:
        doc: A parsed, lower-cased expression with at least one token.
    """
    clauses = ClauseReader(doc)
    things = tuple(_compose(clauses, thing, frozenset()) for thing in (clauses.target, *clauses.joined))
    return (_account(doc, things), *things[1:])


def unread(doc: Doc, things: Sequence[Referent]) -> tuple[str, ...]:
    """Numbers and rims that nothing was made of: "player 23", "the cup at 4 o'clock", "in the corner"."""
    said = {word for thing in things for other in thing.things for word in _spellings(other)}
    counts = {thing.number for one in things for thing in one.things}
    sides = {clause.kind for one in things for thing in one.things for clause in thing.clauses} & {
        "position",
        "rank",
        "part",
    }
    return tuple(
        token.lower_
        for token in doc
        if token.lower_ not in said
        and token.lower_ not in lexicon.ORDINALS
        and token.lower_ not in lexicon.ANAPHORS
        and (
            (_is_figure(token) and lexicon.NUMBERS.get(token.lower_, 0) not in counts)
            or token.lower_ in lexicon.CLOCK
            or (token.lower_ in lexicon.RIMS and not sides and bool(things[0].phrase))
        )
    )


def _is_figure(token: Token) -> bool:
    return bool(token.like_num) or token.lower_[0].isdecimal()


def _account(doc: Doc, things: Sequence[Referent]) -> Referent:
    """The first thing, with what no reader took: every word counts. In a telegram sides say where it is; other words are its look.

    What is told by what it is not is left alone.
    """
    first = things[0]
    if first.excluded:
        return first
    said = {spelling for thing in things for other in thing.things for spelling in _spellings(other)}
    rest = [token for token in doc if token.is_alpha and not lexicon.forms(token.lower_) & said]
    looks = [token.lower_ for token in rest if token.pos_ in _TELLING and not _SILENT & lexicon.forms(token.lower_)]
    is_telegraphic = not any(
        token.pos_ in _LINKING for token in doc
    )  # "guy far right blue shirt", but not "dog facing left"
    side_words = [token.lower_ for token in rest if is_telegraphic and token.lower_ in _SIDES]
    sides = tuple(Clause("position", _SIDES[word], word) for word in side_words)
    nouns = [lexicon.spelled(token.lower_) for token in rest if token.lower_ in looks and token.pos_ != "ADJ"]
    if not first.head and nouns:  # "palm tree center", "orange clouds middle"
        look = [*first.phrase.removesuffix(THING).split(), *looks]
        return replace(first, phrase=" ".join(look), head=nouns[-1], clauses=(*first.clauses, *sides))
    phrase = " ".join([first.phrase, "with", *looks]) if looks and first.head else first.phrase
    return replace(first, phrase=phrase, clauses=(*first.clauses, *sides))


def _spellings(thing: Referent) -> Iterator[str]:
    """Every word of a thing and of its clauses, as it is and in the singular."""
    keywords = [word for clause in thing.clauses for word in (clause.keyword, *clause.wording.split())]
    for word in (*thing.phrase.split(), thing.head, *keywords):
        yield from lexicon.forms(word)


_SIDES = {word: lexicon.SIDES[word] for word in ("left", "right", "top", "bottom", "upper", "lower")}
"""Sides that stand for nothing else: "up" may belong to a verb."""
_LINKING = frozenset(("ADP", "VERB", "AUX", "PART", "SCONJ"))
"""Parts of speech that telegrams do without."""
_TELLING = frozenset(("NOUN", "PROPN", "ADJ"))
"""Parts of speech of words that say what something looks like."""
_SILENT = (
    lexicon.SKIPPED
    | lexicon.COMMANDS
    | lexicon.NEGATIONS
    | lexicon.EVERY
    | lexicon.ANAPHORS
    | lexicon.VIEWERS
    | lexicon.PICTURES
    | lexicon.LACKING
    | lexicon.DROPPED
    | lexicon.DISMISSING
    | lexicon.UTMOST
    | lexicon.CLOCK
    | parts.PART_NOUNS
    | frozenset(lexicon.PLACEHOLDERS)
    | frozenset(word for words in lexicon.EXCEPTIONS for word in words.split())
    | frozenset(
        (
            *lexicon.NUMBERS,
            *lexicon.ORDINALS,
            *lexicon.RELATIONS,
            *lexicon.EXTREMES,
            *lexicon.SIDES,
            *lexicon.RIMS,
            lexicon.LAST,
        )
    )
    | frozenset((*lexicon.ATTRIBUTIVES, *lexicon.DEPTHS, *grammar.LINKS, *grammar.FRAME_NOUNS, *grammar.PLACES))
    | lexicon.words(
        "kind type sort order row group bunch pair number count side part exception exclusion hand middle thanks"
    )
)
"""Words that say where, which, how many or nothing."""


def _compose(taken: ClauseReader, chunk: Span | None, above: frozenset[int]) -> Referent:
    """A thing with its landmarks; `above` are the keys of those that it is a landmark of."""
    key = chunk.start if chunk is not None else NOBODY
    notes, head, above = taken.notes[key], _head(taken, chunk), above | {key}
    noun = head or (THING if notes.before else "")
    phrase = " ".join([*notes.before, *noun.split(), *notes.after])
    clauses = []
    for clause, landmarks in _with_ordinal(notes):
        things = tuple(_compose(taken, landmark, above) for landmark in landmarks if landmark.start not in above)
        if things or not landmarks:
            clauses.append(replace(clause, landmarks=things))
    return Referent(
        phrase=phrase,
        head=head,
        clauses=tuple(clauses),
        number=notes.number or (None if notes.is_every or (chunk is not None and is_plural(chunk.root)) else 1),
        excluded=tuple(dict.fromkeys(_exclude(taken, phrase or THING, head, notes, above))),
    )


def _exclude(
    clauses: ClauseReader, phrase: str, head: str, notes: Description, above: frozenset[int]
) -> Iterator[Referent]:
    """What is not meant: the thing with more words to it ("red", "with a hat"), or another thing."""
    for other in notes.excluded:
        if isinstance(other, tuple):
            yield Referent(" ".join([*other[0].split(), phrase, *other[1].split()]), head)
        elif other.start not in above:
            yield _compose(clauses, other, above)


def _head(clauses: ClauseReader, chunk: Span | None) -> str:
    """The noun in the singular; of "one" that of the target, or of what the target is not."""
    if chunk is None or chunk.root.lower_ not in lexicon.ANAPHORS:
        return _noun(chunk)
    others = [other for other in clauses.notes[chunk.start].excluded if not isinstance(other, tuple)]
    of_its_kind = [
        o for o in others if clauses.notes[o.start].before or clauses.notes[o.start].clauses
    ]  # "not the RED cup"
    return next(filter(None, map(_noun, [clauses.target, *of_its_kind])), "")


def _noun(chunk: Span | None) -> str:
    if chunk is None:
        return ""
    noun = lexicon.spelled(chunk.root.lower_)
    return lexicon.PLACEHOLDERS.get(noun, lexicon.singular(noun) if is_plural(chunk.root) else noun)


def _with_ordinal(notes: Description) -> list[tuple[Clause, Sequence[Span]]]:
    """The clauses, an ordinal merged into the one that says from where it is counted; without one, from the left."""
    if not notes.ordinal:
        return notes.clauses
    for kind in ("rank", "position"):
        for n, (clause, landmarks) in enumerate(notes.clauses):
            if clause.kind == kind and (kind, clause.keyword) != ("position", "middle"):
                merged = _counted(clause, notes.ordinal)
                return [*notes.clauses[:n], (merged, landmarks), *notes.clauses[n + 1 :]]
    return [*notes.clauses, (_counted(Clause("rank", "left", ""), notes.ordinal), ())]


def _counted(clause: Clause, ordinal: str) -> Clause:
    wording = f"{ordinal} {clause.wording}".strip()
    if ordinal == lexicon.LAST:
        is_end = clause.wording and not clause.wording.startswith("from")  # "the last cup on the right" ends there
        keyword = clause.keyword if is_end else lexicon.OPPOSITES[clause.keyword]
        return replace(clause, kind="rank", keyword=keyword, wording=wording)
    return replace(clause, kind="rank", rank=lexicon.ORDINALS[ordinal], wording=wording)
