"""From a dependency parse to what it asks for (`ris_core.wording`).

Beside `ris_core.grammar`, which gives the flags of the published methods, this reads structure: every clause ("left of the
dog", "second from the left", "largest") belongs to the noun phrase that it hangs on in the tree, and a landmark has clauses
of its own. What follows a keyword is read off the surface, because parsers often attach "left of the dog" wrongly. Pure
functions over a spaCy document with ClearNLP-style labels; importing this module loads nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ris_core import grammar, lexicon
from ris_core.wording import Clause, Referent

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, Token


def read(doc: Doc) -> tuple[Referent, ...]:
    """What is referred to, in order: one thing, or several that are joined ("the cat and the dog").

    Args:
        doc: A parsed, lower-cased expression with at least one token.
    """
    return _Reader(doc).read()


@dataclass
class _Notes:
    """What is said about one thing, collected along the sentence; landmarks stay spans until everything is read."""

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    clauses: list[tuple[Clause, Sequence[Span]]] = field(default_factory=list)
    excluded: list[Span | tuple[str, str]] = field(default_factory=list)  # a thing, or words before and after the noun
    ordinal: str = ""
    number: int | None = None


NOBODY = -1
"""Key of the notes on a thing that has no noun phrase ("standing on the left")."""

THING = "object"
"""Stands for a noun where there is none: "the red one"."""


class _Reader:
    """One document: first the words outside of noun phrases, from left to right; then the things are put together."""

    def __init__(self, doc: Doc) -> None:
        self.doc, self.words = doc, [token.lower_ for token in doc]
        self.notes: defaultdict[int, _Notes] = defaultdict(_Notes)  # by the index of the noun phrase's first token
        self.belongs_to: dict[
            int, int
        ] = {}  # "the man in a shirt on the left": what is said of the shirt is said of the man
        self.is_negated = False
        found = grammar.find_target(doc)
        own = found.phrase.start if found else NOBODY
        self.chunks = [chunk for chunk in doc.noun_chunks if _is_thing(chunk, is_target=chunk.start == own)]
        self.chunk_at = {token.i: chunk for chunk in self.chunks for token in chunk}
        self.target = self._find_target(self.chunk_at.get(own))
        self.joined: list[Span] = []

    def read(self) -> tuple[Referent, ...]:
        i = 0
        while i < len(self.doc):
            i = self._pass_chunk(self.chunk_at[i]) if i in self.chunk_at else self._read_token(i)
        return tuple(self._build(thing, frozenset()) for thing in (self.target, *self.joined))

    def _find_target(self, target: Span | None) -> Span | None:
        """The grammar's; of "the largest of the dogs" the dogs, of "not the cat but the dog" the dog."""
        for chunk in self.chunks:
            if self._words(chunk.start - 1, 1) == "of" and self._selects(chunk.start - 2):
                word = self.words[chunk.start - 2]
                if word not in lexicon.EVERY:
                    is_pair = chunk.root.lower_ in lexicon.PAIRED_NOUNS  # "a pair of scissors"
                    self.notes[chunk.start].number = 1 if is_pair else lexicon.NUMBERS.get(word, 1)
                return chunk
        if target is None:
            subjects = (c for c in self.chunks if c.root.dep_ not in grammar.OBJECT_LABELS)
            objects = (c for c in self.chunks if c.root.head.lower_ in lexicon.COMMANDS)
            return next(subjects, None) or next(objects, None)
        for chunk in self.chunks:
            if "not" in self.words[target.start : target.end] and self._words(chunk.start - 1, 1) == "but":
                self.notes[chunk.start].excluded.append(target)
                return chunk
        return target

    def _selects(self, i: int) -> bool:
        """Whether a word picks from what follows "of": "leftmost of", "two of"."""
        counts = self._words(i, 1) in lexicon.NUMBERS or self._words(i, 1) in lexicon.EVERY
        picks = any(self._words(i, 1) in table for table in (lexicon.EXTREMES, lexicon.ORDINALS, {lexicon.LAST}))
        return counts or (picks and i not in self.chunk_at)

    # --- along the sentence: each reader returns the index to go on with, or 0 if the word is not its own

    def _pass_chunk(self, chunk: Span) -> int:
        """A noun phrase that no word before it claimed: the target, one joined to it, or one that is not meant."""
        if self.target is not None and chunk.start != self.target.start:
            if self._take_negation(chunk.end) or self.words[chunk.start] == "not":
                self.notes[self.target.start].excluded.append(chunk)
            elif chunk.root.dep_ == "conj" and self._words(chunk.start - 1, 1) == "and":
                self.joined += [chunk] * (self._owner(chunk.root.head.i) == self.target.start)
        return int(chunk.end)

    def _read_token(self, i: int) -> int:
        if self.words[i] in (",", "and", "but"):
            self.is_negated = False
        readers = (self._exception, self._extreme, self._direction, self._ordinal, self._attribute)
        return next((stop for reader in readers if (stop := reader(i))), i + 1)

    def _exception(self, i: int) -> int:
        """ "not", "without a hat", "except the left one"."""
        if self.words[i] in lexicon.NEGATIONS:
            self.is_negated = True
            return i + 1
        skip = next((n for n in (2, 1) if self._words(i, n) in lexicon.EXCEPTIONS), 0)
        chunk = self.chunk_at.get(i + skip)
        if not skip or chunk is None or (self.words[i] == "but" and not self._is_several(self.target)):
            return 0
        owner = self.notes[self._owner(i, [chunk])]
        owner.excluded.append(("", f"with {_bare(chunk)}") if self.words[i] == "without" else chunk)
        return int(chunk.end)

    def _extreme(self, i: int) -> int:
        """ "closest to the tree", "bigger than the dog", "that is the smallest"."""
        if self.words[i] not in lexicon.EXTREMES:
            return 0
        clause, landmarks, stop = self._superlative(i, i)
        return self._add(self._owner(i, landmarks), clause, landmarks, i, stop)

    def _direction(self, i: int) -> int:
        """ "left of the dog", "next to the tree", "between the cups", "on the left"."""
        word, landmarks = self.words[i], self._landmarks(i)
        if word not in lexicon.SIDES and not (word in lexicon.RELATIONS and landmarks):
            return 0
        if not landmarks and (not grammar.is_free(self.doc[i]) or self._ends_range(i)):
            return i + 1
        keyword = lexicon.SIDES.get(word, "")
        if landmarks:
            keyword = "on" if self._words(i - 1, 2) == "on top" else lexicon.RELATIONS.get(word, keyword)
            clause = Clause("relation", "between" if keyword == "middle" else keyword, "")
        else:
            clause = Clause("rank" if self._is_utmost(i) else "position", keyword, "")
        return self._add(self._owner(i, landmarks), clause, landmarks, i)

    def _ordinal(self, i: int) -> int:
        """ "the second from the left": an ordinal without its noun; also numbers, which are read elsewhere."""
        if self.words[i] in lexicon.ORDINALS or self.words[i] == lexicon.LAST:
            self.notes[self._owner(i)].ordinal = self.words[i]
            return i + 1
        return i + 1 if self.words[i] in lexicon.NUMBERS else 0

    def _attribute(self, i: int) -> int:
        """What belongs to the look: "that is red", "in a blue shirt", "holding an umbrella"."""
        token, word, chunk = self.doc[i], self.words[i], self.chunk_at.get(i + 1)
        if word in grammar.PLACES | lexicon.PLACEHOLDERS | lexicon.COMMANDS | lexicon.FAR or token.dep_ == "prt":
            return 0
        if chunk is not None and chunk is self.target:  # "two OF the dogs"
            return i + 1
        if chunk is not None and (token.pos_ == "VERB" or word in lexicon.ATTRIBUTIVES):
            owner = self._owner(i, [chunk])
            self.belongs_to[chunk.start] = owner
            if word in lexicon.HOLDING and not self.is_negated:
                self._add(owner, Clause("relation", "with", ""), [chunk], i)
            before, after, stop = "", f"{lexicon.ATTRIBUTIVES.get(word, word)} {_bare(chunk)}", int(chunk.end)
        elif token.pos_ in ("ADJ", "NOUN", "VERB"):
            owner, stop = self._owner(i), i + 1
            before, after = ("", word) if token.pos_ == "VERB" else (word, "")
        else:
            return 0
        notes, lacks = self.notes[owner], chunk is not None and stop == chunk.end and self.words[chunk.start] == "no"
        if self._take_negation(stop) or lacks:
            notes.excluded.append((before, after))
        else:
            notes.before += before.split()
            notes.after += after.split()
        return stop

    # --- what the readers share

    def _add(self, owner: int, clause: Clause, landmarks: Sequence[Span], i: int, stop: int = 0) -> int:
        """Note a clause whose keyword is at `i`; returns where it ends."""
        stop = max([stop, i + 1, *(chunk.end for chunk in landmarks)])
        start = i
        while start and start - 1 not in self.chunk_at and self.words[start - 1] in lexicon.OPENINGS:
            start -= 1
        wording = clause.wording or " ".join(self.words[start:stop]).removeprefix("the ")
        clause = replace(clause, wording=wording, is_negated=self._take_negation(stop))
        self.notes[owner].clauses.append((clause, landmarks))
        return int(stop)

    def _superlative(self, i: int, last: int) -> tuple[Clause, list[Span], int]:
        """The clause of a superlative or comparative at `i`; what it is measured against follows the token `last`."""
        keyword, landmarks = lexicon.EXTREMES[self.words[i]], self._landmarks(last, needs_link=False)
        follows = [word for word in self.words[last + 1 : last + 4] if word not in (*grammar.LINKS, "the")][:1]
        if landmarks:
            return Clause("rank" if keyword in ("near", "far") else "relation", keyword, ""), landmarks, 0
        if keyword in ("near", "far") and follows and follows[0] in lexicon.SIDES and last == i:
            stop = self.words.index(follows[0], i) + 1
            return Clause("rank", lexicon.SIDES[follows[0]], " ".join(self.words[i:stop])), [], stop
        keyword = {"near": "front", "far": "back"}.get(keyword, keyword)  # "the closest dog" is close to us
        return Clause("rank", keyword, self.words[i]), [], 0

    def _landmarks(self, i: int, needs_link: bool = True) -> list[Span]:
        """The things that the keyword at `i` is measured against, read off the surface."""
        j = i + 1
        while self._words(j, 1) in grammar.FRAME_NOUNS:  # "on the left side of the dog"
            j += 1
        if self._words(j, 1) in grammar.LINKS:
            j += 1
        elif needs_link and self.words[i] not in lexicon.RELATIONS:
            return []
        found = [c for c in self.chunks if c.start == j and c is not self.target]  # not "the largest OF THE DOGS"
        second = found[0].end + 1 if found else 0
        is_pair = self.words[i] in lexicon.PAIRING and self._words(second - 1, 1) == "and"
        return found + ([self.chunk_at[second]] if is_pair and second in self.chunk_at else [])

    def _owner(self, i: int, landmarks: Sequence[Span] = ()) -> int:
        """Key of the thing that a word speaks of: the nearest above it in the tree that is none of its landmarks."""
        starts = {chunk.start for chunk in landmarks}
        for token in (self.doc[i], *self.doc[i].ancestors):
            chunk = self.chunk_at.get(token.i)
            if chunk is not None and chunk.start not in starts:
                return self.belongs_to.get(chunk.start, chunk.start)
        return self.target.start if self.target is not None else NOBODY

    def _take_negation(self, stop: int) -> bool:
        """Whether a "not" is waiting for what has just been read; "or" keeps it for the next."""
        was_negated = self.is_negated
        self.is_negated = was_negated and self._words(stop, 1) in ("or", "nor")
        return was_negated

    def _is_utmost(self, i: int) -> bool:
        """ "far left", "left-most"."""
        following = self._words(i + 1, 2).removeprefix("- ").split()[:1]
        return self._words(i - 1, 1) in lexicon.FAR or following == ["most"]

    def _ends_range(self, i: int) -> bool:
        """ "from left TO RIGHT"."""
        return "from" in self.words[max(i - 4, 0) : i] and "to" in self.words[max(i - 2, 0) : i]

    def _words(self, i: int, count: int) -> str:
        return " ".join(self.words[i : i + count]) if i >= 0 else ""

    # --- putting together

    def _build(self, chunk: Span | None, above: frozenset[int]) -> Referent:
        """A thing with its landmarks; `above` are the keys of those that it is a landmark of."""
        key = chunk.start if chunk is not None else NOBODY
        notes, above = self.notes[key], above | {key}
        adjectives = list(self._read_inside(chunk, notes)) if chunk is not None else []
        head = self._head(chunk)
        adjectives = [*notes.before, *adjectives]
        noun = head or (THING if adjectives else "")
        phrase = " ".join(filter(None, [*adjectives, noun, *notes.after]))
        described = [
            Referent(" ".join(filter(None, (words[0], phrase or THING, words[1]))), head)
            for words in notes.excluded
            if isinstance(words, tuple)
        ]
        things = [self._build(c, above) for c in notes.excluded if not isinstance(c, tuple) and c.start not in above]
        return Referent(
            phrase=phrase,
            head=head,
            clauses=tuple(
                replace(clause, landmarks=tuple(self._build(c, above) for c in landmarks if c.start not in above))
                for clause, landmarks in _with_ordinal(notes)
            ),
            number=notes.number or (None if self._is_several(chunk) else 1),
            excluded=(*described, *things),
        )

    def _read_inside(self, chunk: Span, notes: _Notes) -> Iterator[str]:
        """Take from a noun phrase what says where, which and how many; the other words before the noun are its look."""
        clauses: list[tuple[Clause, Sequence[Span]]] = []
        for token in chunk:
            word, is_side = token.lower_, token.lower_ in lexicon.SIDES and grammar.is_free(token)
            if word in lexicon.NUMBERS and token.i != chunk.root.i:
                notes.number = notes.number or lexicon.NUMBERS[word]
            elif token.i == chunk.root.i or token.pos_ in ("DET", "PUNCT") or word in lexicon.SKIPPED:
                continue
            elif word in lexicon.ORDINALS or word == lexicon.LAST:
                notes.ordinal = word
            elif is_side:
                clauses.append(
                    (Clause("rank" if self._is_utmost(token.i) else "position", lexicon.SIDES[word], word), ())
                )
            elif word in lexicon.EXTREMES:
                clause, landmarks, _ = self._superlative(token.i, chunk.end - 1)
                clauses.append((replace(clause, wording=word), landmarks))
            else:
                yield word
        notes.clauses[:0] = clauses

    def _head(self, chunk: Span | None) -> str:
        """The noun in the singular; of "one" that of the target."""
        if chunk is None:
            return ""
        if chunk.root.lower_ in lexicon.PLACEHOLDERS:
            named = self.notes[chunk.start].excluded if chunk is self.target else [self.target]
            return next(
                (self._head(other) for other in named if other is not None and not isinstance(other, tuple)), ""
            )
        return lexicon.singular(chunk.root.lower_) if _is_plural(chunk.root) else str(chunk.root.lower_)

    def _is_several(self, chunk: Span | None) -> bool:
        if chunk is None:
            return False
        return any(t.lower_ in lexicon.EVERY for t in chunk) or _is_plural(chunk.root)


