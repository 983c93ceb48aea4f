"""`ris report`: one page on what annotators did with the proposed masks."""

from pathlib import Path
from typing import Annotated

import typer

from backend.base.terminal import Progress
from backend.commands.corrections_read import by_kind, open_reconciled
from backend.commands.image_fetch import make_fetch
from backend.commands.options import Offline, Project
from backend.exporters.files import exit_on_signals, replacing
from backend.settings.environment import read_settings
from ris_core.errors import BadInput


def report(
    project: Project,
    out: Annotated[Path, typer.Option(help="The .html file to write.")],
    title: Annotated[str, typer.Option(help="Title of the page.")] = "",
    no_kinds: Annotated[
        bool, typer.Option("--no-kinds", help="Leave out the kinds of expressions, which need the profile's parser.")
    ] = False,
    offline: Offline = False,
) -> None:
    """Write a report on the quality of the proposed masks. It is a single HTML file."""
    from backend.report.data import read_report_data, read_studio_url
    from backend.report.page import render

    settings = read_settings()
    correction_store = open_reconciled(settings, project, offline)
    group = None if no_kinds else by_kind(settings)
    with Progress("Computing the report") as progress:
        data = read_report_data(correction_store, project, group)
        address = read_studio_url(correction_store, project) or settings.label_studio_url or ""
        progress.say("Drawing the images of the report")
        page = render(
            data,
            title or f"Corrections of project {project}",
            make_fetch(settings, project),
            address,
            settings.max_image_pixels,
        )
    try:
        with exit_on_signals(), replacing(out) as part:
            part.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"The report cannot be written to {out} ({error.strerror}). Choose another file.") from error
    regions = sum(data.all.counts.values())
    print(
        f"{regions:,} regions in {out}."
        if regions
        else f"Nothing is on record of project {project} yet, as {out} says."
    )
