"""From a dependency parse to what it asks for (`ris_core.language.values`).

Beside `ris_core.language.grammar`, which gives the flags of the published methods, this reads structure: clauses belong to noun phrases,
and a landmark has clauses of its own. Pure functions over a spaCy document with ClearNLP-style labels; importing this module
loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ris_core.language import lexicon
from ris_core.language.clauses import ClauseReader
from ris_core.language.descriptions import NOBODY, Description, is_plural
from ris_core.language.values import Clause, Referent

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span

THING = "object"
"""Stands for a noun where there is none: "the red one"."""


def read(doc: Doc) -> tuple[Referent, ...]:
    """What is referred to, in order: one thing, or several that are joined ("the cat and the dog").

    Args:
        doc: A parsed, lower-cased expression with at least one token.
    """
    clauses = ClauseReader(doc)
    return tuple(_compose(clauses, thing, frozenset()) for thing in (clauses.target, *clauses.joined))


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
