"""`ris bench reading`: how many expressions are read as a person reads them, and what reading one costs.

The gold readings (`demo/gold_readings.tsv`) are about photographs, and were written by another hand than the grammar's, who saw
neither it nor its tests. Two thirds, of the split "tune", are to develop by; the split "test" is held back.
"""

import csv
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import demo
from ris_core.errors import UnknownName
from ris_core.language import grammar, lexicon
from ris_core.language.parser import Parser
from ris_core.language.values import Clause, Referent
from ris_core.types import Expression

FILE = Path(demo.__file__).with_name("gold_readings.tsv")
SPLITS = ("tune", "test")
REPEATS = 3
LONGEST = 1_000
"""Characters of the longest expression that is read."""


@dataclass(frozen=True)
class GoldReading:
    """An expression and how a person reads it.

    Attributes:
        kind: What is particular about it.
        heads: Nouns of what is meant; more than one of a list.
        landmarks: Nouns of other things that it says the place by, owners among them.
        excluded: Words of what is denied.
        number: "1", "n" for several without a count, or the count.
        words: What must not be lost.
    """

    kind: str
    text: str
    heads: frozenset[str]
    landmarks: frozenset[str]
    excluded: frozenset[str]
    number: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class ReadingVerdict:
    """Which parts of a reading are right.

    Attributes:
        lost: Content words that nothing was made of, and that are not named as unused.
        extra: More things are asked for than are meant.
    """

    gold: GoldReading
    read: str
    head: bool
    landmarks: bool
    excluded: bool
    number: bool
    extra: bool
    lost: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Head, landmarks, what is denied and how many."""
        return self.head and self.landmarks and self.excluded and self.number and not self.extra


@dataclass(frozen=True)
class ReadingReport:
    """Verdicts on a split, and the cost of reading in CPU seconds."""

    split: str
    parser: str
    verdicts: tuple[ReadingVerdict, ...]
    median_s: float
    p95_s: float
    longest_s: float

    def shares(self) -> dict[str, float]:
        """Share of the expressions that are right; "denied" of those that deny, "extra" of those with one target, "lost" of the words."""
        names = ("whole", "head", "landmarks", "number")
        counts = {name: float(np.mean([getattr(v, name) for v in self.verdicts])) for name in names}
        denied = [v.excluded for v in self.verdicts if v.gold.excluded]
        single = [v.extra for v in self.verdicts if v.gold.number == "1"]
        words = sum(len(v.gold.words) for v in self.verdicts)
        lost = sum(len(v.lost) for v in self.verdicts)
        return {**counts, "denied": float(np.mean(denied)), "extra": float(np.mean(single)), "lost": lost / words}

    def to_json(self) -> str:
        """As one JSON document, with every verdict."""
        times = {"median_s": self.median_s, "p95_s": self.p95_s, "longest_s": self.longest_s}
        verdicts = [
            {"text": v.gold.text, "kind": v.gold.kind, "read": v.read, "whole": v.whole, "lost": list(v.lost)}
            for v in self.verdicts
        ]
        return json.dumps(
            {"split": self.split, "parser": self.parser, **self.shares(), **times, "verdicts": verdicts}, indent=1
        )

    def to_markdown(self) -> str:
        """As a table, with what was read otherwise below it."""
        n = len(self.verdicts)
        rows = [f"| {name} | {share:.3f} | {_interval(share, n)} |" for name, share in self.shares().items()]
        wrong = [f"- {v.gold.text} ({v.gold.kind}): {v.read}" for v in self.verdicts if not v.whole or v.lost]
        cost = f"CPU milliseconds an expression: median {1e3 * self.median_s:.1f}, p95 {1e3 * self.p95_s:.1f}"
        return "\n".join(
            [
                f"{n} gold readings, split {self.split}, parser {self.parser}.",
                "",
                "| right | share | 95 % interval |",
                "| --- | --- | --- |",
                *rows,
                "",
                f"{cost}; {LONGEST:,} characters {1e3 * self.longest_s:.0f}.",
                "",
                "Read otherwise:",
                "",
                *wrong,
            ]
        )


def read_gold(split: str) -> tuple[GoldReading, ...]:
    """The gold readings of a split.

    Args:
        split: One of `SPLITS`.

    Raises:
        UnknownName: If there is no such split.
    """
    if split not in SPLITS:
        raise UnknownName(f"The gold readings have no split named {split!r}. Available: {', '.join(SPLITS)}.")
    with FILE.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE) if row["split"] == split]
    return tuple(
        GoldReading(
            kind=row["kind"],
            text=row["expression"],
            heads=_set(row["head"]),
            landmarks=_set(row["landmarks"]),
            excluded=_set(row["excluded"]),
            number=row["number"],
            words=tuple(filter(None, map(str.strip, row["words"].split(",")))),
        )
        for row in rows
    )


def judge_reading(gold: GoldReading, expression: Expression) -> ReadingVerdict:
    """Compare a reading with a person's."""
    things = expression.referents
    heads = [thing.head for thing in things]
    denied = [word for thing in things for word in _denied(thing)]
    said = [word for thing in things for other in thing.things for word in _words(other)]
    located = [clause.wording for thing in things for clause in thing.clauses if clause.kind != "relation"]
    silent = grammar.FRAME_NOUNS | lexicon.EVERY | lexicon.HOLDING if located else lexicon.EVERY | lexicon.HOLDING
    counts = {str(thing.number) for thing in things} | ({"two", "both", "three", "four"} if things[0].number else set())
    return ReadingVerdict(
        gold=gold,
        read=" AND ".join(thing.label for thing in things),
        head=_match(gold.heads, filter(None, heads)) if gold.heads else set(heads) <= {"", "person"},
        landmarks=_match(gold.landmarks, *_landmarks(things)),
        excluded=bool(gold.excluded) == bool(denied) and _has(denied, gold.excluded),
        number=len(gold.heads) > 1 or _is_number(gold.number, things[0].number),
        extra=len(things) > 1 and gold.number == "1",
        lost=tuple(
            word
            for word in gold.words
            if not _has([*said, *expression.unused], [word]) and word not in silent and word not in counts
        ),
    )


