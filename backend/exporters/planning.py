"""What of a project is wanted, and where its tasks' images are and go: settled before anything is written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

import sqlalchemy as sa

from backend.base.errors import ImageUnreachable
from backend.corrections.annotations import read_layout
from backend.corrections.queries import by_task, is_newest
from backend.db.correction_tables import annotation_version, offered_prediction
from backend.db.run_tables import item, run
from backend.db.tables import answer, connection, request
from backend.exporters.image_files import ImageFiles, PlacedImage
from backend.exporters.splits import SplitGroups, SplitShares
from backend.label_studio.protocol import Json, read_field
from ris_core.errors import BadImage, BadInput
from ris_core.output.file_names import check_distinct, check_name
from ris_core.output.plain_text import whole

SourceName = Literal["annotations", "predictions", "both"]


@dataclass(frozen=True)
class ExportFilter:
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
    shares: SplitShares | None = None
    split_field: str | None = None
    group_field: str | None = None


@dataclass
class ExportNotes:
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
class TaskPlacement:
    """Where a task's image is, and where it goes."""

    address: str
    settled: PlacedImage
    split: str
    group: str
    annotators: int


def place_all(
    db: sa.Connection, choice: ExportFilter, images: ImageFiles, findings: ExportNotes
) -> dict[str, TaskPlacement]:
    """Every task's image and split; groups decide splits together.

    Raises:
        BadInput: If one image is named for two splits, or a task's split cannot be the name of a file.
    """
    hashes = _known_hashes(db, choice.project)
    found: dict[str, tuple[str, PlacedImage, Mapping[str, Any], int]] = {}
    for task, address, data, annotators in _tasks(db, choice):
        if not address:
            findings.left_out.append({"task": task, "why": "its label config does not tell where its image is"})
            continue
        try:
            settled = images.settle(address, task, hashes.get(task))
        except (ImageUnreachable, BadImage) as error:
            findings.left_out.append({"task": task, "why": str(error)})
            continue
        findings.by_address += settled.key.startswith("address:")
        kept = {name: _read_value(data, name) for name in (choice.split_field, choice.group_field) if name}
        found[task] = address, settled, kept, annotators
    group_of = {task: data.get(choice.group_field or "", "") for task, (_, _, data, _) in found.items()}
    groups = SplitGroups((settled.key, group_of[task]) for task, (_, settled, _, _) in found.items())
    splits: dict[str, str] = {}
    places = {}
    for task, (address, settled, data, annotators) in found.items():
        split = _split(choice, task, groups.key_of(settled.key), data)
        if splits.setdefault(settled.key, split) != split:
            raise BadInput(
                f"The image of task {task} is in the splits {splits[settled.key]!r} and {split!r}. "
                f"Correct {choice.split_field!r} in the tasks' data."
            )
        places[task] = TaskPlacement(address, settled, split, group_of[task], annotators)
    check_distinct(splits.values(), "The splits")
    return places


def check_known(db: sa.Connection, project: int) -> None:
    """Look that anything was ever heard of a project, or it was connected.

    Raises:
        BadInput: If not: its number is wrong, or nothing of it has come here.
    """
    for table in (annotation_version, offered_prediction, run, request, connection):
        if db.execute(sa.select(table.c.project).where(table.c.project == project).limit(1)).first():
            return
    raise BadInput(
        f"Nothing is known of project {project}.",
        "Its number is in its address; `ris connect` connects one that is new.",
    )


def _read_value(data: Mapping[str, Any], key: str) -> str:
    """Text or number of a field of a task's data, as text; empty if there is none."""
    value = data.get(key)
    return whole(read_field(data, key) or (str(value) if isinstance(value, int | float) else ""))


def _split(choice: ExportFilter, task: str, key: str, data: Mapping[str, Any]) -> str:
    if choice.split_field:  # text that anybody wrote, and part of files' names
        told = str(data[choice.split_field]) or "train"
        return check_name(told, f"The split of task {task}, its field {choice.split_field!r},")
    return choice.shares.choose(key) if choice.shares else ""


def _tasks(db: sa.Connection, choice: ExportFilter) -> Iterator[tuple[str, str | None, Mapping[str, Any], int]]:
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
    for task, image in db.execute(items.where((run.c.project == project) & (item.c.state == "done"))):
        found[str(task)] = image, {}
    predictions = sa.select(offered_prediction.c.task, offered_prediction.c.image, offered_prediction.c.task_data)
    for task, image, data in db.execute(predictions.where(offered_prediction.c.project == project)):
        found[task] = image, data
    opened = sa.select(request.c.task, request.c.body).where(
        (request.c.project == project) & (request.c.kind == "open") & (request.c.state == "done")
    )
    for task, body in db.execute(opened):
        if task not in found:
            found[task] = _image_of(body), body["data"]
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
