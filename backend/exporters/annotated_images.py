"""The annotated images of a data set, read from the correction store task by task, so that few are in memory at a time."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import sqlalchemy as sa

from backend.corrections.offered_regions import OfferedRegionsOfTask
from backend.corrections.outcome_kinds import HARD_NEGATIVES
from backend.corrections.queries import read_corrections
from backend.corrections.wording import fold
from backend.exporters.planning import ExportNotes, TaskPlacement
from backend.exporters.request import ExportFilter
from backend.exporters.targets import (
    AnnotatedImage,
    DatasetImage,
    DatasetTarget,
    TargetSource,
    make_target,
    merge,
)
from backend.exporters.task_sources import Reviews, TaskSources, predicted_source, read_task_sources
from backend.label_studio.protocol import Json
from backend.review.decisions import read_present

Placements = Mapping[str, TaskPlacement]
"""By task, as `plan_tasks` returns them. Tasks without a placement are not exported."""


def read_annotated_images(
    db: sa.Connection, export_filter: ExportFilter, placements: Placements, notes: ExportNotes
) -> Iterator[AnnotatedImage]:
    """The annotated images of a project, each once, in the order of the last of its tasks.

    Args:
        notes: Regions that are left out or have no expression are added to it.
    """
    reviews = read_present(db, export_filter.project)
    if export_filter.source != "predictions":
        yield from _from_annotations(db, export_filter, placements, reviews, notes)
    if export_filter.source != "annotations":
        yield from _from_predictions(db, export_filter, placements, reviews, notes)


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
    db: sa.Connection, export_filter: ExportFilter, placements: Placements, reviews: Reviews, notes: ExportNotes
) -> Iterator[AnnotatedImage]:
    waiting = Counter(placement.image.key for placement in placements.values() if placement.annotators)
    held: dict[str, list[TaskSources]] = {}
    for task in read_task_sources(db, export_filter.project, reviews, notes):
        if task.task in placements:
            key = placements[task.task].image.key
            held.setdefault(key, []).append(task)
            waiting[key] -= 1
            if waiting[key] <= 0:
                yield from _join(held.pop(key), placements, export_filter, notes)
    for tasks in held.values():  # one of the image's tasks was deleted meanwhile
        yield from _join(tasks, placements, export_filter, notes)


def _join(
    tasks: Sequence[TaskSources], placements: Placements, export_filter: ExportFilter, notes: ExportNotes
) -> Iterator[AnnotatedImage]:
    """The annotated image of tasks that have the same image."""
    # who annotated one of the tasks was not asked what another one asks for, so each target counts the annotators of its own
    merged = merge([source for task in tasks for source in task.sources], 1)
    annotators = {task.task: task.annotators for task in tasks}
    targets = [target for each in merged if (target := _choose(each, annotators, export_filter))]
    absent = dict.fromkeys(text for task in tasks for text in task.absent)
    is_empty = all(task.is_empty for task in tasks)
    yield from _build(tasks[0].task, placements[tasks[0].task], targets, tuple(absent), is_empty, notes)


def _choose(
    target: DatasetTarget, annotators: Mapping[str, frozenset[int | None]], export_filter: ExportFilter
) -> DatasetTarget | None:
    """The target as far as it is exported: its agreement is that of all who drew it, whatever regions are asked for."""
    asked = frozenset().union(*(annotators[source.task] for source in target.sources))
    agreement = len({source.annotator for source in target.sources}) / len(asked)
    sources = [source for source in target.sources if _is_asked_for(source, export_filter)]
    if not sources or agreement < export_filter.min_agreement:
        return None
    return make_target(sources, min(1.0, agreement))


def _is_asked_for(source: TargetSource, export_filter: ExportFilter) -> bool:
    is_outcome = not source.outcome or not export_filter.only or source.outcome in export_filter.only
    return is_outcome and (not export_filter.review or source.review in export_filter.review)


def _from_predictions(
    db: sa.Connection, export_filter: ExportFilter, placements: Placements, reviews: Reviews, notes: ExportNotes
) -> Iterator[AnnotatedImage]:
    annotated = {one.image.key: task for task, one in placements.items() if one.annotators}
    tasks_of: dict[str, list[str]] = {}
    for task, placement in placements.items():
        key = placement.image.key
        if export_filter.source == "predictions" or key not in annotated:
            tasks_of.setdefault(key, []).append(task)
        elif not placement.annotators:
            notes.left_out.append({"task": task, "why": f"its image was annotated in task {annotated[key]}"})
    for tasks in tasks_of.values():
        sources = [
            source
            for task in tasks
            for region in OfferedRegionsOfTask(db, export_filter.project, task).newest_bulk()
            if _is_asked_for(source := predicted_source(task, region, reviews), export_filter)
        ]
        yield from _build(tasks[0], placements[tasks[0]], merge(sources, 1), (), False, notes)


def _build(
    task: str,
    placement: TaskPlacement,
    targets: Sequence[DatasetTarget],
    absent: Sequence[str],
    is_empty: bool,
    notes: ExportNotes,
) -> Iterator[AnnotatedImage]:
    """An annotated image; nothing if there is nothing to say about it, or its size is not known.

    An image whose regions are all left out is no image that shows nothing.
    """
    size_hw = placement.image.size_hw or next((_size_hw(target) for target in targets), None)
    if size_hw is None:
        if absent or is_empty:
            notes.left_out.append({"task": task, "why": "the size of its image is not known"})
        return
    fitting = tuple(target for target in targets if _size_hw(target) == size_hw)
    sentences = {fold(sentence) for target in fitting for sentence in target.sentences}
    _note_problems(targets, size_hw, notes)
    for text in absent:
        if fold(text) in sentences:
            why = f"one annotator says that {text!r} means nothing here, another one drew it"
            notes.left_out.append({"task": task, "why": why})
    absent = tuple(text for text in absent if fold(text) not in sentences)
    if fitting or absent or is_empty:
        image = DatasetImage(
            key=placement.image.key,
            file_name=placement.image.file_name,
            size_hw=size_hw,
            address=placement.address,
            split=placement.split,
            group=placement.group,
        )
        yield AnnotatedImage(image, fitting, absent, is_empty)


def _note_problems(targets: Iterable[DatasetTarget], size_hw: tuple[int, int], notes: ExportNotes) -> None:
    for target in targets:
        source = target.sources[0]
        ids: Json = {"task": source.task, "annotation": source.annotation, "region": source.region}
        if _size_hw(target) != size_hw:
            notes.left_out.append({**ids, "why": f"its mask is {_size_hw(target)}, the image {size_hw}"})
        elif not target.sentences:
            notes.unnamed.append(ids)


def _size_hw(target: DatasetTarget) -> tuple[int, int]:
    height, width = target.mask["size"]
    return height, width
