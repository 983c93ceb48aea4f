"""`ris corrections`: what annotators changed."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.settings.environment import Settings, read_settings
from ris_core.errors import BadInput, UnknownName
from ris_core.output.plain_text import one_line

if TYPE_CHECKING:
    from backend.corrections.queries import Correction, VersionOutcomes
    from backend.corrections.store import CorrectionStore

Project = Annotated[int, typer.Option(help="Number of the project, as in its address.")]
Offline = Annotated[bool, typer.Option("--offline", help="Do not ask Label Studio for what webhooks did not bring.")]
Only = Annotated[str, typer.Option(help="Outcomes, separated by commas: accepted,edited,….")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one document a line.")]
_TIME_FORMAT = "%Y-%m-%d %H:%M"


def list_corrections(
    project: Project,
    only: Only = "",
    annotator: Annotated[int | None, typer.Option(help="Label Studio's number of a user.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows to print.")] = 50,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """What became of each region, foreign ones first."""
    from backend.corrections.outcomes import NAMES
    from backend.corrections.queries import read_corrections

    correction_store = open_fresh(read_settings(), project, offline)
    with correction_store.reading() as db:
        found = list(read_corrections(db, project, outcomes=split_names(only), annotator=annotator))
    found.sort(key=lambda one: NAMES.index(one.outcome.outcome) > 0)  # what needs a person first; else as it stands
    for one in found[:limit]:
        print(json.dumps(_without_masks(one)) if as_json else _as_line(one))
    if len(found) > limit:
        print(f"{len(found) - limit} more; --limit shows them.", file=sys.stderr)


def show(
    task: Annotated[str, typer.Argument(help="Number of a task.")],
    project: Annotated[int | None, typer.Option(help="Number of its project; found if not given.")] = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Everything about a task: every version of every annotation, and what became of each region."""
    from backend.corrections.queries import read_past

    settings = read_settings()
    if not (task.isascii() and task.isdecimal()):
        raise BadInput(f"{task!r} is no number of a task. It stands in the task's address, after task=.")
    project = _find_project(settings, task, offline) if project is None else project
    correction_store = open_fresh(settings, project, offline)
    with correction_store.reading() as db:
        found = read_past(db, project, task)
    if not found:
        raise BadInput(f"Nothing is known of task {task} of project {project}. `ris corrections list` shows what is.")
    for version in found:
        for line in _as_documents(version) if as_json else _as_lines(version):
            print(line)
    if not as_json:
        print("* as it stands now", file=sys.stderr)


