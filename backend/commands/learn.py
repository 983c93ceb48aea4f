"""`ris learn`: refit the calibrator of a project to its corrections, without training."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.terminal import Column, Progress, print_table
from backend.commands.corrections_read import open_reconciled
from backend.commands.options import NUMBER, AsJson, Offline, Project
from backend.commands.state import open_requests, profile_of
from backend.exporters.files import replacing
from backend.settings.environment import Settings, read_settings
from ris_core.errors import BadInput

if TYPE_CHECKING:
    import sqlalchemy as sa

    from backend.corrections.judged_answers import PastPrompt
    from backend.corrections.learning import Study
    from backend.corrections.words import WordRow
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
    redo: Annotated[bool, typer.Option("--redo", help="Apply again what was taken back last.")] = False,
    history: Annotated[bool, typer.Option("--history", help="List what was applied and taken back.")] = False,
    from_project: Annotated[
        int | None, typer.Option("--from", help="Learn from the corrections of this other project.", **NUMBER)
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.999, help="Also choose a threshold for each label: the share that may be wrong."),
    ] = None,
    memory: Annotated[
        bool,
        typer.Option("--memory", help="Also remember what corrected things look like, by noun, if that surely helps."),
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Take remembered regions out of all that was learnt, now and before.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Also write it as a page: the .html file.")] = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Learn from a project's corrections how probable its answers are, and when nothing matches. Trains no model."""
    if check + apply + undo + redo + history + forget > 1:
        raise BadInput(
            "--check, --apply, --undo, --redo, --history and --forget exclude each other.", "Give one of them."
        )
    settings = read_settings()
    store = open_requests(settings)
    if undo or redo:
        _go_back(store, project, is_redo=redo)
        return
    if history:
        _print_history(store, project, as_json)
        return
    if forget:
        number = store.lessons.forget_regions(project)
        print(f"Forgotten. {number:,} of the changes of project {project} had remembered regions; now none has.")
        return
    source = project if from_project is None else from_project
    learnt, words = _study(settings, store, project, source, offline, max_error, memory)
    print(json.dumps(learnt.to_json())) if as_json else _print(learnt)
    if new := sum(not one.is_in(learnt.lesson.words) for one in words):
        print(f"{new:,} words are proposed too: ris words --project {project}.", file=sys.stderr)
    if out:
        _write_page(out, learnt, project, source, words)
    if apply or not (check or as_json):
        _apply(store, project, source, learnt, is_asked=apply)


def _study(
    settings: Settings,
    store: "RequestStore",
    project: int,
    source: int,
    offline: bool,
    max_error: float | None,
    memory: bool,
) -> "tuple[Study, list[WordRow]]":
    """What can be learnt, with the words that were accepted before, and what corrections propose for words."""
    from backend.corrections.judged_answers import read_drawn_prompts, read_judged, read_past_prompts
    from backend.corrections.learning import read_prior, study
    from backend.corrections.words import list_rows

    profile = _find_profile(settings, store, project)
    look, prior = read_prior(profile)
    accepted = store.lessons.find_words(project)
    with open_reconciled(settings, source, offline).reading() as db:
        base_version = find_answering_version(settings, store, db, project, source)
        judged = list(read_judged(db, source, base_version))
        words = list_rows(db, project, accepted)
        past = (
            [*read_past_prompts(db, source, with_pseudonyms=False), *read_drawn_prompts(db, source)] if memory else []
        )
    learnt = study(judged, base_version, look, prior, max_error, keeps_prior=memory)
    learnt = replace(learnt, lesson=replace(learnt.lesson, words=accepted))
    if not memory:
        return learnt, words
    connection = store.projects.get_connection(source)
    return _remember(settings, learnt, profile, past, connection.label_config if connection else ""), words


