"""Expressions as people type them, written by hand for the demo's scenes, with what they mean and how they are to be read.

They were written before the rules that they test, and never train or tune the models. Two thirds, of the split "tune", are to
develop by; the third of the split "test" is held back.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ris_core.errors import UnknownName

FILE = Path(__file__).with_name("free_expressions.tsv")
HELD_BACK = 3
"""Scenes whose seed is a multiple of this are of the split "test"."""


@dataclass(frozen=True)
class FreeExpression:
    """An expression, and what it means.

    Attributes:
        seed: Of its scene (`demo.scenes.make_scene`).
        text: As typed.
        targets: Indices of the objects that it means.
        head: Its head noun.
        landmarks: Nouns of the things that it names besides.
        kind: What is particular about it: "telegraphic", "relation", "slip" and the like.
    """

    seed: int
    text: str
    targets: tuple[int, ...]
    head: str
    landmarks: tuple[str, ...]
    kind: str


def read_free_expressions(split: str) -> tuple[FreeExpression, ...]:
    """The expressions of a split, in the order of their scenes.

    Raises:
        UnknownName: If there is no such split.
    """
    if split not in ("test", "tune"):
        raise UnknownName(f"The free expressions have no split named {split!r}. Available: test, tune.")
    return tuple(one for one in _read() if (one.seed % HELD_BACK == 0) == (split == "test"))


def _read() -> Iterator[FreeExpression]:
    with FILE.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield FreeExpression(
                seed=int(row["seed"]),
                text=row["expression"],
                targets=tuple(map(int, row["targets"].split(","))),
                head=row["head"],
                landmarks=tuple(filter(None, row["landmarks"].split(","))),
                kind=row["kind"],
            )
