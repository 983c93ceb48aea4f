"""The request for an export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backend.exporters.image_files import Mode
from backend.exporters.splits import SplitShares

SourceName = Literal["annotations", "predictions", "both"]
CategoryName = Literal["label", "sentence"]


@dataclass(frozen=True)
class ExportFilter:
    """Which regions of a project are exported.

    Attributes:
        only: Outcomes; all except "foreign" if empty.
        source: "annotations", "predictions", or "both": annotations, and predictions of tasks that nobody has annotated.
        review: States of quality review: only regions in one of them; all if empty.
        min_agreement: A target is left out if a smaller share of the task's annotators drew it.
        shares: Shares of the splits; an image's split follows from its hash. None: no splits.
        split_field: Field of a task's data that names its split; used instead of `shares`.
        group_field: Field of a task's data; images with the same value stay in one split.
    """

    project: int
    only: tuple[str, ...] = ()
    source: SourceName = "annotations"
    review: tuple[str, ...] = ()
    min_agreement: float = 0.0
    shares: SplitShares | None = None
    split_field: str | None = None
    group_field: str | None = None


@dataclass(frozen=True)
class ExportRequest:
    """A data set to be written.

    Attributes:
        format: A name of `backend.exporters.formats.FORMATS`.
        folder: Its folder; must not exist, unless `is_replaced`.
        filter: Which regions of which project.
        title, licence: Shown on its card.
        hard_negatives: Also write masks that an expression does not mean.
        category: What the categories are of `coco` and `coco-polygons`.
        is_empty_allowed: A data set without targets is written too.
        is_replaced: An unchanged data set in the folder is replaced.
        version: Version of this program.
    """

    format: str
    folder: Path
    filter: ExportFilter
    title: str
    licence: str = "not stated"
    images: Mode = "copy"
    hard_negatives: bool = False
    category: CategoryName = "label"
    is_empty_allowed: bool = False
    is_replaced: bool = False
    version: str = ""
