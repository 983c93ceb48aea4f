"""Scenes from the ledger, one task after the other; few of them in memory at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

import sqlalchemy as sa

from backend.corrections.annotations import read_layout
from backend.corrections.offers import TaskOffers
from backend.corrections.outcomes import Offer
from backend.corrections.reading import Correction, by_task, is_newest, read_corrections
from backend.corrections.tables import annotation_version, offered_prediction
from backend.errors import ImageUnreachable
from backend.exporters.images import Images, Settled
from backend.exporters.splits import Groups, Shares
from backend.exporters.targets import Picture, Scene, Source, Target, merge
from backend.label_studio.protocol import Json, read_field
from backend.runs.tables import item, run
from backend.tables import answer, request
from ris_core.errors import BadInput

SourceName = Literal["annotations", "predictions", "both"]

NONE_PREFIX = "none:"
"""How an annotator says that an expression means nothing in the image."""


@dataclass(frozen=True)
class Choice:
    """What of a project is wanted.

    Attributes:
        only: Outcomes; all but "foreign" if empty.
        source: Regions that people saved, that a machine predicted for tasks that nobody has annotated, or both.
        min_agreement: Targets that a smaller share of a task's annotators has are left out.
        shares: Of the splits, chosen by the hash of the image.
        split_field: Field of a task's data that names its split instead.
        group_field: Field of a task's data whose images stay in one split.
    """

    project: int
    only: tuple[str, ...] = ()
    source: SourceName = "annotations"
    min_agreement: float = 0.0
    shares: Shares | None = None
    split_field: str | None = None
    group_field: str | None = None


@dataclass
class Findings:
    """What is told beside the data set.

    Attributes:
        unnamed: Regions without an expression.
        left_out: Tasks and regions that are not in it, and why.
        by_address: Images that are only known by their address.
    """

    unnamed: list[Json] = field(default_factory=list)
    left_out: list[Json] = field(default_factory=list)
    by_address: int = 0


@dataclass(frozen=True)
class _Place:
    """Where a task's image is, and where it goes."""

    address: str
    settled: Settled
    split: str
    group: str
    annotators: int


def read_scenes(db: sa.Connection, choice: Choice, images: Images, findings: Findings) -> Iterator[Scene]:
    """The scenes of a project, in the order of its tasks.

    Raises:
        BadInput: If one image is named for two splits.
        ImageUnreachable: Never: what cannot be had is left out, and told.
    """
    places = _place_all(db, choice, images, findings)
    if choice.source != "predictions":
        corrections = read_corrections(db, choice.project, with_masks=True)
        yield from _annotated(corrections, choice, places, _read_absent(db, choice.project), findings)
    if choice.source != "annotations":
        for task in places:
            if choice.source == "predictions" or not places[task].annotators:
                yield from _predicted(db, choice, task, places[task], findings)


def read_negatives(db: sa.Connection, project: int) -> Iterator[Json]:
    """Masks that an expression does not mean, as annotators showed: offered and refused, or put aside for another candidate."""
    for one in read_corrections(db, project, outcomes=("rejected", "replaced"), with_masks=True):
        told = one.outcome
        if told.expression and told.offered_mask:
            yield {
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
    choice: Choice,
    places: Mapping[str, _Place],
    absent: dict[str, list[str]],
    findings: Findings,
) -> Iterator[Scene]:
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


def _is_wanted(one: Correction, choice: Choice, findings: Findings) -> bool:
    told = one.outcome
    if told.outcome == "foreign":
        why = {"task": one.task, "annotation": one.annotation, "region": told.region}
        findings.left_out.append({**why, "why": "its id was handed out for another task"})
        return False
    return told.mask is not None and (not choice.only or told.outcome in choice.only)


def _predicted(db: sa.Connection, choice: Choice, task: str, place: _Place, findings: Findings) -> Iterator[Scene]:
    offers = TaskOffers(db, choice.project, task).newest_bulk()
    targets = tuple(
        Target((_machine_source(task, offer),), (offer.expression,) * bool(offer.expression), 1.0) for offer in offers
    )
    yield from _make_scene(task, place, targets, (), findings)


def _make_scene(
    task: str, place: _Place, targets: Sequence[Target], absent: Sequence[str], findings: Findings
) -> Iterator[Scene]:
    size_hw = place.settled.size_hw or next((_size(target) for target in targets), None)
    if size_hw is None or not (targets or absent):
        return
    fitting = tuple(target for target in targets if _size(target) == size_hw)
    for target in targets:
        where: Json = {"task": task, "annotation": target.sources[0].annotation, "region": target.sources[0].region}
        if _size(target) != size_hw:
            findings.left_out.append({**where, "why": f"its mask is {_size(target)}, the image {size_hw}"})
        elif not target.sentences:
            findings.unnamed.append(where)
    picture = Picture(place.settled.key, place.settled.file_name, size_hw, place.address, place.split, place.group)
    yield Scene(picture, task, fitting, tuple(absent))


