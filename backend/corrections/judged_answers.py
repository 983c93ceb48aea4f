"""Answers of which annotators' work says whether they were right: what a calibrator can be learnt from.

An answer is judged by what was saved for it, whatever the annotator did to get there: its best candidate is right if it overlaps a saved
region of the same query with an IoU of at least 0.5. "none: the cat" says that nothing is meant. A deleted proposal with no other region
of its words or label says so too. Suggestions that nobody took up say nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from backend.corrections.matching import overlaps
from backend.corrections.outcomes import RegionOutcome
from backend.corrections.queries import by_task, is_newest, read_corrections
from backend.corrections.statistics import RIGHT_IOU
from backend.db.correction_tables import annotation_version
from backend.db.tables import answer, region
from backend.label_studio.prompt import list_absent
from backend.runs.answers import region_id
from ris_core.geometry.masks import Rle
from ris_core.learning.evidence import AnswerFeatures, JudgedAnswers, collect, read_features
from ris_core.learning.lesson import split_version

Row = sa.RowMapping


@dataclass(frozen=True)
class JudgedAnswer:
    """An answer, judged.

    Attributes:
        image: sha256 of its image.
        is_right: Its best candidate shows what is meant.
        has_target: Something is meant; None if that is not known.
        is_handed_out: Its best candidate was handed out.
    """

    task: str
    image: str
    label: str
    expression: str
    features: AnswerFeatures
    is_right: bool
    has_target: bool | None
    is_handed_out: bool


@dataclass(frozen=True)
class SavedTruth:
    """What annotators' work says that an expression means.

    Attributes:
        has_target: Something is meant; None if that is not known.
        masks: Run lengths of what was saved for it; empty unless something is meant.
    """

    has_target: bool | None
    masks: tuple[Rle, ...] = ()


@dataclass(frozen=True)
class PastPrompt:
    """An expression that was answered, with what annotators left of it. It is known whether anything is meant.

    Attributes:
        image: sha256 of its image.
        handed_out: Indices of the candidates that were handed out.
        candidates: As they were stored, best first.
    """

    task: str
    image: str
    size_hw: tuple[int, int]
    label: str
    expression: str
    model_version: str
    candidates: Sequence[Mapping[str, Any]]
    handed_out: tuple[int, ...]
    truth: SavedTruth


def as_arrays(judged: Sequence[JudgedAnswer]) -> JudgedAnswers:
    """Judged answers as columns."""
    return collect(
        [one.features for one in judged],
        [one.is_right for one in judged],
        [one.has_target for one in judged],
        [one.image for one in judged],
    )


def find_base_version(db: sa.Connection, project: int) -> str | None:
    """The version of a project's newest answer, without what was learnt; None if nothing was answered."""
    newest = sa.select(answer.c.model_version).where(answer.c.project == project).order_by(answer.c.id.desc()).limit(1)
    version = db.scalar(newest)
    return split_version(version)[0] if version else None


def read_judged(db: sa.Connection, project: int, base_version: str) -> Iterator[JudgedAnswer]:
    """Judged answers of a project, of this version with or without what was learnt; of words asked again in a task the newest."""
    works = _read_works(db, project)
    for task, work in works.items():
        newest: dict[str, JudgedAnswer] = {}
        for row, ids in _read_answers(db, project, task):
            if split_version(row["model_version"])[0] == base_version and (judged := _judge(row, ids, work)):
                newest[_fold(row["expression"])] = judged
        yield from newest.values()


def read_past_prompts(db: sa.Connection, project: int, with_pseudonyms: bool = True) -> Iterator[PastPrompt]:
    """The judged prompts of a project, of any version; of words asked again in a task the newest.

    Args:
        with_pseudonyms: Also those that people corrected whose number was replaced by a pseudonym, which is negative.
    """
    for task, work in _read_works(db, project, with_pseudonyms).items():
        newest: dict[str, PastPrompt] = {}
        for row, ids in _read_answers(db, project, task):
            truth = _find_truth(row, ids, work)
            if truth and truth.has_target is not None:
                newest[_fold(row["expression"])] = PastPrompt(
                    task=task,
                    image=row["image_sha256"],
                    size_hw=(row["height"], row["width"]),
                    label=row["label"],
                    expression=row["expression"],
                    model_version=row["model_version"],
                    candidates=row["candidates"],
                    handed_out=tuple(row["selected"]),
                    truth=truth,
                )
        yield from newest.values()


