"""`ris export`: data sets from what annotators saved."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.commands.corrections import Offline, Project, open_fresh, split_names
from backend.exporters.files import exit_on_signals
from backend.settings.environment import Settings, read_settings
from ris_core.errors import BadInput

if TYPE_CHECKING:
    from backend.exporters.image_files import Fetch, Mode

PRINT_EVERY_S = 1.0
POOL = "images"
"""Folder of linked images, in the state folder."""


def export(
    project: Project,
    format: Annotated[str, typer.Option(help="refcoco, grefcoco, coco, coco-polygons, masks or jsonl.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set; must not exist.")],
    only: Annotated[str, typer.Option(help="Outcomes, separated by commas: accepted,edited,…; all otherwise.")] = "",
    source: Annotated[str, typer.Option(help="annotations, predictions, or both.")] = "annotations",
    min_agreement: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of a task's annotators who must have a thing.")
    ] = 0.0,
    split: Annotated[str, typer.Option(help="Shares of train, val and test, by image hash: 0.8/0.1/0.1.")] = "",
    split_field: Annotated[str | None, typer.Option(help="Field of the tasks that names their split.")] = None,
    group_field: Annotated[
        str | None, typer.Option(help="Field of the tasks whose images stay together, such as a video.")
    ] = None,
    hard_negatives: Annotated[
        bool, typer.Option("--hard-negatives", help="Also masks that were offered and refused.")
    ] = False,
    copy_images: Annotated[bool, typer.Option("--copy-images", help="Copy the images; so it is unless said.")] = False,
    link_images: Annotated[
        bool, typer.Option("--link-images", help="Link the images: kept once for all data sets.")
    ] = False,
    no_images: Annotated[bool, typer.Option("--no-images", help="Leave the images where they are.")] = False,
    title: Annotated[str, typer.Option(help="Name on its card.")] = "",
    licence: Annotated[str, typer.Option(help="Licence on its card.")] = "not stated",
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Put it in the place of a data set that an export wrote and nobody changed."),
    ] = False,
    offline: Offline = False,
) -> None:
    """Write a data set; whole, or not at all."""
    from backend.exporters.export import export as write
    from backend.exporters.request import ExportFilter, ExportRequest
    from backend.exporters.splits import SplitShares

    if source not in ("annotations", "predictions", "both"):
        raise BadInput(f"--source is {source!r}; give annotations, predictions or both.")
    if split and split_field:
        raise BadInput("--split and --split-field were both given. Give one of them.")
    settings = read_settings()
    choice = ExportFilter(
        project=project,
        only=_known(split_names(only)),
        source=source,  # type: ignore[arg-type]  # checked above
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
        is_replaced=replace,
        version=_version(),
    )
    correction_store = open_fresh(settings, project, offline, with_predictions=source != "annotations")
    with exit_on_signals():
        counts = write(
            correction_store,
            order,
            fetch=make_fetch(settings, project),
            pool=settings.state_dir / POOL,
            max_pixels=settings.max_image_pixels,
            report=ExportProgress(),
        )
    print(f"{counts.targets:,} targets with {counts.sentences:,} sentences on {len(counts.images):,} images in {out}.")
    if counts.unnamed or counts.left_out:
        print(
            f"{counts.unnamed:,} have no expression (unnamed.jsonl); {counts.left_out:,} were left out (left-out.jsonl).",
            file=sys.stderr,
        )


class ExportProgress:
    """Counts scenes up on one line of a terminal."""

    def __init__(self) -> None:
        self._printed_at = time.monotonic()

    def __call__(self, scenes: int) -> None:
        """Take note of a scene that is written."""
        if sys.stderr.isatty() and time.monotonic() - self._printed_at >= PRINT_EVERY_S:
            self._printed_at = time.monotonic()
            print(f"\r{scenes:,} tasks", end="", file=sys.stderr, flush=True)


def make_fetch(settings: Settings, project: int) -> "Fetch | None":
    """What gets a project's images; None where no Label Studio is known."""
    from backend.db.request_store import open_request_store
    from backend.settings.project import read_project_settings
    from backend.worker.wiring import make_fetcher

    store = open_request_store(settings.sql_url)
    made = store.projects.get_connection(project)
    store.close()
    if not settings.label_studio_url and made is None:
        return None
    hosts = read_project_settings(made.extra_params).image_hosts if made else ()
    fetcher = make_fetcher(settings, hosts)
    hostname, token = (made.hostname or None, made.access_token or None) if made else (None, None)
    return lambda address, task: fetcher.fetch(address, hostname, token, task)


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    from backend.corrections.outcomes import NAMES

    if unknown := [name for name in names if name not in NAMES]:
        raise BadInput(f"--only has {unknown[0]!r}. Available: {', '.join(NAMES)}.")
    return names


def _mode(copy: bool, link: bool, none: bool) -> "Mode":
    if copy + link + none > 1:
        raise BadInput("Give one of --copy-images, --link-images and --no-images.")
    return "link" if link else "none" if none else "copy"


def _version() -> str:
    from importlib.metadata import version

    return version("label-studio-ris")
