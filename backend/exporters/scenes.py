"""Scenes from the ledger, one task after the other; few of them in memory at a time."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import sqlalchemy as sa

from backend.corrections.offered_regions import OfferedRegionsOfTask
from backend.corrections.outcomes import OfferedRegion
from backend.corrections.queries import Correction, is_newest, read_corrections
from backend.db.correction_tables import annotation_version
from backend.exporters.planning import ExportFilter, ExportNotes, TaskPlacement
from backend.exporters.targets import AnnotatedImage, DatasetImage, DatasetTarget, TargetSource, merge
from backend.label_studio.prompt import list_absent
from backend.label_studio.protocol import Json


def read_scenes(
    db: sa.Connection, choice: ExportFilter, places: Mapping[str, TaskPlacement], findings: ExportNotes
) -> Iterator[AnnotatedImage]:
    """The scenes of a project, in the order of its tasks.

    Args:
        places: Of its tasks, by `place_all`.
    """
    if choice.source != "predictions":
        corrections = read_corrections(db, choice.project, with_masks=True)
        yield from _annotated(corrections, choice, places, _read_absent(db, choice.project), findings)
    if choice.source != "annotations":
        for task in places:
            if choice.source == "predictions" or not places[task].annotators:
                yield from _predicted(db, choice, task, places[task], findings)


def read_negatives(db: sa.Connection, project: int, places: Mapping[str, TaskPlacement]) -> Iterator[Json]:
    """Masks that an expression does not mean, as annotators showed: offered and refused, or put aside for another candidate."""
    for one in read_corrections(db, project, outcomes=("rejected", "replaced"), with_masks=True):
        told, place = one.outcome, places.get(one.task)
        if place and told.expression and told.offered_mask:
            yield {
                "image": place.settled.file_name,
                "split": place.split,
                "task": one.task,
                "annotation": one.annotation,
                "region": told.offered_region,
                "expression": told.expression,
                "label": told.label,
                "score": told.score,
                "model_version": told.model_version,
                "outcome": told.outcome,
                "mask": told.offered_mask,
            }


def _annotated(
    corrections: Iterator[Correction],
    choice: ExportFilter,
    places: Mapping[str, TaskPlacement],
    absent: dict[str, list[str]],
    findings: ExportNotes,
) -> Iterator[AnnotatedImage]:
    for task, some in groupby(corrections, key=lambda one: one.task):
        sources = [_source(one) for one in some if _is_wanted(one, choice, findings)]
        if task in places:
            place = places[task]
            targets = merge(sources, place.annotators)
            agreed = tuple(target for target in targets if target.agreement >= choice.min_agreement)
            yield from _make_scene(task, place, agreed, tuple(absent.pop(task, ())), findings)
    for task in sorted(absent, key=lambda task: (len(task), task)):  # nothing is drawn there
        if task in places:
            yield from _make_scene(task, places[task], (), tuple(absent[task]), findings)


def _is_wanted(one: Correction, choice: ExportFilter, findings: ExportNotes) -> bool:
    told = one.outcome
    if told.outcome == "foreign":
        why = {"task": one.task, "annotation": one.annotation, "region": told.region}
        findings.left_out.append({**why, "why": "its id was handed out for another task"})
        return False
    return told.mask is not None and (not choice.only or told.outcome in choice.only)


def _predicted(
    db: sa.Connection, choice: ExportFilter, task: str, place: TaskPlacement, findings: ExportNotes
) -> Iterator[AnnotatedImage]:
    offers = OfferedRegionsOfTask(db, choice.project, task).newest_bulk()
    targets = tuple(
        DatasetTarget((_machine_source(task, offer),), (offer.expression,) * bool(offer.expression), 1.0)
        for offer in offers
    )
    yield from _make_scene(task, place, targets, (), findings)


def _make_scene(
    task: str, place: TaskPlacement, targets: Sequence[DatasetTarget], absent: Sequence[str], findings: ExportNotes
) -> Iterator[AnnotatedImage]:
    size_hw = place.settled.size_hw or next((_size(target) for target in targets), None)
    if size_hw is None or not (targets or absent):
        return
    fitting = tuple(target for target in targets if _size(target) == size_hw)
    named = {_fold(sentence) for target in fitting for sentence in target.sentences}
    for text in absent:
        if _fold(text) in named:
            why = f"one annotator says that {text!r} means nothing here, another drew it"
            findings.left_out.append({"task": task, "why": why})
    for target in targets:
        where: Json = {"task": task, "annotation": target.sources[0].annotation, "region": target.sources[0].region}
        if _size(target) != size_hw:
            findings.left_out.append({**where, "why": f"its mask is {_size(target)}, the image {size_hw}"})
        elif not target.sentences:
            findings.unnamed.append(where)
    picture = DatasetImage(place.settled.key, place.settled.file_name, size_hw, place.address, place.split, place.group)
    yield AnnotatedImage(picture, task, fitting, tuple(text for text in absent if _fold(text) not in named))


def _read_absent(db: sa.Connection, project: int) -> dict[str, list[str]]:
    """By task, the expressions of which somebody said that they mean nothing there, each once."""
    found: dict[str, dict[str, None]] = {}
    rows = db.execute(
        sa.select(annotation_version.c.task, annotation_version.c.texts)
        .where((annotation_version.c.project == project) & is_newest())
        .order_by(annotation_version.c.annotation)
    )
    for row in rows:
        for text in list_absent(entry for _, entries in row.texts for entry in entries):
            found.setdefault(row.task, {})[text] = None
    return {task: list(texts) for task, texts in found.items()}


def _source(one: Correction) -> TargetSource:
    told = one.outcome
    assert told.mask is not None
    return TargetSource(
        one.task,
        one.annotation,
        told.region,
        one.annotator,
        one.updated_at,
        one.is_reviewed,
        told.outcome,
        told.model_version,
        told.label,
        told.expression,
        told.mask,
    )


def _machine_source(task: str, offer: OfferedRegion) -> TargetSource:
    expression = offer.expression or None
    return TargetSource(
        task, None, offer.region, None, offer.at, False, "", offer.model_version, offer.label, expression, offer.mask
    )


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _size(target: DatasetTarget) -> tuple[int, int]:
    height, width = target.mask["size"]
    return height, width