def find_answering_version(
    settings: Settings, store: "RequestStore", db: "sa.Connection", project: int, source: int
) -> str:
    """The version that answers a project, without what was learnt.

    Args:
        source: The project whose corrections are learnt from.

    Raises:
        BadInput: If nothing was answered yet, or by another profile.
    """
    from backend.corrections.judged_answers import find_base_version
    from ris_core.profiles import read_profile

    profile = _find_profile(settings, store, project)
    base_version = find_base_version(db, project) or find_base_version(db, source)
    if base_version is None:
        raise BadInput(
            f"Nothing was answered in project {source} yet.", "Ask expressions, or start a run, and correct."
        )
    if not base_version.startswith(f"{read_profile(profile)['version_prefix']}."):
        raise BadInput(
            f"The newest answer is of {base_version}, but project {project} is answered by the profile {profile} now.",
            "Ask expressions with it and correct them first.",
        )
    return base_version


def _find_profile(settings: Settings, store: "RequestStore", project: int) -> str:
    from backend.settings.project import read_project_settings

    connection = store.projects.get_connection(project)
    return read_project_settings(connection.extra_params if connection else {}).profile or profile_of(settings)


def _go_back(store: "RequestStore", project: int, is_redo: bool) -> None:
    change = store.lessons.redo(project) if is_redo else store.lessons.undo(project)
    before, now = (_version(change.base_version, digest) for digest in (change.replaces, change.digest))
    done = "Applied again" if is_redo else f"{before} is taken back"
    print(f"{done}. Project {project} answers with {now} from now on.")


def _remember(
    settings: Settings, learnt: "Study", profile: str, past: "list[PastPrompt]", label_config: str
) -> "Study":
    """Also learn a memory of regions, from features in the cache.

    Args:
        label_config: Of the project whose corrections are learnt from; empty if it is not known.
    """
    from backend.corrections.memory_examples import read_examples
    from backend.inference.feature_cache import FeatureCache
    from backend.label_studio.label_config import read_config
    from ris_core import load_segmenter
    from ris_core.learning.memory_fitting import fit_memory
    from ris_core.runtime.weights import WeightStore

    with Progress(f"Loading the models of the profile {profile}"):
        store = WeightStore(settings.model_dir, mirrors=settings.model_mirrors)
        loaded = load_segmenter(profile, device=settings.device, store=store, **settings.component_overrides)
    segmenter = learnt.lesson.apply(loaded)
    cache = FeatureCache(settings.state_dir / "features", settings.cache_bytes, settings.click_cache_bytes)
    with Progress("Remembering regions"):
        find = lambda image: cache.get(segmenter.encode_fp, image)  # noqa: E731
        control = read_config(label_config).controls[0] if label_config else None
        examples = list(read_examples(past, segmenter, find, learnt.lesson.words, control))
        if not examples:
            raise BadInput(
                f"None of the {len({one.image for one in past}):,} corrected images has features of the profile {profile}.",
                "Encode them with `ris replay --encode`, or learn without --memory.",
            )
        return learnt.with_memory(fit_memory(examples))


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


def _write_page(out: Path, learnt: "Study", project: int, source: int, words: "list[WordRow]") -> None:
    from backend.report.learning_page import render_learning

    try:
        with replacing(out) as part:
            part.write_text(render_learning(learnt, project, source, words, learnt.lesson.words), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"The page cannot be written to {out} ({error.strerror}). Choose another file.") from error
    print(f"The page is in {out}.", file=sys.stderr)


def _print(learnt: "Study") -> None:
    from backend.report.learning_page import format_figure, format_memory, format_threshold

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
    if learnt.remembered:
        print(format_memory(learnt))
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
        Column("words", is_number=True),
    )
    rows = [
        (
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one.at)),
            _version(one.base_version, one.digest),
            str(one.from_project),
            f"{one.about.get('answers', 0):,}",
            str(one.lesson.words.number if one.lesson else 0),
        )
        for one in changes
    ]
    print_table(columns, rows)


def _version(base_version: str, digest: str) -> str:
    from ris_core.learning.lesson import MARK

    return f"{base_version}{MARK}{digest}" if digest else base_version
