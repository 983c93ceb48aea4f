"""`ris connect`: connects a Label Studio project to the backend."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from backend.base.errors import BadSettings
from backend.base.terminal import Cell, Column, Progress, print_table
from backend.commands.options import Project
from backend.settings.environment import Settings, read_settings
from backend.settings.project import MAX_SMOOTH_PX
from ris_core.output.plain_text import lines

if TYPE_CHECKING:
    from backend.label_studio.check import Check
    from backend.label_studio.client import LabelStudioClient
    from backend.label_studio.connection_plan import WantedConnection

STYLES = {"ok": "green", "change": "yellow", "problem": "red"}
COLUMNS = (Column(is_fixed=True, width=7), Column(is_fixed=True), Column())
NOT_AS_IT_SHOULD_BE = BadSettings.exit_code
"""Exit code if something would be changed, or cannot be."""

Url = Annotated[
    str | None,
    typer.Option(help="URL where Label Studio reaches the backend; if not given, the present one or http://HOST:PORT."),
]
CheckOnly = Annotated[bool, typer.Option("--check", help="Print what would be changed, and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Edit the label config without asking.")]
Label = Annotated[
    str | None, typer.Option(help="Label for the masks, if the label config has no control for masks yet.")
]
ProjectProfile = Annotated[
    str | None, typer.Option("--profile", help='Profile that answers this project; "" to use RIS_PROFILE.')
]
ExpressionField = Annotated[
    str | None,
    typer.Option(help='Field of the task data that holds the expression; "" to use the one in the label config.'),
]
Prompt = Annotated[str | None, typer.Option(help='Name of the TextArea for expressions, if it is not "prompt".')]
Standing = Annotated[
    str | None,
    typer.Option(
        metavar="EXPRESSIONS",
        help='What every opened task is asked unless it has an expression of its own: "car; person". "" for nothing.',
    ),
]
ReadBackOption = Annotated[
    str | None, typer.Option("--read-back", help="Tell annotators how an expression was read: always, unsure or never.")
]
Threshold = Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Leave out candidates with a lower score.")]
ImageHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--image-host",
        metavar="HOST",
        help="Host that images may be fetched from, in addition to IMAGE_HOSTS; repeatable.",
    ),
]
SmoothPx = Annotated[
    float | None, typer.Option(min=0, max=MAX_SMOOTH_PX, help="Smooth the outlines of masks by this many pixels.")
]
Queues = Annotated[
    bool, typer.Option("--queues", help="Add tabs to the Data Manager: uncertain, nothing found and to correct.")
]


def connect(
    project: Project,
    url: Url = None,
    check: CheckOnly = False,
    yes: Yes = False,
    label: Label = None,
    profile: ProjectProfile = None,
    expression_field: ExpressionField = None,
    prompt: Prompt = None,
    standing: Standing = None,
    read_back: ReadBackOption = None,
    threshold: Threshold = None,
    image_host: ImageHosts = None,
    smooth_px: SmoothPx = None,
    queues: Queues = False,
) -> None:
    """Connect a Label Studio project. Adds the model and its webhook, stores settings, and completes the label config."""
    from backend.commands.studio import open_label_studio
    from backend.label_studio.connect import carry_out
    from backend.label_studio.connection_plan import make_plan
    from backend.label_studio.reachability import look_at_backend

    settings = read_settings()
    studio = open_label_studio(settings)
    options = {
        "profile": profile,
        "expression_field": expression_field,
        "prompt": prompt,
        "standing": standing,
        "read_back": read_back,
        "min_score": threshold,
        "image_hosts": image_host,
        "smooth_px": smooth_px,
    }
    wanted = _wanted(settings, url, {key: value for key, value in options.items() if value is not None}, label)
    with Progress(f"Comparing project {project} with the settings") as progress:
        plan = make_plan(studio, project, wanted)
        progress.say(f"Asking the backend at {plan.wanted.url}")
        backend = look_at_backend(plan.wanted.url, wanted.credentials, settings.local_url, plan.is_connected)
        tabs = _QueueTabs(settings, studio, project) if queues else None
    checks = [backend, *plan.points, *(tabs.checks if tabs else ())]
    _print(checks)
    if plan.edit:
        print(f"\n{lines(plan.edit.diff)}\n")
    if not _has_changes(project, checks, check):
        return
    if plan.edit and not (yes or _may_edit()):
        plan = replace(plan, edit=None)
        print("The label config stays as it is.")
    with Progress(f"Connecting project {project}"):
        connection = carry_out(studio, plan)
        if tabs:
            tabs.save()
    print(f"Project {project} is connected, interactive, to {connection.model_version}.")


def _has_changes(project: int, checks: Sequence["Check"], is_check: bool) -> bool:
    """Whether anything is to be changed, and may be.

    Raises:
        typer.Exit: If something cannot be set right, or this is only a check.
    """
    if any(part.state == "problem" for part in checks):
        print("Nothing was changed.")
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)
    if all(part.state == "ok" for part in checks):
        print(f"Nothing to do: project {project} is connected.")
        return False
    if is_check:
        print("Nothing was changed: this was a check.")
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)
    return True


class _QueueTabs:
    """The tabs of queues: what would be changed about them, and changing it."""

    def __init__(self, settings: Settings, studio: "LabelStudioClient", project: int) -> None:
        from backend.commands.state import check_state
        from backend.corrections.store import open_correction_store
        from backend.review.tabs import plan_tabs

        check_state(settings)
        self._store, self._studio, self._project = open_correction_store(settings.sql_url), studio, project
        self._store.read_events()
        self._planned = plan_tabs(self._store, studio, project)
        self.checks = [one.check for one in self._planned]

    def save(self) -> None:
        """Make and change them."""
        from backend.review.tabs import save_tabs

        save_tabs(self._store, self._studio, self._project, self._planned)


def _wanted(settings: Settings, url: str | None, values: dict[str, Any], label: str | None) -> "WantedConnection":
    """The connection as it should be.

    Args:
        values: Settings of the project that the options give; empty ones are to be removed.

    Raises:
        UnknownName: If there is no such profile.
    """
    from backend.label_studio.connection_plan import WantedConnection
    from ris_core.profiles import read_profile

    if values.get("profile"):
        read_profile(values["profile"])  # raises, and lists the profiles
    if "image_hosts" in values:
        values["image_hosts"] = [host for host in values["image_hosts"] if host]
    return WantedConnection(
        url=url or settings.local_url,
        moves=url is not None,
        credentials=settings.credentials,
        webhook_secret=settings.webhook_secret.get_secret_value() if settings.webhook_secret else None,
        settings={key: None if value in ("", []) else value for key, value in values.items()},
        label=label,
    )


def _print(checks: Sequence["Check"]) -> None:
    """A row for each part, and below it the remedy of a problem."""
    rows: list[tuple[Cell, ...]] = []
    for check in checks:
        rows.append((Text(check.state, STYLES[check.state]), check.name, check.detail))
        if check.remedy:
            rows.append(("", "", check.remedy))
    print_table(COLUMNS, rows, has_header=False)


def _may_edit() -> bool:
    """Ask whether to edit the label config as shown.

    Raises:
        typer.Exit: If there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        print("Nothing was changed: there is no terminal to ask on. Add --yes to edit the label config as shown.")
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)
    return typer.confirm("Apply?", default=False)