def _is_thing(chunk: Span, is_target: bool) -> bool:
    """No place in the picture, no pronoun, and not "the one" of "that is the one on the left"."""
    root = chunk.root
    if root.lower_ in lexicon.PLACEHOLDERS:
        return root.dep_ != "attr" or (root.head.dep_ == "ROOT" and is_target)
    if root.pos_ == "PRON" or root.lower_ in lexicon.ORDINALS or root.lower_ in lexicon.EXTREMES:
        return False
    return root.lower_ not in grammar.PLACES or (is_target and root.lower_ in lexicon.PICTURES)


def _is_plural(noun: Token) -> bool:
    return noun.tag_ in ("NNS", "NNPS") and noun.lower_ not in lexicon.PAIRED_NOUNS


def _bare(chunk: Span) -> str:
    """The words of a noun phrase without its article."""
    return " ".join(token.lower_ for token in chunk if token.pos_ != "DET" and token.lower_ != "no")


def _with_ordinal(notes: _Notes) -> list[tuple[Clause, Sequence[Span]]]:
    """The clauses, an ordinal merged into the one that says from where it is counted; without one, from the left."""
    if not notes.ordinal:
        return notes.clauses
    for kind in ("rank", "position"):
        for n, (clause, landmarks) in enumerate(notes.clauses):
            if clause.kind == kind and clause.keyword != "middle":
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
