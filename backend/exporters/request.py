"""What is asked of an export."""

from dataclasses import dataclass
from pathlib import Path

from backend.exporters.image_files import Mode
from backend.exporters.planning import ExportFilter


@dataclass(frozen=True)
class ExportRequest:
    """A data set that is wanted.

    Attributes:
        format: A name of `backend.exporters.export.FORMATS`.
        folder: Where it goes; must not exist, unless it is replaced.
        title, licence: For its card.
        hard_negatives: Also write masks that an expression does not mean.
        version: Of this program.
    """

    format: str
    folder: Path
    choice: ExportFilter
    title: str
    licence: str = "not stated"
    images: Mode = "copy"
    hard_negatives: bool = False
    is_replaced: bool = False
    version: str = ""
