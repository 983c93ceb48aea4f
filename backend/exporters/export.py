"""Writes a data set, whole or not at all; equal corrections give equal bytes.

Besides the files of its format, a data set has:
    README.md: its card.
    provenance.jsonl: who drew each target.
    unnamed.jsonl: regions without an expression, if there are any.
    left-out.jsonl: what is not in the data set, and why, if anything is not.
    hard-negatives.jsonl: if requested.
    sign-off.json: of a data set of approved regions.
    manifest.json: every file with its sha256; a folder without it is never replaced.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from backend.base.redaction import reason_of
from backend.corrections.store import CorrectionStore
from backend.exporters import card, sign_off
from backend.exporters.annotated_images import read_annotated_images, read_hard_negatives
from backend.exporters.calibration import read_uncalibrated
from backend.exporters.categories import Categories, read_labels
from backend.exporters.folder import new_folder
from backend.exporters.formats import choose_format
from backend.exporters.image_files import Fetch, ImageFiles
from backend.exporters.planning import ExportNotes, plan_tasks
from backend.exporters.project_tasks import check_project_known
from backend.exporters.record_position import read_position
from backend.exporters.reporting import Report, keep_quiet
from backend.exporters.request import ExportRequest
from backend.exporters.sign_off import is_signed, make_sign_off
from backend.exporters.targets import AnnotatedImage, DatasetWriter
from ris_core.errors import BadInput
from ris_core.output.plain_text import to_json


def export(
    correction_store: CorrectionStore,
    request: ExportRequest,
    *,
    fetch: Fetch | None,
    pool: Path,
    max_pixels: int,
    report: Report = keep_quiet,
) -> card.CardCounts:
    """Write a data set.

    Args:
        fetch: Gets images; None without Label Studio.
        pool: Folder of the images that are linked.
        max_pixels: Largest image that is opened; tasks with larger ones are left out.
        report: Told what is done in each phase.

    Raises:
        UnknownName: If there is no such format.
        BadInput: If nothing is known of the project; if the folder exists and is not to be replaced, or is not an unchanged
            data set; if it would have no target; or if it cannot be written.
    """
    format = choose_format(request)
    try:
        about: dict[str, Any] = {"program": request.version}
        with new_folder(request.folder, request.is_replaced, about, report) as folder:
            images = ImageFiles(request.images, folder / format.images, fetch, pool, max_pixels)
            notes = ExportNotes()
            with correction_store.reading() as db:
                check_project_known(db, request.filter.project)
                about["made_from"] = read_position(db, request.filter)
                placements = plan_tasks(db, request.filter, images, notes, report)
                annotated_images = read_annotated_images(db, request.filter, placements, notes)
                writer = format.make_writer(folder, Categories(read_labels(db, request.filter.project)))
                counts = _write(
                    folder, writer, annotated_images, request, partial(report, "Writing", total=len(placements))
                )
                _check_not_empty(counts, request, notes)
                counts.uncalibrated = read_uncalibrated(db, request.filter.project, counts.versions)
                if request.hard_negatives:
                    negatives = counts.count_negatives(read_hard_negatives(db, request.filter.project, placements))
                    _write_lines(folder / "hard-negatives.jsonl", negatives)
                signed = make_sign_off(db, request.filter) if is_signed(request.filter) else None
            if signed:
                (folder / sign_off.FILE).write_text(to_json(signed) + "\n", encoding="utf-8")
            images.keep_only(counts.files)
            _write_lines(folder / "unnamed.jsonl", notes.unnamed)
            _write_lines(folder / "left-out.jsonl", notes.left_out)
            counts.unnamed, counts.left_out = len(notes.unnamed), len(notes.left_out)
            counts.by_address = notes.by_address
            (folder / "README.md").write_text(card.render(request, counts, signed), encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"The data set cannot be written to {request.folder} ({reason_of(error)}). Name another folder."
        ) from error
    return counts


def _write(
    folder: Path,
    writer: DatasetWriter,
    annotated_images: Iterable[AnnotatedImage],
    request: ExportRequest,
    report: Callable[[int], None],
) -> card.CardCounts:
    """Write the files of the format, and the provenance of each target."""
    counts = card.CardCounts()
    with (folder / "provenance.jsonl").open("w", encoding="utf-8") as provenance:
        for annotated in annotated_images:
            absent = writer.written.absent
            names = writer.add(annotated)
            held = [pair for pair in zip(names, annotated.targets, strict=True) if pair[0] != []]
            for name, target in held:
                provenance.write(to_json({"target": name, **target.provenance()}) + "\n")
            annotated = replace(annotated, targets=tuple(target for _, target in held))
            counts.add(annotated, is_written=bool(held) or annotated.is_empty or writer.written.absent > absent)
            report(counts.annotated_images)
    writer.close({"title": request.title, "licence": request.licence, "version": request.version})
    counts.close(writer.written)
    return counts


def _check_not_empty(counts: card.CardCounts, request: ExportRequest, notes: ExportNotes) -> None:
    if counts.targets or counts.absent or request.is_empty_allowed:
        return
    reasons = [str(line["why"]) for line in notes.left_out]
    left_out = f" {len(reasons):,} tasks or regions were left out, the first because: {reasons[0]}." if reasons else ""
    raise BadInput(
        f"Nothing of project {request.filter.project} is in the data set, so it is not written.{left_out}",
        "Check the filters; --source predictions exports what nobody annotated; --allow-empty writes it all the same.",
    )


def _write_lines(file: Path, lines: Iterable[Any]) -> None:
    """Write a file of JSON lines; no file if there are no lines."""
    is_empty = True
    with file.open("w", encoding="utf-8") as stream:
        for line in lines:
            stream.write(to_json(line) + "\n")
            is_empty = False
    if is_empty:
        file.unlink()
