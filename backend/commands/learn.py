"""`ris learn`: refit the calibrator of a project to its corrections, without training."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.terminal import Column, print_table
from backend.commands.corrections_read import open_reconciled
from backend.commands.options import AsJson, Offline, Project
from backend.commands.state import open_requests, profile_of
from backend.exporters.files import replacing
from backend.settings.environment import Settings, read_settings
from ris_core.errors import BadInput

if TYPE_CHECKING:
    from backend.corrections.learning import Study
    from backend.db.request_store import RequestStore

NO_GAIN = 1
"""Exit code of `--apply` if no gain is shown: nothing is changed."""


def learn(
    project: Project,
    check: Annotated[
        bool, typer.Option("--check", help="Show what would be learnt; change nothing, ask nothing.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Apply it without asking, if a gain is sure.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last change back.")] = False,
    history: Annotated[bool, typer.Option("--history", help="List what was applied and taken back.")] = False,
    from_project: Annotated[
        int | None, typer.Option("--from", help="Learn from the corrections of this other project.")
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.999, help="Also choose a threshold for each label: the share that may be wrong."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write it as a page: the .html file.")] = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Learn from a project's corrections how probable its answers are, and when nothing matches. Trains no model."""
    if check + apply + undo + history > 1:
        raise BadInput("--check, --apply, --undo and --history exclude each other.", "Give one of them.")
    settings = read_settings()
    store = open_requests(settings)
    if undo:
        change = store.lessons.undo(project)
        print(f"Taken back. Project {project} answers with {_version(change.base_version, change.digest)} from now on.")
        return
    if history:
        _print_history(store, project, as_json)
        return
    source = project if from_project is None else from_project
    learnt = _study(settings, store, project, source, offline, max_error)
    print(json.dumps(learnt.to_json())) if as_json else _print(learnt)
    if out:
        _write_page(out, learnt, project, source)
    if apply or not (check or as_json):
        _apply(store, project, source, learnt, is_asked=apply)


def _study(
    settings: Settings, store: "RequestStore", project: int, source: int, offline: bool, max_error: float | None
) -> "Study":
    from backend.corrections.judged_answers import find_base_version, read_judged
    from backend.corrections.learning import read_prior, study
    from backend.settings.project import read_project_settings
    from ris_core.profiles import read_profile

    connection = store.projects.get_connection(project)
    profile = read_project_settings(connection.extra_params if connection else {}).profile or profile_of(settings)
    look, prior = read_prior(profile)
    versions = f"{read_profile(profile)['version_prefix']}."
    with open_reconciled(settings, source, offline).reading() as db:
        base_version = find_base_version(db, project) or find_base_version(db, source)
        if base_version is None:
            raise BadInput(
                f"Nothing was answered in project {source} yet.", "Ask expressions, or start a run, and correct."
            )
        if not base_version.startswith(versions):
            raise BadInput(
                f"The newest answer is of {base_version}, but project {project} is answered by the profile {profile} now.",
                "Ask expressions with it and correct them first.",
            )
        judged = list(read_judged(db, source, base_version))
    return study(judged, base_version, look, prior, max_error)


def _apply(store: "RequestStore", project: int, source: int, learnt: "Study", is_asked: bool) -> None:
    """Apply what was learnt if a gain is sure and somebody wants it.

    Args:
        is_asked: The command line says to; else the person at the terminal is asked.
    """
    base_version, version = learnt.lesson.base_version, learnt.lesson.model_version
    if store.lessons.name_version(project, base_version) == version:
        print(f"Project {project} answers with this already: {version}.")
        return
    if not learnt.is_gain:
        print("Nothing is changed: on images that were not learnt from, no gain is sure.")
        raise typer.Exit(NO_GAIN if is_asked else 0)
    if not is_asked and not sys.stdin.isatty():
        print("Nothing is changed: there is no terminal to ask on. Add --apply.")
        return
    if not is_asked and not typer.confirm("Apply?", default=False):
        print("Nothing is changed.")
        return
    store.lessons.apply(project, learnt.lesson, learnt.to_json(), source)
    print(
        f"Applied. Project {project} answers with {version} from now on; runs that have begun go on as they began. "
        "Take it back with --undo."
    )


def _write_page(out: Path, learnt: "Study", project: int, source: int) -> None:
    from backend.report.learning_page import render_learning

    try:
        with replacing(out) as part:
            part.write_text(render_learning(learnt, project, source), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"The page cannot be written to {out} ({error.strerror}). Choose another file.") from error
    print(f"The page is in {out}.", file=sys.stderr)


def _print(learnt: "Study") -> None:
    from backend.report.learning_page import format_figure, format_threshold

    print(
        f"Learnt from {learnt.answers:,} judged answers on {learnt.images:,} images of {learnt.lesson.base_version}. Figures are of "
        "images that were not learnt from; the change with its 95 % interval."
    )
    names = ("before", "after", "change")
    print_table(
        (Column("figure", is_fixed=True), *(Column(name, is_number=True) for name in names)),
        [format_figure(one) for one in learnt.figures],
    )
    if learnt.thresholds:
        columns = ("threshold", "answers", "wrong", "at most wrong")
        print_table(
            (Column("label"), *(Column(name, is_number=True) for name in columns)),
            [format_threshold(one) for one in learnt.thresholds],
        )
    print("A gain is sure." if learnt.is_gain else "No gain is sure.")


def _print_history(store: "RequestStore", project: int, as_json: bool) -> None:
    changes = store.lessons.history(project)
    if as_json:
        print(json.dumps([{name: value for name, value in vars(one).items() if name != "content"} for one in changes]))
        return
    if not changes:
        print(f"Nothing was learnt for project {project}.")
        return
    columns = (
        Column("at", is_fixed=True),
        Column("version"),
        Column("from", is_number=True),
        Column("answers", is_number=True),
    )
    rows = [
        (
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one.at)),
            _version(one.base_version, one.digest),
            str(one.from_project),
            f"{one.about.get('answers', 0):,}",
        )
        for one in changes
    ]
    print_table(columns, rows)


def _version(base_version: str, digest: str) -> str:
    from ris_core.learning.lesson import MARK

    return f"{base_version}{MARK}{digest}" if digest else base_version
