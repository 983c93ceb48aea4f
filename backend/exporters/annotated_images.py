"""The annotated images of a data set, read from the correction store task by task, so that few are in memory at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import sqlalchemy as sa

from backend.corrections.offered_regions import OfferedRegionsOfTask
from backend.corrections.outcome_kinds import HARD_NEGATIVES, KINDS
from backend.corrections.outcomes import OfferedRegion
from backend.corrections.queries import Correction, is_newest, read_corrections
from backend.db.correction_tables import annotation_version
from backend.exporters.planning import ExportFilter, ExportNotes, TaskPlacement
from backend.exporters.targets import AnnotatedImage, DatasetImage, DatasetTarget, TargetSource, merge
from backend.label_studio.prompt import list_absent
from backend.label_studio.protocol import Json
from backend.review.decisions import Decision, RegionMask, State, digest_mask, read_present
from ris_core.geometry.masks import Rle

Reviews = Mapping[RegionMask, Decision]
"""The last decision about each mask, as `read_present` returns them."""
Placements = Mapping[str, TaskPlacement]
"""By task, as `plan_tasks` returns them. Tasks without a placement are not exported."""


def read_annotated_images(
    db: sa.Connection, export_filter: ExportFilter, placements: Placements, notes: ExportNotes
) -> Iterator[AnnotatedImage]:
    """The annotated images of a project, in the order of its tasks.

    Args:
        notes: Regions that are left out or have no expression are added to it.
    """
    reviews = read_present(db, export_filter.project)
    if export_filter.source != "predictions":
        corrections = read_corrections(db, export_filter.project, with_masks=True)
        yield from _from_annotations(
            corrections, export_filter, placements, _read_absent(db, export_filter.project), reviews, notes
        )
    if export_filter.source != "annotations":
        for task, placement in placements.items():
            if export_filter.source == "predictions" or not placement.annotators:
                yield from _from_predictions(db, export_filter, task, placement, reviews, notes)


def read_hard_negatives(db: sa.Connection, project: int, placements: Placements) -> Iterator[Json]:
    """Masks that an expression does not mean, as annotators showed: offered, and then rejected or replaced."""
    for correction in read_corrections(db, project, outcomes=HARD_NEGATIVES, with_masks=True):
        outcome, placement = correction.outcome, placements.get(correction.task)
        if placement and outcome.expression and outcome.offered_mask:
            yield {
                "image": placement.image.file_name,
                "split": placement.split,
                "task": correction.task,
                "annotation": correction.annotation,
                "region": outcome.offered_region,
                "expression": outcome.expression,
                "label": outcome.label,
                "score": outcome.score,
                "model_version": outcome.model_version,
                "outcome": outcome.outcome,
                "mask": outcome.offered_mask,
            }


def _from_annotations(
    corrections: Iterator[Correction],
    export_filter: ExportFilter,
    placements: Placements,
    absent: dict[str, list[str]],
    reviews: Reviews,
    notes: ExportNotes,
) -> Iterator[AnnotatedImage]:
    for task, group in groupby(corrections, key=lambda correction: correction.task):
        exported = [correction for correction in group if _is_exported(correction, export_filter, notes)]
        sources = _only_reviewed([_source(correction, reviews) for correction in exported], export_filter)
        if task in placements:
            placement = placements[task]
            targets = merge(sources, placement.annotators)
            agreed = [target for target in targets if target.agreement >= export_filter.min_agreement]
            yield from _build(task, placement, agreed, absent.pop(task, ()), notes)
    # what is left has expressions of absent objects only: nothing is drawn, so no correction names these tasks
    for task in sorted(absent, key=lambda task: (len(task), task)):
        if task in placements:
            yield from _build(task, placements[task], (), absent[task], notes)


def _is_exported(correction: Correction, export_filter: ExportFilter, notes: ExportNotes) -> bool:
    outcome = correction.outcome
    if not KINDS[outcome.outcome].is_exported:
        notes.left_out.append(
            {
                "task": correction.task,
                "annotation": correction.annotation,
                "region": outcome.region,
                "why": KINDS[outcome.outcome].meaning.partition(";")[0],
            }
        )
        return False
    return outcome.mask is not None and (not export_filter.only or outcome.outcome in export_filter.only)


def _from_predictions(
    db: sa.Connection,
    export_filter: ExportFilter,
    task: str,
    placement: TaskPlacement,
    reviews: Reviews,
    notes: ExportNotes,
) -> Iterator[AnnotatedImage]:
    regions = OfferedRegionsOfTask(db, export_filter.project, task).newest_bulk()
    sources = _only_reviewed([_predicted_source(task, region, reviews) for region in regions], export_filter)
    targets = [DatasetTarget((source,), (source.expression,) if source.expression else (), 1.0) for source in sources]
    yield from _build(task, placement, targets, (), notes)


def _build(
    task: str, placement: TaskPlacement, targets: Sequence[DatasetTarget], absent: Sequence[str], notes: ExportNotes
) -> Iterator[AnnotatedImage]:
    """The task's annotated image; nothing if there is nothing on it, or its size is not known."""
    size_hw = placement.image.size_hw or next((_size_hw(target) for target in targets), None)
    if size_hw is None or not (targets or absent):
        return
    fitting = tuple(target for target in targets if _size_hw(target) == size_hw)
    sentences = {_fold(sentence) for target in fitting for sentence in target.sentences}
    _note_problems(task, targets, size_hw, [text for text in absent if _fold(text) in sentences], notes)
    image = DatasetImage(
        key=placement.image.key,
        file_name=placement.image.file_name,
        size_hw=size_hw,
        address=placement.address,
        split=placement.split,
        group=placement.group,
    )
    yield AnnotatedImage(image, task, fitting, tuple(text for text in absent if _fold(text) not in sentences))


