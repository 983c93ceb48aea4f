"""Where two people say different things of one expression in one task: other masks, or a mask and that nothing is meant."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, groupby
from typing import Any

import sqlalchemy as sa

from backend.corrections.matching import overlap, unite
from backend.corrections.queries import ROWS_AT_ONCE, by_task, is_newest
from backend.corrections.wording import fold
from backend.db.correction_tables import annotation_version
from backend.label_studio.drawn_regions import DrawnRegion
from backend.label_studio.prompt import list_absent
from backend.label_studio.protocol import Json
from ris_core.geometry.masks import Rle

SAME_MASK = 0.8
"""IoU from which two people drew the same; exports join their regions from there."""


@dataclass(frozen=True)
class Disagreement:
    """Two people who do not agree on an expression.

    Attributes:
        expression: As the first of them has it.
        annotations: Label Studio's ids of both.
        annotators: Who made them; None where nothing says so.
        iou: Of what each of them drew for it, all parts together, in [0, 1]. None: the second said that it means nothing.
    """

    task: str
    expression: str
    annotations: tuple[int, int]
    annotators: tuple[int | None, int | None]
    iou: float | None

    def to_json(self) -> Json:
        """All fields."""
        return asdict(self)


@dataclass(frozen=True)
class _Statement:
    """What an annotation says of an expression; without a mask, that it means nothing."""

    annotation: int
    annotator: int | None
    expression: str
    mask: Rle | None


def read_disagreements(db: sa.Connection, project: int) -> Iterator[Disagreement]:
    """The disagreements of a project in the order of its tasks: of each expression the two people who agree least."""
    own = annotation_version.c
    rows = db.execute(
        sa.select(own.task, own.annotation, own.annotator, own.regions, own.texts)
        .where((own.project == project) & is_newest())
        .order_by(*by_task(own.task), own.annotation),
        execution_options={"yield_per": ROWS_AT_ONCE},
    ).mappings()
    for task, versions in groupby(rows, key=lambda row: str(row["task"])):
        statements: dict[str, list[_Statement]] = {}
        for version in versions:
            for wording, statement in _read_statements(version):
                statements.setdefault(wording, []).append(statement)
        for said in statements.values():
            yield from _find_widest(task, said)


def sort_widest(disagreements: Iterable[Disagreement]) -> list[Disagreement]:
    """Those first where one of the two drew what means nothing to the other, then by IoU."""
    return sorted(disagreements, key=lambda one: -1.0 if one.iou is None else one.iou)


def _read_statements(version: Mapping[Any, Any]) -> Iterator[tuple[str, _Statement]]:
    """What an annotation says of each expression, by its wording. Things of one name are one mask."""
    drawn: dict[str, tuple[str, list[Rle]]] = {}
    for region in map(DrawnRegion.from_json, version["regions"]):
        for sentence in region.sentences:
            drawn.setdefault(fold(sentence), (sentence, []))[1].append(region.mask)
    ids = version["annotation"], version["annotator"]
    for wording, (sentence, masks) in drawn.items():
        yield wording, _Statement(*ids, sentence, unite(masks))
    for text in list_absent(entry for _, entries in version["texts"] for entry in entries):
        if fold(text) not in drawn:
            yield fold(text), _Statement(*ids, text, None)


def _find_widest(task: str, said: Sequence[_Statement]) -> Iterator[Disagreement]:
    found = [
        Disagreement(
            task=task,
            expression=first.expression,
            annotations=(first.annotation, second.annotation),
            annotators=(first.annotator, second.annotator),
            iou=None if second.mask is None else iou,
        )
        for one, other in combinations(said, 2)
        if one.annotator != other.annotator
        for first, second in [(one, other) if one.mask else (other, one)]
        if first.mask and (iou := overlap(first.mask, second.mask) if second.mask else 0.0) < SAME_MASK
    ]
    if found:
        yield sort_widest(found)[0]
