"""What the annotations of each task say, read from the correction store in the order of the tasks, few of them at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from backend.corrections.outcome_kinds import KINDS
from backend.corrections.outcomes import OfferedRegion
from backend.corrections.queries import Correction, by_task, is_newest, read_corrections
from backend.db.correction_tables import annotation_version
from backend.exporters.planning import ExportNotes
from backend.exporters.targets import TargetSource
from backend.label_studio.drawn_regions import DrawnRegion
from backend.label_studio.prompt import list_absent
from backend.review.decisions import Decision, RegionMask, State, digest_mask
from ris_core.geometry.masks import Rle

Reviews = Mapping[RegionMask, Decision]
"""The last decision about each mask, as `read_present` returns them."""
ROWS_AT_ONCE = 200
"""Rows in memory at a time."""
_Row = Mapping[str, Any]


@dataclass(frozen=True)
class TaskSources:
    """What the annotations of a task say.

    Attributes:
        sources: The regions that can be exported.
        annotators: Who annotated it; None stands for all of whom nothing says who they are.
        absent: Expressions that mean nothing in its image.
        is_empty: It was saved, and nobody drew anything.
    """

    task: str
    sources: tuple[TargetSource, ...]
    annotators: frozenset[int | None]
    absent: tuple[str, ...]
    is_empty: bool


def read_task_sources(db: sa.Connection, project: int, reviews: Reviews, notes: ExportNotes) -> Iterator[TaskSources]:
    """What is said of every annotated task of a project.

    Args:
        notes: Regions that are never exported, and what could not be read, are added to it.
    """
    corrections = groupby(read_corrections(db, project), key=lambda correction: correction.task)
    following = next(corrections, None)
    for task, rows in groupby(_read_versions(db, project), key=lambda row: str(row["task"])):
        own: list[Correction] = []
        if following and following[0] == task:
            own = list(following[1])
            following = next(corrections, None)
        yield _make_sources(task, list(rows), own, reviews, notes)


def predicted_source(task: str, region: OfferedRegion, reviews: Reviews) -> TargetSource:
    """A predicted region that nobody has reviewed."""
    return TargetSource(
        task=task,
        annotation=None,
        region=region.region,
        annotator=None,
        updated_at=region.at,
        is_reviewed=False,
        outcome="",
        model_version=region.model_version,
        label=region.label,
        sentences=(region.expression,) if region.expression else (),
        mask=region.mask,
        review=_state(reviews, task, region.region, region.mask),
    )


def _read_versions(db: sa.Connection, project: int) -> Iterator[_Row]:
    own = annotation_version.c
    rows = db.execute(
        sa.select(own.task, own.annotation, own.annotator, own.regions, own.texts, own.problems)
        .where((own.project == project) & is_newest())
        .order_by(*by_task(own.task), own.annotation),
        execution_options={"yield_per": ROWS_AT_ONCE},
    )
    yield from rows.mappings()  # type: ignore[misc]  # its keys are names of columns


def _make_sources(
    task: str, versions: Sequence[_Row], corrections: Sequence[Correction], reviews: Reviews, notes: ExportNotes
) -> TaskSources:
    drawn = {
        (version["annotation"], region.id): region
        for version in versions
        for region in map(DrawnRegion.from_json, version["regions"])
    }
    sources = []
    for correction in corrections:
        region = drawn.get((correction.annotation, correction.outcome.region))
        kind = KINDS[correction.outcome.outcome]
        if not kind.is_exported:
            ids = {"task": task, "annotation": correction.annotation, "region": correction.outcome.region}
            notes.left_out.append({**ids, "why": kind.meaning.partition(";")[0]})
        elif region:
            sources.append(_make_source(correction, region, reviews))
    for version in versions:
        for problem in version["problems"] or ():
            notes.left_out.append({"task": task, "annotation": version["annotation"], "why": problem})
    texts = (entry for version in versions for _, entries in version["texts"] for entry in entries)
    return TaskSources(
        task=task,
        sources=tuple(sources),
        annotators=frozenset(version["annotator"] for version in versions),
        absent=tuple(dict.fromkeys(list_absent(texts))),
        # without a list of problems it is not known whether everything was read
        is_empty=not drawn and all(version["problems"] == [] for version in versions),
    )


def _make_source(correction: Correction, region: DrawnRegion, reviews: Reviews) -> TargetSource:
    return TargetSource(
        task=correction.task,
        annotation=correction.annotation,
        region=region.id,
        annotator=correction.annotator,
        updated_at=correction.updated_at,
        is_reviewed=correction.is_reviewed,
        outcome=correction.outcome.outcome,
        model_version=correction.outcome.model_version,
        label=region.label,
        sentences=region.sentences,
        mask=region.mask,
        shape=region.shape,
        review=_state(reviews, correction.task, region.id, region.mask),
    )


def _state(reviews: Reviews, task: str, region: str, mask: Rle) -> State:
    """What was decided about a mask; without any decision in the project no mask is looked at."""
    decision = reviews.get(RegionMask(task, region, digest_mask(mask))) if reviews else None
    return decision.state if decision else "unseen"
