"""`ris learn`: refit the calibrator of a project to its corrections, without training."""

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.terminal import Column, print_table
from backend.commands.corrections_read import open_reconciled
from backend.commands.options import AsJson, Offline, Project
from backend.commands.state import open_requests
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
        bool, typer.Option("--check", help="Show what would be learnt; change nothing. The default.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Let it decide the answers of the project from now on.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last change back.")] = False,
    history: Annotated[bool, typer.Option("--history", help="List what was applied and taken back.")] = False,
    from_project: Annotated[
        int | None, typer.Option("--from", help="Learn from the corrections of this other project.")
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.999, help="Also choose a threshold for each label: the share that may be wrong."),
    ] = None,
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
    if apply:
        _apply(store, project, source, learnt)


def _study(
    settings: Settings, store: "RequestStore", project: int, source: int, offline: bool, max_error: float | None
) -> "Study":
    from backend.corrections.judged_answers import find_base_version, read_judged
    from backend.corrections.learning import read_prior, study
    from backend.settings.project import read_project_settings

    connection = store.projects.get_connection(project)
    profile = read_project_settings(connection.extra_params if connection else {}).profile or settings.profile
    look, prior = read_prior(profile)
    with open_reconciled(settings, source, offline).reading() as db:
        base_version = find_base_version(db, project) or find_base_version(db, source)
        if base_version is None:
            raise BadInput(
                f"Nothing was answered in project {source} yet.", "Ask expressions, or start a run, and correct."
            )
        judged = list(read_judged(db, source, base_version))
    return study(judged, base_version, look, prior, max_error)


def _apply(store: "RequestStore", project: int, source: int, learnt: "Study") -> None:
    if not learnt.is_gain:
        print("Nothing is changed: on images that were not learnt from, no gain is sure.")
        raise typer.Exit(NO_GAIN)
    store.lessons.apply(project, learnt.lesson, learnt.to_json(), source)
    print(
        f"Applied. Project {project} answers with {learnt.lesson.model_version} from now on; runs that have begun go on as "
        "they began. Take it back with --undo."
    )


def _print(learnt: "Study") -> None:
    print(
        f"Learnt from {learnt.answers:,} judged answers on {learnt.images:,} images of {learnt.lesson.base_version}. Figures are of "
        "images that were not learnt from; the change with its 95 % interval."
    )
    columns = (
        Column("figure", is_fixed=True),
        *(Column(name, is_number=True) for name in ("before", "after", "change")),
    )
    print_table(
        columns,
        [
            (one.name, f"{one.before:.3f}", f"{one.after:.3f}", f"{one.change:+.3f} [{one.low:+.3f}, {one.high:+.3f}]")
            for one in learnt.figures
        ],
    )
    if learnt.thresholds:
        names = ("threshold", "answers", "wrong", "at most wrong")
        print_table(
            (Column("label"), *(Column(name, is_number=True) for name in names)),
            [
                (
                    one.label,
                    "-" if one.threshold is None else f"{one.threshold:.2f}",
                    f"{one.answers:,}",
                    f"{one.wrong:,}",
                    f"{one.most:.1%}",
                )
                for one in learnt.thresholds
            ],
        )
    print("A gain is sure." if learnt.is_gain else "No gain is sure.")


def _print_history(store: "RequestStore", project: int, as_json: bool) -> None:
    changes = store.lessons.history(project)
    if as_json:
        print(json.dumps([{name: value for name, value in vars(one).items() if name != "content"} for one in changes]))
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
