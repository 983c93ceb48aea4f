"""The formats of data sets. A new one is added here, in a module of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from backend.exporters import coco, grefcoco, hf, jsonl, masks, refcoco, yolo_seg
from backend.exporters.categories import Categories
from backend.exporters.request import ExportRequest
from backend.exporters.targets import DatasetWriter
from ris_core.errors import BadInput, UnknownName


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        make_writer: Makes its writer.
        images: Folder where the images are put. Writers may move them on, and those of hard negatives alone stay.
    """

    make_writer: Callable[[Path, Categories], DatasetWriter]
    images: str


FORMATS = {
    "refcoco": Format(refcoco.RefCocoWriter, refcoco.IMAGES),
    "grefcoco": Format(grefcoco.GRefCocoWriter, grefcoco.IMAGES),
    "coco": Format(coco.CocoWriter, coco.IMAGES),
    "coco-polygons": Format(partial(coco.CocoWriter, polygons=True), coco.IMAGES),
    "yolo-seg": Format(yolo_seg.YoloSegWriter, yolo_seg.IMAGES),
    "hf": Format(hf.HfWriter, hf.IMAGES),
    "masks": Format(masks.MaskWriter, masks.IMAGES),
    "jsonl": Format(jsonl.JsonLinesWriter, jsonl.IMAGES),
}
"""Each by its name."""


def choose_format(request: ExportRequest) -> Format:
    """The format of a request.

    Raises:
        UnknownName: If there is no such format.
        BadInput: If it cannot have the categories that are asked for.
    """
    if request.format not in FORMATS:
        raise UnknownName(f"No format named {request.format!r}. Available: {', '.join(FORMATS)}.")
    if request.category == "label":
        return FORMATS[request.format]
    if not request.format.startswith("coco"):
        raise BadInput(f"--category sentence is for coco and coco-polygons, not for {request.format}. Leave it out.")
    make_writer = partial(coco.CocoWriter, polygons=request.format == "coco-polygons", by_sentence=True)
    return Format(make_writer, coco.IMAGES)
