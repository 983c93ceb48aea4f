"""Words that a project's corrections propose: a phrase whose masks get another label, a phrase that annotators write otherwise.

Counted in the newest version of each annotation. Only saved regions count that were offered for an expression: of the offered and the
saved sentence the part that differs is compared, and what differs in places, sizes or colours alone is no other word for a thing.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import sqlalchemy as sa

from backend.corrections.queries import Correction, read_corrections
from backend.db.tables import answer, region
from backend.runs.answers import region_id
from ris_core.language.normalising import CLOSED
from ris_core.learning.words import ARTICLES, Words, fold_phrase

LONGEST = 5
"""Words of a phrase that is proposed; what is longer is another sentence."""
_ID_LENGTH = 6
_PLAIN = frozenset((*CLOSED, *ARTICLES, "and", "or", "of", "on", "in", "at", "to", "it", "that", "this", "one"))

Kind = Literal["label", "phrase"]


@dataclass(frozen=True)
class WordRow:
    """A row of the table that a person ticks.

    Attributes:
        kind: "label": the phrase's masks get this label; "phrase": this is looked for in its place.
        phrase: As `fold_phrase` returns it.
        meaning: The label, or the other phrase.
        times: Saved regions that say so.
        people: Annotators who saved them.
        others: Saved regions of the phrase that say something else, or were left as they were offered.
    """

    kind: Kind
    phrase: str
    meaning: str
    times: int = 0
    people: int = 0
    others: int = 0

    @property
    def id(self) -> str:
        """What a person types to mean this row; the same whatever else is in the table."""
        text = "\n".join((self.kind, self.phrase, self.meaning))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_LENGTH]

    def is_in(self, words: Words) -> bool:
        """Whether it was accepted."""
        return _table(words, self.kind).get(self.phrase) == self.meaning


def list_rows(db: sa.Connection, project: int, words: Words) -> list[WordRow]:
    """What a project's corrections propose, the most frequent first, and what was accepted, even if no correction says so any more."""
    rows = propose(db, project)
    known = {row.id for row in rows}
    kinds: tuple[Kind, ...] = ("label", "phrase")
    accepted = [WordRow(kind, *pair) for kind in kinds for pair in _table(words, kind).items()]
    rows += [row for row in accepted if row.id not in known]
    return sorted(rows, key=lambda row: (-row.people, -row.times, row.others, row.kind, row.phrase, row.meaning))


def accept(words: Words, rows: list[WordRow]) -> Words:
    """Words with these rows; of a phrase that has another meaning already, the new one counts."""
    return _with(words, rows, is_in=True)


def remove(words: Words, rows: list[WordRow]) -> Words:
    """Words without these rows."""
    return _with(words, [row for row in rows if row.is_in(words)], is_in=False)


def propose(db: sa.Connection, project: int) -> list[WordRow]:
    """What a project's corrections propose, in no order."""
    offers, evidence = _read_offers(db, project), _Evidence()
    for correction in read_corrections(db, project, outcomes=("accepted", "edited", "replaced")):
        offer = offers.get(correction.outcome.offered_region or "")
        if offer:
            evidence.add(correction, offer)
    return list(evidence.rows())


def find_substitution(offered: str, saved: str) -> tuple[str, str] | None:
    """The phrase of an offered sentence that stands otherwise in the saved one, and what stands there; None if that is no other word."""
    old, new = _split(offered), _split(saved)
    start = _count_equal(old, new)
    end = min(_count_equal(old[::-1], new[::-1]), len(old) - start, len(new) - start)
    parts = [fold_phrase(" ".join(words[start : len(words) - end])) for words in (old, new)]
    is_word = all(0 < len(part.split()) <= LONGEST and not _PLAIN.issuperset(part.split()) for part in parts)
    return (parts[0], parts[1]) if is_word and parts[0] != parts[1] else None


class _Offer(NamedTuple):
    """What a region was offered for, and the noun phrase that was read in it."""

    expression: str
    phrase: str


@dataclass
class _Evidence:
    """Which regions say what, by phrase: the annotators of each, one for each region; and which were left as they were offered."""

    said: dict[tuple[Kind, str], dict[str, list[int | None]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    kept_labels: Counter[str] = field(default_factory=Counter)
    kept_sentences: Counter[str] = field(default_factory=Counter)

    def add(self, correction: Correction, offer: _Offer) -> None:
        """Count a saved region. One that was also reworded says nothing of the label: the new words have it."""
        outcome = correction.outcome
        if outcome.is_reworded:
            if outcome.expression and (pair := find_substitution(offer.expression, outcome.expression)):
                self.said["phrase", pair[0]][pair[1]].append(correction.annotator)
        else:
            self.kept_sentences[" ".join(_split(offer.expression))] += 1
            if outcome.is_relabelled:
                self.said["label", offer.phrase][outcome.label].append(correction.annotator)
            else:
                self.kept_labels[offer.phrase] += 1

    def rows(self) -> Iterator[WordRow]:
        """A row for each meaning of each phrase."""
        for (kind, phrase), meanings in self.said.items():
            kept = self.kept_labels[phrase] if kind == "label" else self._count_sentences(phrase)
            every = sum(map(len, meanings.values()))
            for meaning, annotators in meanings.items():
                others = kept + every - len(annotators)
                yield WordRow(kind, phrase, meaning, len(annotators), len(set(annotators)), others)

    def _count_sentences(self, phrase: str) -> int:
        return sum(number for sentence, number in self.kept_sentences.items() if f" {phrase} " in f" {sentence} ")


def _read_offers(db: sa.Connection, project: int) -> Mapping[str, _Offer]:
    """What each region of a project was offered for, by its id."""
    own, offers = answer.c, dict[str, _Offer]()
    columns = (own.id, own.task, own.run, own.query, own.expression, own.reading, own.selected, own.others)
    is_asked = (own.project == project) & (own.expression != "")
    of_answer: dict[int, _Offer] = {}
    for row in db.execute(sa.select(*columns).where(is_asked).order_by(own.id)):
        meant = (row.reading or {}).get("meant") or ("", row.expression)
        offer = _Offer(row.expression, fold_phrase(meant[1] or row.expression))
        if row.run is None:
            of_answer[row.id] = offer
        else:
            ranks = {*row.selected, *(row.others or ())}
            offers |= {region_id(row.run, int(row.task), row.query, index): offer for index in ranks}
    regions = sa.select(region.c.id, region.c.answer_id).join(answer, own.id == region.c.answer_id).where(is_asked)
    for id, answer_id in db.execute(regions):
        if answer_id in of_answer:
            offers[id] = of_answer[answer_id]
    return offers


def _table(words: Words, kind: Kind) -> Mapping[str, str]:
    return words.labels if kind == "label" else words.phrases


def _with(words: Words, rows: list[WordRow], is_in: bool) -> Words:
    tables: dict[Kind, dict[str, str]] = {"label": dict(words.labels), "phrase": dict(words.phrases)}
    for row in rows:
        if is_in:
            tables[row.kind][row.phrase] = row.meaning
        else:
            tables[row.kind].pop(row.phrase)
    return Words(tables["label"], tables["phrase"])


def _split(sentence: str) -> list[str]:
    return re.findall(r"[\w'-]+", sentence.casefold())


def _count_equal(one: list[str], other: list[str]) -> int:
    """How many words two lists have in common before the first that differs."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
