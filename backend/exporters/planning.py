"""The plan of an export: the file and the split of each task's image. Everything else is written after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.base.errors import ImageUnreachable
from backend.exporters.image_files import ImageFiles, PlacedImage
from backend.exporters.project_tasks import list_tasks, read_image_hashes
from backend.exporters.reporting import Report, keep_quiet
from backend.exporters.request import ExportFilter
from backend.exporters.splits import SplitGroups
from backend.label_studio.protocol import Json, read_field
from ris_core.errors import BadImage, BadInput
from ris_core.output.file_names import check_distinct, check_name
from ris_core.output.plain_text import whole


@dataclass
class ExportNotes:
    """What an export reports beside the data set.

    Attributes:
        unnamed: Regions without an expression.
        left_out: Tasks and regions that are not in the data set, each with the reason.
        by_address: Number of tasks whose image is known by its address only.
    """

    unnamed: list[Json] = field(default_factory=list)
    left_out: list[Json] = field(default_factory=list)
    by_address: int = 0


@dataclass(frozen=True)
class TaskPlacement:
    """A task's image, its split, and how many annotators the task has.

    Attributes:
        address: The image's address in Label Studio.
        image: The image in the data set.
        split, group: Names; empty if there is none.
    """

    address: str
    image: PlacedImage
    split: str
    group: str
    annotators: int


def plan_tasks(
    db: sa.Connection,
    export_filter: ExportFilter,
    images: ImageFiles,
    notes: ExportNotes,
    report: Report = keep_quiet,
) -> dict[str, TaskPlacement]:
    """Place every task's image and choose its split; returns the placements by task.

    Args:
        notes: Tasks whose image cannot be placed are added to it.
        report: Told of each task.

    Raises:
        BadInput: If one image would be in two splits, or a task's split cannot be part of a file name.
    """
    tasks = _place_images(db, export_filter, images, notes, report)
    # the split follows from the image, not from the task, and groups that share an image must agree: so groups are joined first
    groups = SplitGroups((task.image.key, task.group) for task in tasks)
    split_of_image: dict[str, str] = {}
    placements = {}
    for task in tasks:
        split = _choose_split(export_filter, task, groups.key_of(task.image.key))
        if split_of_image.setdefault(task.image.key, split) != split:
            raise BadInput(
                f"The image of task {task.task} is in the splits {split_of_image[task.image.key]!r} and {split!r}. "
                f"Correct {export_filter.split_field!r} in the tasks' data."
            )
        placements[task.task] = TaskPlacement(task.address, task.image, split, task.group, task.annotators)
    check_distinct(split_of_image.values(), "The splits")
    return placements


class _PlacedTask(NamedTuple):
    """A task whose image is placed. It holds two values of the task's data, not all of it: a project has many tasks."""

    task: str
    address: str
    image: PlacedImage
    split: str
    group: str
    annotators: int


def _place_images(
    db: sa.Connection, export_filter: ExportFilter, images: ImageFiles, notes: ExportNotes, report: Report
) -> list[_PlacedTask]:
    hashes = read_image_hashes(db, export_filter.project)
    placed = []
    total = sum(1 for _ in list_tasks(db, export_filter))
    for number, task in enumerate(list_tasks(db, export_filter)):
        report("Placing the images", number, total)
        if not task.address:
            notes.left_out.append({"task": task.task, "why": "its label config does not say where its image is"})
            continue
        try:
            image = images.place(task.address, task.task, hashes.get(task.task))
        except (ImageUnreachable, BadImage) as error:
            notes.left_out.append({"task": task.task, "why": str(error)})
            continue
        notes.by_address += image.key.startswith("address:")
        split, group = (_read_value(task.data, name) for name in (export_filter.split_field, export_filter.group_field))
        placed.append(_PlacedTask(task.task, task.address, image, split, group, task.annotators))
    return placed


def _choose_split(export_filter: ExportFilter, task: _PlacedTask, key: str) -> str:
    """The split of a task's image; empty without splits.

    Args:
        key: From which the split follows if no field names it: of the image, or of its group.
    """
    if export_filter.split_field:
        # anybody may have written the field, and the name becomes part of file names
        return check_name(
            task.split or "train", f"The split of task {task.task}, its field {export_filter.split_field!r},"
        )
    return export_filter.shares.choose(key) if export_filter.shares else ""


def _read_value(data: Mapping[str, Any], key: str | None) -> str:
    """Text or number of a field of a task's data, as text; empty if there is none."""
    if not key:
        return ""
    value = data.get(key)
    return whole(read_field(data, key) or (str(value) if isinstance(value, int | float) else ""))
