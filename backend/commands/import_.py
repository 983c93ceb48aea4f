"""`ris import`: tasks from data sets."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backend.base.terminal import Progress
from backend.commands.options import NUMBER
from backend.commands.studio import open_import_client
from backend.settings.environment import read_settings
from ris_core.errors import BadInput
from ris_core.output.plain_text import one_line

if TYPE_CHECKING:
    from backend.importers.importing import ImportCounts
    from backend.importers.source import DataSource
    from backend.importers.tasks import ImportTarget
    from backend.label_studio.task_import import ImportClient

JOURNALS = "imports"
"""Folder of the journals, in the state folder."""

Format = Annotated[str, typer.Argument(help="refcoco, refcoco+, refcocog, grefcoco, coco or masks.")]
Root = Annotated[Path, typer.Option(help="Folder of the data set.")]
ToProject = Annotated[int | None, typer.Option(help="Number of the Label Studio project, as in its address.", **NUMBER)]
NewProject = Annotated[
    str | None, typer.Option(metavar="TITLE", help="Make a project with a label for each category, or continue in it.")
]
Kind = Literal["annotations", "predictions"]
As = Annotated[Kind, typer.Option("--as", help="Import masks as annotations or as predictions.")]
Name = Annotated[
    str, typer.Option(help="Name of the data set, which tells it apart in its project; the folder's if not given.")
]
Images = Annotated[Path | None, typer.Option(help="Folder of the images, if it is not where the format has it.")]
ImageUrl = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Upload no images: their addresses begin with this, as in https://host/train2014."
    ),
]
Wording = Annotated[
    Literal["raw", "sent"],
    typer.Option(help="Sentences of the RefCOCO family: raw, as typed, or sent, as cleaned."),
]


def import_data_set(
    format: Format,
    root: Root,
    project: ToProject = None,
    new_project: NewProject = None,
    kind: As = "annotations",
    name: Name = "",
    images: Images = None,
    image_url: ImageUrl = None,
    wording: Wording = "raw",
) -> None:
    """Import a data set as tasks. Run it again after an interruption: each image becomes one task, never two."""
    from backend.importers.importing import ImageSettings
    from backend.importers.importing import import_data_set as write
    from backend.importers.journal import ImportJournal
    from backend.importers.reading import read_data_set

    if (project is None) == (new_project is None):
        raise BadInput("Give one of --project N and --new-project TITLE.")
    settings = read_settings()
    studio = open_import_client(settings)
    with Progress(f"Reading {root}"):
        source = read_data_set(format, root, images, wording)
    target = _target(studio, source, project, new_project, kind, name or root.resolve().name)
    settings_of_images = ImageSettings(image_url, settings.max_image_pixels)
    journal = ImportJournal(settings.state_dir / JOURNALS, studio.url, target.project)
    with Progress(f"Importing into project {target.project}", "images") as progress, journal:
        counts = write(studio, source, target, settings_of_images, journal, progress.count)
    _print(counts, target)
    if counts.problems:
        raise typer.Exit(1)


def _target(
    studio: "ImportClient", source: "DataSource", project: int | None, title: str | None, kind: Kind, name: str
) -> "ImportTarget":
    from backend.importers.new_project import ensure_project
    from backend.importers.tasks import ImportTarget, choose_labels
    from backend.label_studio.label_config import read_config

    if project is None:
        assert title is not None
        project, is_new = ensure_project(studio, title, source, name)
        print(f"Project {project} is {'new' if is_new else 'there already'}: {one_line(title)}.")
    config = read_config(studio.read_label_config(project))
    labels = choose_labels(source, config.controls[0], f"Project {project}")
    return ImportTarget(project, config, kind, name, labels)


def _print(counts: "ImportCounts", target: "ImportTarget") -> None:
    for problem in counts.problems:
        print(one_line(problem), file=sys.stderr)
    if target.control.kind != "brush":
        print(f"Masks became the {target.control.kind}s of the label config, which are not exact.", file=sys.stderr)
    for category, label in target.labels.items():
        if category != label:
            print(one_line(f"The category {category!r} has the label {label!r}."), file=sys.stderr)
    print(
        f"{counts.made:,} tasks with {counts.regions:,} masks were made in project {target.project}; {counts.present:,} images "
        f"had one already. {len(counts.problems):,} problems."
    )
