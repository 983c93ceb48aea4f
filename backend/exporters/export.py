"""Writing a data set: whole under its name, or not at all; the same bytes for the same ledger.

Beside what the format has, every data set has: README.md, its card; provenance.jsonl, who made each target; unnamed.jsonl,
regions without an expression; left-out.jsonl, what is not in it and why; hard-negatives.jsonl, if asked for; manifest.json, what
an export wrote, without which nothing is replaced.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from backend.base.redaction import reason_of
from backend.corrections.store import CorrectionStore
from backend.exporters import card, coco, grefcoco, jsonl, masks, refcoco
from backend.exporters.folder import new_folder
from backend.exporters.image_files import Fetch, ImageFiles
from backend.exporters.planning import ExportNotes, check_known, place_all
from backend.exporters.request import ExportRequest
from backend.exporters.scenes import read_negatives, read_scenes
from backend.exporters.targets import AnnotatedImage, DatasetWriter
from ris_core.errors import BadInput, UnknownName
from ris_core.output.plain_text import to_json

FORMATS: dict[str, tuple[Callable[[Path], DatasetWriter], str]] = {
    "refcoco": (refcoco.RefCocoWriter, refcoco.IMAGES),
    "grefcoco": (grefcoco.GRefCocoWriter, grefcoco.IMAGES),
    "coco": (coco.CocoWriter, coco.IMAGES),
    "coco-polygons": (lambda folder: coco.CocoWriter(folder, polygons=True), coco.IMAGES),
    "masks": (masks.MaskWriter, masks.IMAGES),
    "jsonl": (jsonl.JsonLinesWriter, jsonl.IMAGES),
}
"""What writes a format, and where its images lie. The next format goes here, in a file of its own."""


def export(
    correction_store: CorrectionStore,
    order: ExportRequest,
    *,
    fetch: Fetch | None,
    pool: Path,
    max_pixels: int,
    report: Callable[[int], None] = lambda scenes: None,
) -> card.CardCounts:
    """Write a data set.

    Args:
        fetch: Gets images; None without Label Studio.
        pool: Folder of the images that are linked.
        report: Is told the number of scenes written so far.

    Raises:
        UnknownName: If there is no such format.
        BadInput: If the folder exists and is not to be replaced, or is no data set of ours, or cannot be written.
    """
    if order.format not in FORMATS:
        raise UnknownName(f"No format named {order.format!r}. Available: {', '.join(FORMATS)}.")
    make_writer, images_folder = FORMATS[order.format]
    try:
        with new_folder(order.folder, order.is_replaced) as folder:
            images = ImageFiles(order.images, folder / images_folder, fetch, pool, max_pixels)
            findings = ExportNotes()
            with correction_store.reading() as db:
                check_known(db, order.choice.project)
                places = place_all(db, order.choice, images, findings)
                scenes = read_scenes(db, order.choice, places, findings)
                counts = _write(folder, make_writer(folder), scenes, order, report)
                if order.hard_negatives:
                    negatives = counts.count_negatives(read_negatives(db, order.choice.project, places))
                    _write_lines(folder / "hard-negatives.jsonl", negatives)
            images.keep_only(counts.files)
            _write_lines(folder / "unnamed.jsonl", findings.unnamed)
            _write_lines(folder / "left-out.jsonl", findings.left_out)
            counts.unnamed, counts.left_out = len(findings.unnamed), len(findings.left_out)
            counts.by_address = findings.by_address
            (folder / "README.md").write_text(card.render(order, counts), encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"The data set cannot be written to {order.folder} ({reason_of(error)}). Name another place."
        ) from error
    return counts


def _write(
    folder: Path,
    writer: DatasetWriter,
    scenes: Iterable[AnnotatedImage],
    order: ExportRequest,
    report: Callable[[int], None],
) -> card.CardCounts:
    counts = card.CardCounts()
    with (folder / "provenance.jsonl").open("w", encoding="utf-8") as provenance:
        for scene in scenes:
            names = writer.add(scene)
            for name, target in zip(names, scene.targets, strict=True):
                provenance.write(to_json({"target": name, **target.provenance()}) + "\n")
            counts.add(scene)
            report(counts.scenes)
    writer.close({"title": order.title, "licence": order.licence, "version": order.version})
    return counts


def _write_lines(file: Path, lines: Iterable[Any]) -> None:
    """Write lines of JSON, if there are any."""
    is_empty = True
    with file.open("w", encoding="utf-8") as stream:
        for line in lines:
            stream.write(to_json(line) + "\n")
            is_empty = False
    if is_empty:
        file.unlink()
