"""The answer that a region came from: how the expression was read, and every candidate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from backend.corrections.matching import overlaps
from backend.db.tables import answer, region
from backend.runs.answers import region_id
from ris_core.errors import UnknownName
from ris_core.geometry.masks import Rle


@dataclass(frozen=True)
class OfferedCandidate:
    """A candidate of an answer.

    Attributes:
        rank: From 1, best first.
        score: In [0, 1].
        iou: With the region's mask, in [0, 1]; None if the two are of different sizes.
        is_handed_out: It was shown to annotators.
        is_other: It could have been meant instead.
    """

    rank: int
    score: float
    iou: float | None
    is_handed_out: bool
    is_other: bool


@dataclass(frozen=True)
class OriginalAnswer:
    """The answer that a region came from.

    Attributes:
        at: Seconds since 1970.
        run: Id of the bulk run; None of an annotator's request.
        is_guess: The label was guessed; None where that was not recorded.
        decision: "match", "ambiguous" or "no_match".
        is_calibrated: Whether the scores are probabilities; None where that was not recorded.
        head, phrase: Noun and noun phrase of what was looked for; None where they were not recorded.
        numbers: How many of each thing are meant; None for an open number.
        unused: Words that were not used.
        masks: Of the candidates, best first.
        selected, others: Indices of those that answer, and of those that could be meant instead.
    """

    id: int
    at: float
    run: str | None
    expression: str
    label: str
    is_guess: bool | None
    decision: str
    model_version: str
    is_calibrated: bool | None
    head: str | None
    phrase: str | None
    numbers: tuple[int | None, ...]
    unused: tuple[str, ...]
    scores: tuple[float, ...]
    masks: tuple[Rle, ...]
    selected: tuple[int, ...]
    others: tuple[int, ...]

    def compare(self, mask: Rle) -> list[OfferedCandidate]:
        """The candidates beside a region's mask, best first."""
        ious = overlaps(self.masks, [mask])[:, 0].tolist()
        return [
            OfferedCandidate(
                i + 1,
                score,
                ious[i] if list(self.masks[i]["size"]) == list(mask["size"]) else None,
                i in self.selected,
                i in self.others,
            )
            for i, score in enumerate(self.scores)
        ]


def find_answer(db: sa.Connection, project: int, task: str, offered: str) -> OriginalAnswer | None:
    """The answer in which a region was handed out, the newest one; None if it is not on record, as of predictions made elsewhere.

    Args:
        offered: Id with which it was handed out.
    """
    requested = sa.select(region.c.answer_id).where((region.c.id == offered) & (region.c.task == task))
    rows = db.execute(
        sa.select(answer)
        .where((answer.c.project == project) & (answer.c.task == task))
        .where(answer.c.run.is_not(None) | answer.c.id.in_(requested))
        .order_by(answer.c.id.desc())
    ).mappings()
    found = (row for row in rows.all() if row["run"] is None or _hands_out(row, offered))
    return next(map(_read, found), None)


def read_answer(db: sa.Connection, project: int, task: str, id: int) -> OriginalAnswer:
    """An answer of a task by its id.

    Raises:
        UnknownName: If the task has no such answer.
    """
    is_meant = (answer.c.id == id) & (answer.c.project == project) & (answer.c.task == task)
    row = db.execute(sa.select(answer).where(is_meant)).mappings().first()
    if row is None:
        raise UnknownName(f"The task {task} has no answer {id}. Load the page again.")
    return _read(row)


def _hands_out(row: Mapping[Any, Any], offered: str) -> bool:
    """Whether a run's answer has a candidate whose region has this id."""
    indices = range(len(row["candidates"]))
    return any(region_id(row["run"], int(row["task"]), row["query"], i) == offered for i in indices)


def _read(row: Mapping[Any, Any]) -> OriginalAnswer:
    reading: Mapping[str, Sequence[Any]] = row["reading"] or {}
    head, phrase = reading.get("meant") or (None, None)
    candidates = row["candidates"]
    return OriginalAnswer(
        **{name: row[name] for name in ("id", "run", "expression", "label", "is_guess", "decision", "model_version")},
        at=row["created_at"],
        is_calibrated=row["is_calibrated"],
        head=head,
        phrase=phrase,
        numbers=tuple(reading.get("numbers") or ()),
        unused=tuple(reading.get("unused") or ()),
        scores=tuple(float(one["score"]) for one in candidates),
        masks=tuple(one["mask"] for one in candidates),
        selected=tuple(row["selected"]),
        others=tuple(row["others"] or ()),
    )
