"""`ris report`: what annotators changed, as one page."""

from pathlib import Path
from typing import Annotated

import typer

from backend.commands.corrections import Offline, Project, by_kind, open_fresh
from backend.commands.export import make_fetch
from backend.exporters.files import exit_on_signals, replacing
from backend.settings.environment import read_settings
from ris_core.errors import BadInput


def report(
    project: Project,
    out: Annotated[Path, typer.Option(help="The page to write: an .html file.")],
    title: Annotated[str, typer.Option(help="Its title.")] = "",
    no_kinds: Annotated[
        bool, typer.Option("--no-kinds", help="Without kinds of expressions, which need the profile's parser.")
    ] = False,
    offline: Offline = False,
) -> None:
    """How good the proposals were, as one page that needs nothing else."""
    from backend.report.data import read_report_data, read_studio_url
    from backend.report.page import render

    settings = read_settings()
    correction_store = open_fresh(settings, project, offline)
    data = read_report_data(correction_store, project, None if no_kinds else by_kind(settings))
    address = read_studio_url(correction_store, project) or settings.label_studio_url or ""
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
        raise BadInput(f"The report cannot be written to {out} ({error.strerror}). Name another place.") from error
    print(f"{sum(data.all.counts.values()):,} regions in {out}.")
