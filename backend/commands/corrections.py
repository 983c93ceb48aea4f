"""`ris corrections …`: what annotators did with the proposed masks."""

import json
import sys
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from backend.base.terminal import Progress
from backend.commands.corrections_read import find_group, find_project, open_reconciled, split_names
from backend.commands.corrections_text import (
    print_corrections,
    print_disagreements,
    print_statistics,
    print_versions,
    version_documents,
)
from backend.commands.options import NUMBER, AsJsonLines, Offline, Outcomes, Project
from backend.commands.state import open_corrections
from backend.settings.environment import read_settings
from ris_core.errors import BadInput

AnnotatorNumber = Annotated[int, typer.Argument(help="The annotator's user number in Label Studio.")]


def list_corrections(
    project: Project,
    only: Outcomes = "",
    annotator: Annotated[int | None, typer.Option(help="Only this annotator: the user number in Label Studio.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows to print.")] = 50,
    offline: Offline = False,
    as_json: AsJsonLines = False,
) -> None:
    """List the regions of a project and their outcomes. Regions of unknown origin come first."""
    from backend.corrections.outcome_kinds import NAMES
    from backend.corrections.queries import read_corrections

    correction_store = open_reconciled(read_settings(), project, offline)
    with correction_store.reading() as db:
        corrections = list(read_corrections(db, project, outcomes=split_names(only), annotator=annotator))
    # NAMES[0], "foreign", needs a person's attention first; the sort is stable, so the rest keeps its order
    corrections.sort(key=lambda correction: NAMES.index(correction.outcome.outcome) > 0)
    print_corrections(corrections[:limit], as_json)
    if not corrections:
        print(f"There are no such regions in project {project}.", file=sys.stderr)
    if len(corrections) > limit:
        print(f"{len(corrections) - limit:,} more rows; use --limit to print them.", file=sys.stderr)


def show(
    task: Annotated[str, typer.Argument(help="Number of a task.")],
    project: Annotated[
        int | None, typer.Option(help="Number of its project; looked up if not given.", **NUMBER)
    ] = None,
    offline: Offline = False,
    as_json: AsJsonLines = False,
) -> None:
    """Show the history of a task. Prints all versions of its annotations, with the outcome of each region."""
    from backend.corrections.queries import read_past

    settings = read_settings()
    if not (task.isascii() and task.isdecimal()):
        raise BadInput(f"{task!r} is not a task number. The number is in the task's address, after task=.")
    project = find_project(settings, task, offline) if project is None else project
    correction_store = open_reconciled(settings, project, offline)
    with correction_store.reading() as db:
        versions = read_past(db, project, task)
    if not versions:
        raise BadInput(
            f"There are no records of task {task} of project {project}.",
            "`ris corrections list` shows the tasks with records.",
        )
    if as_json:
        for document in version_documents(versions):
            print(document)
    else:
        print_versions(versions)
        print("* current version", file=sys.stderr)


def stats(
    project: Project,
    by: Annotated[str, typer.Option(help="Group by label, annotator, model_version or kind.")] = "",
    offline: Offline = False,
    as_json: AsJsonLines = False,
) -> None:
    """Count the outcomes of a project. Also measures how close the final masks are to the proposed ones."""
    from backend.corrections.queries import read_corrections
    from backend.corrections.statistics import lead_times, summarise

    settings = read_settings()
    correction_store = open_reconciled(settings, project, offline)
    group = find_group(settings, by) if by else None
    with Progress("Computing the statistics"), correction_store.reading() as db:
        summaries = summarise(read_corrections(db, project), group)
        times = lead_times(db, project)
    rows = {name: summary.row() for name, summary in summaries.items()}
    if as_json:
        print(json.dumps({"groups": rows, "lead_time_s": times._asdict()}))
        return
    print_statistics(by, rows)
    for name, seconds in times._asdict().items():
        value = f"median {median(seconds):.1f} s of {len(seconds)}" if seconds else "none"
        print(f"lead time {name.replace('_', ' ')}: {value}")


def disagreements(
    project: Project,
    limit: Annotated[int, typer.Option(min=1, help="Most rows to print.")] = 50,
    offline: Offline = False,
    as_json: AsJsonLines = False,
) -> None:
    """List the expressions on which two people do not agree. Either their masks differ, or one says that nothing is meant."""
    from backend.corrections.disagreements import read_disagreements, sort_widest
    from backend.label_studio.task_page import link_to_task
    from backend.report.data import read_studio_url

    settings = read_settings()
    correction_store = open_reconciled(settings, project, offline)
    with Progress("Comparing what people drew"), correction_store.reading() as db:
        found = sort_widest(read_disagreements(db, project))
    address = read_studio_url(correction_store, project) or settings.label_studio_url or ""
    links = [link_to_task(address, project, one.task) for one in found[:limit]]
    print_disagreements(found[:limit], links, as_json)
    if not found:
        print(f"Nobody disagrees in project {project}.", file=sys.stderr)
    if len(found) > limit:
        print(f"{len(found) - limit:,} more rows; use --limit to print them.", file=sys.stderr)


def dump(
    project: Project,
    out: Annotated[Path | None, typer.Option(help="A .jsonl or .parquet file; standard output if not given.")] = None,
    only: Outcomes = "",
    history: Annotated[
        bool, typer.Option("--history", help="Include previous versions and deleted annotations.")
    ] = False,
    masks: Annotated[bool, typer.Option("--masks", help="Include the masks, as COCO run lengths.")] = False,
    offline: Offline = False,
) -> None:
    """Write the corrections of a project as JSON lines or Parquet."""
    from backend.corrections.queries import read_corrections
    from backend.exporters.dump import write_dump, write_lines

    correction_store = open_reconciled(read_settings(), project, offline)
    with correction_store.reading() as db:
        corrections = read_corrections(db, project, outcomes=split_names(only), with_history=history, with_masks=masks)
        if out:
            with Progress(f"Writing {out}"):
                count = write_dump(corrections, out)
        else:
            count = write_lines(corrections, sys.stdout)
    print(f"{count:,} rows.", file=sys.stderr)


def retention(
    days: Annotated[float, typer.Option(help="Keep what is younger than this many days.")],
    history: Annotated[
        bool, typer.Option("--history", help="Also delete previous versions and deleted annotations.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only count what would be deleted.")] = False,
) -> None:
    """Delete old webhook events that have been processed. Corrections stay."""
    from backend.corrections.retention import purge

    correction_store = open_corrections(read_settings())
    with Progress("Deleting old events" if yes else "Counting old events"):
        purged = purge(correction_store, days, with_history=history, is_trial=not yes)
    verb = "were deleted." if yes else "would be deleted. Give --yes to delete them."
    print(f"{purged.events:,} raw events and {purged.versions:,} versions of annotations {verb}")


def pseudonymise(
    annotator: AnnotatorNumber,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; this cannot be undone.")] = False,
) -> None:
    """Replace an annotator's number with a random one. Names and e-mail addresses are deleted; this cannot be undone."""
    from backend.corrections.retention import pseudonymise as replace_annotator

    correction_store = open_corrections(read_settings())
    if not yes:
        typer.confirm(f"Replace annotator {annotator} with a random number? This cannot be undone.", abort=True)
    with Progress(f"Replacing annotator {annotator}"):
        pseudonym = replace_annotator(correction_store, annotator)
    print(f"Annotator {annotator} is now {pseudonym}.")


corrections = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What annotators did with the proposed masks."
)
corrections.command("list")(list_corrections)
for command in (show, stats, disagreements, dump, retention, pseudonymise):
    corrections.command()(command)