def _note_problems(
    task: str,
    targets: Iterable[DatasetTarget],
    size_hw: tuple[int, int],
    contradictions: Iterable[str],
    notes: ExportNotes,
) -> None:
    for text in contradictions:
        why = f"one annotator says that {text!r} means nothing here, another one drew it"
        notes.left_out.append({"task": task, "why": why})
    for target in targets:
        source = target.sources[0]
        ids: Json = {"task": task, "annotation": source.annotation, "region": source.region}
        if _size_hw(target) != size_hw:
            notes.left_out.append({**ids, "why": f"its mask is {_size_hw(target)}, the image {size_hw}"})
        elif not target.sentences:
            notes.unnamed.append(ids)


def _read_absent(db: sa.Connection, project: int) -> dict[str, list[str]]:
    """By task, the expressions that somebody marked as meaning nothing in its image, each once."""
    by_task: dict[str, dict[str, None]] = {}
    rows = db.execute(
        sa.select(annotation_version.c.task, annotation_version.c.texts)
        .where((annotation_version.c.project == project) & is_newest())
        .order_by(annotation_version.c.annotation)
    )
    for row in rows:
        for text in list_absent(entry for _, entries in row.texts for entry in entries):
            by_task.setdefault(row.task, {})[text] = None
    return {task: list(texts) for task, texts in by_task.items()}


def _only_reviewed(sources: Sequence[TargetSource], export_filter: ExportFilter) -> list[TargetSource]:
    return [source for source in sources if not export_filter.review or source.review in export_filter.review]


def _state(reviews: Reviews, task: str, region: str, mask: Rle) -> State:
    """What was decided about a mask; without any decision in the project no mask is looked at."""
    decision = reviews.get(RegionMask(task, region, digest_mask(mask))) if reviews else None
    return decision.state if decision else "unseen"


def _source(correction: Correction, reviews: Reviews) -> TargetSource:
    outcome = correction.outcome
    assert outcome.mask is not None
    return TargetSource(
        task=correction.task,
        annotation=correction.annotation,
        region=outcome.region,
        annotator=correction.annotator,
        updated_at=correction.updated_at,
        is_reviewed=correction.is_reviewed,
        outcome=outcome.outcome,
        model_version=outcome.model_version,
        label=outcome.label,
        expression=outcome.expression,
        mask=outcome.mask,
        review=_state(reviews, correction.task, outcome.region, outcome.mask),
    )


def _predicted_source(task: str, region: OfferedRegion, reviews: Reviews) -> TargetSource:
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
        expression=region.expression or None,
        mask=region.mask,
        review=_state(reviews, task, region.region, region.mask),
    )


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _size_hw(target: DatasetTarget) -> tuple[int, int]:
    height, width = target.mask["size"]
    return height, width