def read_drawn_prompts(db: sa.Connection, project: int) -> Iterator[PastPrompt]:
    """Words that were never answered in their task and over which people drew something, or of which they said that nothing is meant.

    So it is with words that a profile refuses. Only of tasks in which something else was answered: of others it is not known which image
    they show. What pseudonyms drew is left out.
    """
    for task, work in _read_works(db, project, with_pseudonyms=False).items():
        own = sa.select(answer.c.expression, answer.c.image_sha256, answer.c.height, answer.c.width)
        rows = db.execute(
            own.where((answer.c.project == project) & (answer.c.task == task)).order_by(answer.c.id)
        ).all()
        answered = {_fold(row.expression) for row in rows}
        drawn: dict[str, list[RegionOutcome]] = {}
        for one in work.outcomes:
            if one.outcome == "missed" and one.mask and _fold(one.expression) not in {*answered, *work.absent, ""}:
                drawn.setdefault(_fold(one.expression), []).append(one)
        truths = {words: SavedTruth(True, tuple(one.mask for one in of if one.mask)) for words, of in drawn.items()}
        truths |= {words: SavedTruth(False) for words in work.absent - answered if not _is_saved(work, words)}
        for words, truth in truths.items() if rows else ():
            yield PastPrompt(
                task=task,
                image=rows[-1].image_sha256,
                size_hw=(rows[-1].height, rows[-1].width),
                label=drawn[words][0].label if words in drawn else "",
                expression=words,
                model_version="",
                candidates=(),
                handed_out=(),
                truth=truth,
            )


def _is_saved(work: "_Work", words: str) -> bool:
    return any(one.mask and _fold(one.expression) == words for one in work.outcomes)


@dataclass
class _Work:
    """What annotators left in a task: outcomes of regions, and expressions that mean nothing."""

    outcomes: list[RegionOutcome] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)


def _read_works(db: sa.Connection, project: int, with_pseudonyms: bool = True) -> dict[str, _Work]:
    works: dict[str, _Work] = {}
    corrections = read_corrections(db, project, with_masks=True)
    for task, of_task in groupby(corrections, key=lambda one: one.task):
        works[task] = _Work([one.outcome for one in of_task if with_pseudonyms or (one.annotator or 0) >= 0])
    own = annotation_version.c
    rows = db.execute(
        sa.select(own.task, own.texts).where((own.project == project) & is_newest()).order_by(*by_task(own.task))
    )
    for row in rows:
        if absent := list_absent(entry for _, entries in row.texts for entry in entries):
            works.setdefault(row.task, _Work()).absent |= set(map(_fold, absent))
    return works


def _read_answers(db: sa.Connection, project: int, task: str) -> Iterator[tuple[Row, dict[str, int]]]:
    """The answers of a task to expressions, oldest first, and the candidates of each by the id of their region."""
    rows = db.execute(
        sa.select(answer)
        .where((answer.c.project == project) & (answer.c.task == task) & (answer.c.expression != ""))
        .order_by(answer.c.id)
    ).mappings()
    for row in rows.all():
        if row["run"] is None:
            of_answer = sa.select(region.c.id, region.c.candidate_rank).where(region.c.answer_id == row["id"])
            yield row, {one.id: one.candidate_rank - 1 for one in db.execute(of_answer)}
        else:
            indices = range(len(row["candidates"]))
            yield row, {region_id(row["run"], int(task), row["query"], i): i for i in indices}


def _find_truth(row: Row, ids: Mapping[str, int], work: _Work) -> SavedTruth | None:
    """What was saved for an answer; None if that says nothing of it."""
    words = _fold(row["expression"])
    own = [one for one in work.outcomes if one.offered_region in ids]
    saved = [
        one.mask for one in work.outcomes if one.mask and (one.offered_region in ids or _fold(one.expression) == words)
    ]
    if words in work.absent:
        return None if saved else SavedTruth(has_target=False)  # with both, annotators differ
    if saved:
        return SavedTruth(has_target=True, masks=tuple(saved))
    if any(one.outcome == "rejected" for one in own):
        same_label = any(one.mask and one.label == row["label"] for one in work.outcomes)
        return SavedTruth(has_target=None if same_label else False)
    return None


def _judge(row: Row, ids: Mapping[str, int], work: _Work) -> JudgedAnswer | None:
    """An answer by what was saved; None if that says nothing of it, or another method made it."""
    truth = _find_truth(row, ids, work)
    if truth is None:
        return None
    features = read_features(row["candidates"], (row["height"], row["width"]), _read_number(row))
    if features is None:
        return None
    best = row["candidates"][features.index]["mask"]
    ious = overlaps([best], truth.masks) if truth.has_target else None
    return JudgedAnswer(
        task=row["task"],
        image=row["image_sha256"],
        label=row["label"],
        expression=row["expression"],
        features=features,
        is_right=ious is not None and float(ious.max(initial=0.0)) >= RIGHT_IOU,
        has_target=truth.has_target,
        is_handed_out=features.index in row["selected"],
    )


def _read_number(row: Row) -> int | None:
    """How many things were asked for; None for an open number. Of answers that do not say, by how many answer."""
    numbers = (row["reading"] or {}).get("numbers")
    if numbers:
        return None if numbers[0] is None else int(numbers[0])
    return 1 if len(row["selected"]) <= 1 else None


def _fold(text: str | None) -> str:
    return " ".join((text or "").casefold().split())
