"""The formats of data sets that are read."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from backend.importers.coco import read_coco
from backend.importers.masks import read_masks
from backend.importers.refer import read_refer
from backend.importers.source import DataSource
from ris_core.errors import BadInput, UnknownName
from ris_core.evaluation.refer import PARTITIONS

FORMATS: dict[str, Callable[..., DataSource]] = {
    **{name: partial(read_refer, name=name) for name in PARTITIONS},
    "coco": read_coco,
    "masks": read_masks,
}
"""The reader of each format. A new format is added here, in a module of its own."""


def read_data_set(format: str, root: Path, images: Path | None = None, wording: str = "raw") -> DataSource:
    """Read what a data set has, without its masks and images.

    Args:
        images: Folder of the images; where the format has them if None.
        wording: Which sentences of the RefCOCO family: "raw" or "sent".

    Raises:
        UnknownName: If there is no such format or wording.
        BadInput: If the data set is not in the format.
    """
    if format not in FORMATS:
        raise UnknownName(f"No format named {format!r}. Available: {', '.join(FORMATS)}.")
    if not root.is_dir():
        raise BadInput(f"{root} is no folder.", "Name the folder of the data set with --root.")
    more = {"wording": wording} if format in PARTITIONS else {}
    return FORMATS[format](root=root, images=images, **more)
