"""`ris connect`."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.base.errors import BadSettings
from backend.settings.environment import Settings, read_settings
from backend.settings.project import MAX_SMOOTH_PX
from ris_core.output.plain_text import lines, one_line

if TYPE_CHECKING:
    from backend.label_studio.check import Check
    from backend.label_studio.connection_plan import WantedConnection

COLOURS = {"ok": typer.colors.GREEN, "change": typer.colors.YELLOW, "problem": typer.colors.RED}
NOT_AS_IT_SHOULD_BE = BadSettings.exit_code
"""Exit code if something would change, or is in the way."""


def connect(
    project: Annotated[int, typer.Option(help="Number of the project, as in its address.")],
    url: Annotated[
        str | None,
        typer.Option(help="Where Label Studio reaches the backend, if not where it does already or at HOST and PORT."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what would change.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Edit the label config without asking.")] = False,
    label: Annotated[
        str | None, typer.Option(help="Label of the masks, for a label config that has no control for masks yet.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Profile that answers this project; empty for RIS_PROFILE.")
    ] = None,
    expression_field: Annotated[
        str | None, typer.Option(help="Field of the tasks that holds their expression; empty for the label config's.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Name of the TextArea that expressions are typed into, if it is named otherwise.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Candidates that score less are not handed out.")
    ] = None,
    image_host: Annotated[
        list[str] | None, typer.Option(help="Host that images may come from, besides IMAGE_HOSTS; may be repeated.")
    ] = None,
    smooth_px: Annotated[
        float | None, typer.Option(min=0, max=MAX_SMOOTH_PX, help="How much the rims of masks are smoothed, in pixels.")
    ] = None,
) -> None:
    """Connect a Label Studio project: the model, its webhook, its settings, and what its label config needs."""
    from backend.commands.studio import open_label_studio
    from backend.label_studio.connect import carry_out
    from backend.label_studio.connection_plan import make_plan
    from backend.label_studio.reachability import look_at_backend

    settings = read_settings()
    studio = open_label_studio(settings)
    given = {
        "profile": profile,
        "expression_field": expression_field,
        "prompt": prompt,
        "min_score": threshold,
        "image_hosts": image_host,
        "smooth_px": smooth_px,
    }
    wanted = _wanted(settings, url, {key: value for key, value in given.items() if value is not None}, label)
    plan = make_plan(studio, project, wanted)
    runs = look_at_backend(plan.wanted.url, wanted.credentials, settings.local_url, plan.is_connected)
    points = [runs, *plan.points]
    _print(points)
    if plan.edit:
        typer.echo(f"\n{lines(plan.edit.diff)}\n")
    if any(point.state == "problem" for point in points):
        typer.echo("Nothing was changed.")
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)
    if all(point.state == "ok" for point in points):
        typer.echo(f"Nothing to do: project {project} is connected.")
        return
    if check:
        typer.echo("Nothing was changed: this was a check.")
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)
    if plan.edit and not (yes or _may_edit()):
        plan = replace(plan, edit=None)
        typer.echo("The label config stays as it is.")
    made = carry_out(studio, plan)
    typer.echo(f"Project {project} is connected, interactive, to {made.model_version}.")


def _wanted(settings: Settings, url: str | None, given: dict[str, Any], label: str | None) -> "WantedConnection":
    from backend.label_studio.connection_plan import WantedConnection
    from ris_core.profiles import read_profile

    if given.get("profile"):
        read_profile(given["profile"])  # says which there are
    if "image_hosts" in given:
        given["image_hosts"] = [host for host in given["image_hosts"] if host]
    return WantedConnection(
        url=url or settings.local_url,
        moves=url is not None,
        credentials=settings.credentials,
        webhook_secret=settings.webhook_secret.get_secret_value() if settings.webhook_secret else None,
        settings={key: None if value in ("", []) else value for key, value in given.items()},
        label=label,
    )


def _print(points: Sequence["Check"]) -> None:
    """A line a part, with what to do about a problem below it; coloured on a terminal only."""
    width = max(len(point.name) for point in points)
    for point in points:
        state = typer.style(f"{point.state:<7}", fg=COLOURS[point.state])
        typer.echo(f"{state}  {point.name:<{width}}  {one_line(point.detail)}")
        if point.remedy:
            typer.echo(f"{'':<7}  {'':<{width}}  {one_line(point.remedy)}")


def _may_edit() -> bool:
    """Ask whether the label config may be edited as was shown.

    Raises:
        typer.Exit: If there is nobody to ask.
    """
    if not sys.stdin.isatty():
        typer.echo("Nothing was changed: there is no terminal to ask on. Add --yes to edit the label config as shown.")
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)
    return typer.confirm("Apply?", default=False)