def stats(
    project: Project,
    by: Annotated[str, typer.Option(help="label, annotator, model_version or kind.")] = "",
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """How many were accepted, edited, replaced, rejected, missed, and how alike they are to what was offered."""
    from backend.corrections.queries import read_corrections
    from backend.corrections.statistics import lead_times, summarise

    settings = read_settings()
    correction_store = open_fresh(settings, project, offline)
    group = find_group(settings, by) if by else None
    with correction_store.reading() as db:
        summaries = summarise(read_corrections(db, project), group)
        times = lead_times(db, project)
    rows = {name: summary.row() for name, summary in summaries.items()}
    if as_json:
        print(json.dumps({"groups": rows, "lead_time_s": times._asdict()}))
        return
    print(_as_table(by or "", rows))
    for name, seconds in times._asdict().items():
        shown = f"median {median(seconds):.1f} s of {len(seconds)}" if seconds else "none"
        print(f"lead time {name.replace('_', ' ')}: {shown}")


def dump(
    project: Project,
    out: Annotated[Path | None, typer.Option(help="A .jsonl or .parquet file; standard output otherwise.")] = None,
    only: Only = "",
    history: Annotated[bool, typer.Option("--history", help="Also former versions and deleted annotations.")] = False,
    masks: Annotated[bool, typer.Option("--masks", help="With masks, as COCO run lengths.")] = False,
    offline: Offline = False,
) -> None:
    """The ledger as lines of JSON, or as Parquet."""
    from backend.corrections.queries import read_corrections
    from backend.exporters.dump import write_dump, write_lines

    correction_store = open_fresh(read_settings(), project, offline)
    with correction_store.reading() as db:
        found = read_corrections(db, project, outcomes=split_names(only), with_history=history, with_masks=masks)
        written = write_dump(found, out) if out else write_lines(found, sys.stdout)
    print(f"{written:,} rows.", file=sys.stderr)


def retention(
    days: Annotated[float, typer.Option(help="Keep what is younger.")],
    history: Annotated[
        bool, typer.Option("--history", help="Also delete former versions and deleted annotations.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; otherwise only say what would be.")] = False,
) -> None:
    """Delete raw events that were read; corrections stay."""
    from backend.corrections.retention import purge

    gone = purge(_open(read_settings()), days, with_history=history, is_trial=not yes)
    verb = "were" if yes else "would be (give --yes)"
    print(f"{gone.events:,} raw events and {gone.versions:,} versions of annotations {verb} deleted.")


def pseudonymise(
    annotator: Annotated[int, typer.Argument(help="Label Studio's number of a user.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; it cannot be undone.")] = False,
) -> None:
    """Put a made-up number in an annotator's place everywhere in the record."""
    from backend.corrections.retention import pseudonymise as put_pseudonym

    correction_store = _open(read_settings())
    correction_store.read_events()
    if not yes:
        typer.confirm(f"Replace annotator {annotator} by a made-up number, for good?", abort=True)
    print(f"Annotator {annotator} is now {put_pseudonym(correction_store, annotator)}.")


def open_fresh(settings: Settings, project: int, offline: bool, with_predictions: bool = False) -> "CorrectionStore":
    """The ledger, with every event read and, unless offline, what events did not bring.

    Args:
        with_predictions: Also every prediction that Label Studio has.

    Raises:
        Unreachable: If Label Studio, which the settings name, does not answer.
    """
    correction_store = _open(settings)
    correction_store.read_events()
    if not offline and settings.label_studio_url and settings.label_studio_api_key:
        from backend.commands.studio import open_label_studio
        from backend.corrections.reconciler import reconcile

        studio = open_label_studio(settings)
        reconcile(studio, correction_store, project, is_thorough=True, with_predictions=with_predictions)
    elif not offline:
        print("note: Label Studio is not asked for what is missing; LABEL_STUDIO_URL is not set.", file=sys.stderr)
    return correction_store


def split_names(text: str) -> tuple[str, ...]:
    """The names of "accepted,edited"."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def find_group(settings: Settings, name: str) -> "Callable[[Correction], str]":
    """What divides corrections.

    Raises:
        UnknownName: If there is nothing of that name.
    """
    from backend.corrections.statistics import GROUPS

    if name == "kind":
        return by_kind(settings)
    if name not in GROUPS:
        raise UnknownName(f"Corrections cannot be divided by {name!r}. Available: {', '.join([*GROUPS, 'kind'])}.")
    return GROUPS[name]


def by_kind(settings: Settings) -> "Callable[[Correction], str]":
    """Divides corrections by the kind of their expression, as the profile's parser reads it; each wording once."""
    from functools import cache

    from ris_core.errors import BadExpression
    from ris_core.evaluation.kinds import kind_of
    from ris_core.profiles import load_parser
    from ris_core.runtime import weights

    parser = load_parser(settings.profile, weights.WeightStore(settings.model_dir))

    @cache
    def read(text: str) -> str:
        try:
            return kind_of(parser.parse(text))
        except BadExpression:
            return "unreadable"

    return lambda one: read(one.outcome.expression) if one.outcome.expression else "-"


def _find_project(settings: Settings, task: str, offline: bool) -> int:
    """The project of a task, as the record or Label Studio has it."""
    from backend.corrections.queries import find_projects

    correction_store = _open(settings)
    correction_store.read_events()
    with correction_store.reading() as db:
        found = find_projects(db, task)
    if len(found) > 1:
        raise BadInput(f"Projects {', '.join(map(str, found))} have a task {task}. Say which with --project.")
    if found:
        return found[0]
    if not offline and settings.label_studio_url and settings.label_studio_api_key:
        from backend.commands.studio import open_label_studio
        from backend.label_studio.task_listing import find_task_project

        if (project := find_task_project(open_label_studio(settings), task)) is not None:
            return project
    raise BadInput(f"Nothing is known of task {task}. `ris corrections list --project N` shows what is.")


def _as_documents(version: "VersionOutcomes") -> Iterable[str]:
    """A line of JSON for each region; one that says why if there is none."""
    about = {"was_cancelled": version.was_cancelled, "is_deleted": version.is_deleted}
    own = {name: value for name, value in vars(version).items() if name != "corrections"}
    documents = [{**_without_masks(one), **about} for one in version.corrections] or [{**own, "region": None}]
    return map(json.dumps, documents)


def _as_lines(version: "VersionOutcomes") -> Iterable[str]:
    """A line for each region; one that says why if there is none."""
    star = "*" if version.is_current else " "
    end = "  (deleted)" if version.is_deleted else ""
    state = "skipped" if version.was_cancelled else "empty"
    about = f"{state:10} {'-':>6}  task {version.task:>6}  annotation {version.annotation:>6}  "
    nothing = f"{about}by {version.annotator}  {_when(version.updated_at)}"
    return [f"{star} {line}{end}" for line in map(_as_line, version.corrections)] or [f"{star} {nothing}{end}"]


def _open(settings: Settings) -> "CorrectionStore":
    from backend.commands.state import check_state
    from backend.corrections.store import open_correction_store

    check_state(settings)
    return open_correction_store(settings.sql_url)


def _without_masks(one: "Correction") -> dict[str, Any]:
    return {name: value for name, value in one.to_json().items() if name not in ("mask", "offered_mask")}


def _as_line(one: "Correction") -> str:
    told = one.outcome
    flags = " ".join(
        name for name, is_so in (("relabelled", told.is_relabelled), ("reworded", told.is_reworded)) if is_so
    )
    iou = "     -" if told.iou is None else f"{told.iou:6.3f}"
    words = f'"{told.expression}"' if told.expression else "-"
    return one_line(
        f"{told.outcome:10} {iou}  task {one.task:>6}  annotation {one.annotation:>6}  region {told.region:10}  "
        f"by {one.annotator}  {_when(one.updated_at)}  {told.label}  {words} {flags}".rstrip()
    )


def _when(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME_FORMAT)


def _as_table(title: str, rows: dict[str, dict[str, Any]]) -> str:
    columns = list(next(iter(rows.values())))
    lines = [[title, *(column.replace("_", " ") for column in columns)]]
    lines += [[one_line(name), *(_cell(row[column]) for column in columns)] for name, row in rows.items()]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns) + 1)]
    return "\n".join(_align(line, widths) for line in lines)


def _align(line: Iterable[str], widths: Iterable[int]) -> str:
    first, *others = zip(line, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])


def _cell(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