def _place_all(db: sa.Connection, choice: Choice, images: Images, findings: Findings) -> dict[str, _Place]:
    """Every task's image: settled before anything is written, since groups decide splits together."""
    hashes = _known_hashes(db, choice.project)
    found: dict[str, tuple[str, Settled, Mapping[str, Any], int]] = {}
    for task, address, data, annotators in _tasks(db, choice):
        if not address:
            findings.left_out.append({"task": task, "why": "its label config does not tell where its image is"})
            continue
        try:
            settled = images.settle(address, task, hashes.get(task))
        except ImageUnreachable as error:
            findings.left_out.append({"task": task, "why": str(error)})
            continue
        findings.by_address += settled.key.startswith("address:")
        kept = {name: _read_value(data, name) for name in (choice.split_field, choice.group_field) if name}
        found[task] = address, settled, kept, annotators
    group_of = {task: data.get(choice.group_field or "", "") for task, (_, _, data, _) in found.items()}
    groups = Groups((settled.key, group_of[task]) for task, (_, settled, _, _) in found.items())
    splits: dict[str, str] = {}
    places = {}
    for task, (address, settled, data, annotators) in found.items():
        split = _split(choice, groups.key_of(settled.key), data)
        if splits.setdefault(settled.key, split) != split:
            raise BadInput(
                f"The image of task {task} is in the splits {splits[settled.key]!r} and {split!r}. "
                f"Correct {choice.split_field!r} in the tasks' data."
            )
        places[task] = _Place(address, settled, split, group_of[task], annotators)
    return places


def _read_value(data: Mapping[str, Any], key: str) -> str:
    """Text or number of a field of a task's data, as text; empty if there is none."""
    value = data.get(key)
    return read_field(data, key) or (str(value) if isinstance(value, int | float) else "")


def _split(choice: Choice, key: str, data: Mapping[str, Any]) -> str:
    if choice.split_field:
        return str(data[choice.split_field]) or "train"
    return choice.shares.choose(key) if choice.shares else ""


def _tasks(db: sa.Connection, choice: Choice) -> Iterator[tuple[str, str | None, Mapping[str, Any], int]]:
    """Task, address of its image, data and number of annotators of every task that may give something, in order."""
    seen: set[str] = set()
    if choice.source != "predictions":
        columns = (annotation_version.c.task, annotation_version.c.image, annotation_version.c.task_data)
        rows = db.execution_options(yield_per=200).execute(
            sa.select(*columns, annotation_version.c.annotator)
            .where((annotation_version.c.project == choice.project) & is_newest())
            .order_by(*by_task(annotation_version.c.task), annotation_version.c.annotation)
        )
        for task, some in groupby(rows, key=lambda row: row.task):
            versions = list(some)
            seen.add(task)
            yield task, versions[-1].image, versions[-1].task_data, len({version.annotator for version in versions})
    if choice.source != "annotations":
        offered = _offered_tasks(db, choice.project)
        for task in sorted(offered.keys() - seen, key=lambda task: (len(task), task)):
            yield task, *offered[task], 0


def _offered_tasks(db: sa.Connection, project: int) -> dict[str, tuple[str | None, Mapping[str, Any]]]:
    """Tasks that a machine has predicted, with their images and data as far as they are known."""
    found: dict[str, tuple[str | None, Mapping[str, Any]]] = {}
    items = sa.select(item.c.task, item.c.image).join(run, run.c.id == item.c.run)
    for row in db.execute(items.where((run.c.project == project) & (item.c.state == "done"))):
        found[str(row.task)] = row.image, {}
    predictions = sa.select(offered_prediction.c.task, offered_prediction.c.image, offered_prediction.c.task_data)
    for row in db.execute(predictions.where(offered_prediction.c.project == project)):
        found[row.task] = row.image, row.task_data
    opened = sa.select(request.c.task, request.c.body).where(
        (request.c.project == project) & (request.c.kind == "open") & (request.c.state == "done")
    )
    for row in db.execute(opened):
        if row.task not in found:
            found[row.task] = _image_of(row.body), row.body["data"]
    return found


def _image_of(body: Mapping[str, Any]) -> str | None:
    """Address of the image of a recorded request."""
    return read_layout(body.get("label_config")).image_of(body.get("data") or {})


def _known_hashes(db: sa.Connection, project: int) -> dict[str, str]:
    """sha256 of tasks' images, as far as they were seen."""
    bulk = sa.select(item.c.task, item.c.image_sha256).join(run, run.c.id == item.c.run)
    rows = db.execute(bulk.where((run.c.project == project) & item.c.image_sha256.is_not(None)))
    found = {str(row.task): str(row.image_sha256) for row in rows}
    asked = sa.select(answer.c.task, answer.c.image_sha256).where(answer.c.project == project).order_by(answer.c.id)
    return found | {row.task: row.image_sha256 for row in db.execute(asked)}


def _read_absent(db: sa.Connection, project: int) -> dict[str, list[str]]:
    """By task, the expressions of which somebody said that they mean nothing there, each once."""
    found: dict[str, dict[str, None]] = {}
    rows = db.execute(
        sa.select(annotation_version.c.task, annotation_version.c.texts)
        .where((annotation_version.c.project == project) & is_newest())
        .order_by(annotation_version.c.id)
    )
    for row in rows:
        for _, entries in row.texts:
            for entry in entries:
                if entry.casefold().startswith(NONE_PREFIX) and (text := entry[len(NONE_PREFIX) :].strip()):
                    found.setdefault(row.task, {})[text] = None
    return {task: list(texts) for task, texts in found.items()}


def _source(one: Correction) -> Source:
    told = one.outcome
    assert told.mask is not None
    return Source(
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


def _machine_source(task: str, offer: Offer) -> Source:
    expression = offer.expression or None
    return Source(
        task, None, offer.region, None, offer.at, False, "", offer.model_version, offer.label, expression, offer.mask
    )


def _size(target: Target) -> tuple[int, int]:
    height, width = target.mask["size"]
    return height, width