def measure(parser: Parser, split: str) -> ReadingReport:
    """Judge a split's readings, and time them: the fastest of a few runs of each, in CPU seconds."""
    gold = read_gold(split)
    verdicts = tuple(judge_reading(one, parser.parse(one.text)) for one in gold)
    times = [_cost(parser, one.text) for one in gold]
    longest = " ".join(one.text for one in gold)[:LONGEST]
    return ReadingReport(
        split,
        parser.fingerprint,
        verdicts,
        float(np.median(times)),
        float(np.percentile(times, 95)),
        _cost(parser, longest),
    )


def _cost(parser: Parser, text: str) -> float:
    costs = []
    for _ in range(REPEATS):
        started = time.process_time()
        parser.read(text)
        costs.append(time.process_time() - started)
    return min(costs)


def _landmarks(things: Sequence[Referent]) -> tuple[list[str], list[str]]:
    """Heads of the landmarks, and those that may be called so: what is held, owners and wearers that are part of a look."""
    certain: list[str] = []
    possible: list[str] = []
    for thing in things:
        for other in _located(thing):
            for clause in other.clauses:
                heads = [landmark.head for landmark in clause.landmarks if landmark.head]
                (possible if _is_held(clause) or clause.is_negated else certain).extend(heads)
        possible += [word for word in thing.phrase.split() if word != thing.head]
        possible += [word for other in thing.excluded for one in other.things for word in one.phrase.split()]
    return certain, possible


def _located(thing: Referent) -> Iterator[Referent]:
    """A thing and its landmarks at any depth, without what is excluded."""
    yield thing
    for clause in thing.clauses:
        for landmark in clause.landmarks:
            yield from _located(landmark)


def _is_held(clause: Clause) -> bool:
    return clause.keyword == "with" and not clause.wording.startswith("of ")


def _denied(thing: Referent) -> Iterable[str]:
    for other in thing.excluded:
        for one in other.things:
            yield from _words(one)
    for clause in thing.clauses:
        if clause.is_negated:
            yield from (clause.wording.replace("-", " ").split())


def _words(thing: Referent) -> Iterable[str]:
    for text in (thing.phrase, thing.head, *(f"{clause.wording} {clause.keyword}" for clause in thing.clauses)):
        yield from text.replace("-", " ").split()


def _is_number(gold: str, read: int | None) -> bool:
    if gold == "n":
        return read is None or read > 1
    return read == int(gold)


def _match(gold: frozenset[str], certain: Iterable[str], possible: Iterable[str] = ()) -> bool:
    """Whether all are found, and nothing certain is too much."""
    certain = list(certain)
    return _has([*certain, *possible], gold) and _has(gold, certain)


def _has(found: Iterable[str], wanted: Iterable[str]) -> bool:
    forms = {form for word in found for form in lexicon.forms(word.lower())}
    return all(lexicon.forms(word.lower()) & forms for word in wanted)


def _set(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.split(","))))


def _interval(share: float, n: int) -> str:
    """Wilson's."""
    z = 1.96
    middle, half = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return f"{(middle - half) / (1 + z * z / n):.3f} to {(middle + half) / (1 + z * z / n):.3f}"
