"""`ris export`: data sets from what annotators saved."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backend.base.terminal import Progress
from backend.commands.corrections_read import open_reconciled, split_names
from backend.commands.image_fetch import make_fetch
from backend.commands.options import Offline, Outcomes, Project
from backend.exporters.files import exit_on_signals
from backend.exporters.manifest import MANIFEST, digest_bytes
from backend.settings.environment import Settings, read_settings
from ris_core.errors import BadInput

if TYPE_CHECKING:
    from backend.exporters.card import CardCounts
    from backend.exporters.image_files import Mode
    from backend.exporters.request import ExportRequest

POOL = "images"
"""Folder of linked images, in the state folder."""

Format = Annotated[str, typer.Option(help="refcoco, grefcoco, coco, coco-polygons, yolo-seg, hf, masks or jsonl.")]
Out = Annotated[Path, typer.Option(help="Folder of the new data set; it must not exist.")]
Source = Annotated[
    Literal["annotations", "predictions", "both"], typer.Option(help="Export annotations, predictions, or both.")
]
Review = Annotated[
    str, typer.Option(metavar="STATES", help="Only regions in these states of quality review, as in approved.")
]
MinAgreement = Annotated[
    float,
    typer.Option(min=0.0, max=1.0, help="Least share of a task's annotators who must have marked an object."),
]
Split = Annotated[str, typer.Option(help="Shares of train, val and test, as in 0.8/0.1/0.1; chosen by image hash.")]
SplitField = Annotated[str | None, typer.Option(help="Field of the task data that names the split.")]
GroupField = Annotated[
    str | None,
    typer.Option(help="Field of the task data that names a group, such as a video; a group stays in one split."),
]
HardNegatives = Annotated[bool, typer.Option("--hard-negatives", help="Also write the masks that annotators rejected.")]
CopyImages = Annotated[bool, typer.Option("--copy-images", help="Copy the images into the data set (the default).")]
LinkImages = Annotated[
    bool, typer.Option("--link-images", help="Link to one copy of each image that all data sets share.")
]
NoImages = Annotated[bool, typer.Option("--no-images", help="Write no image files.")]
Title = Annotated[str, typer.Option(help="Name on the data set's card; the folder's name if not given.")]
Licence = Annotated[str, typer.Option(help="Licence on the data set's card.")]
Category = Annotated[
    Literal["label", "sentence"], typer.Option(help="Categories of coco and coco-polygons: label or sentence.")
]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="Also write a data set without targets.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Replace an earlier export in this folder, if nobody changed its files.")
]


def export(
    project: Project,
    format: Format,
    out: Out,
    only: Outcomes = "",
    source: Source = "annotations",
    review: Review = "",
    min_agreement: MinAgreement = 0.0,
    split: Split = "",
    split_field: SplitField = None,
    group_field: GroupField = None,
    hard_negatives: HardNegatives = False,
    copy_images: CopyImages = False,
    link_images: LinkImages = False,
    no_images: NoImages = False,
    title: Title = "",
    licence: Licence = "not stated",
    category: Category = "label",
    allow_empty: AllowEmpty = False,
    replace: Replace = False,
    offline: Offline = False,
) -> None:
    """Export a project as a data set. If anything fails, no partial data set is left."""
    from backend.exporters.request import ExportFilter, ExportRequest
    from backend.exporters.splits import SplitShares
    from backend.review.decisions import read_states

    if split and split_field:
        raise BadInput("--split and --split-field cannot be combined; use one of them.")
    settings = read_settings()
    choice = ExportFilter(
        project=project,
        only=_check_outcomes(split_names(only)),
        source=source,
        review=read_states("--review", review),
        min_agreement=min_agreement,
        shares=SplitShares.read(split) if split else None,
        split_field=split_field,
        group_field=group_field,
    )
    order = ExportRequest(
        format=format,
        folder=out,
        filter=choice,
        title=title or out.name,
        licence=licence,
        images=_mode(copy_images, link_images, no_images),
        hard_negatives=hard_negatives,
        category=category,
        is_empty_allowed=allow_empty,
        is_replaced=replace,
        version=version("label-studio-ris"),
    )
    _write(settings, order, offline)


def _write(settings: Settings, order: "ExportRequest", offline: bool) -> None:
    from backend.exporters.export import export as write

    project, source = order.filter.project, order.filter.source
    correction_store = open_reconciled(settings, project, offline, with_predictions=source != "annotations")
    with exit_on_signals(), Progress("Exporting") as progress:
        counts = write(
            correction_store,
            order,
            fetch=make_fetch(settings, project),
            pool=settings.state_dir / POOL,
            max_pixels=settings.max_image_pixels,
            report=lambda phase, done, total=None: progress.count(done, total, phase),
        )
    _print_counts(counts, order.folder)


def _print_counts(counts: "CardCounts", out: Path) -> None:
    print(
        f"{counts.targets:,} targets with {counts.sentences:,} sentences on {len(counts.images):,} images in {out}.\n"
        f"sha256 of {MANIFEST}: {digest_bytes(out / MANIFEST)}. `ris verify` compares all files with it."
    )
    if counts.unnamed or counts.left_out:
        print(
            f"{counts.unnamed:,} regions have no expression (unnamed.jsonl); {counts.left_out:,} were left out, each with the "
            "reason (left-out.jsonl).",
            file=sys.stderr,
        )


def _check_outcomes(names: tuple[str, ...]) -> tuple[str, ...]:
    from backend.corrections.outcome_kinds import NAMES

    if unknown := [name for name in names if name not in NAMES]:
        raise BadInput(f"--only has {unknown[0]!r}. Available: {', '.join(NAMES)}.")
    return names


def _mode(copy: bool, link: bool, none: bool) -> "Mode":
    if copy + link + none > 1:
        raise BadInput("Use only one of --copy-images, --link-images and --no-images.")
    return "link" if link else "none" if none else "copy"
