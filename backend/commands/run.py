"""`ris run …`: bulk runs, which answer expressions for a whole project."""

import json
import sys
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from backend.base.terminal import Column, Progress, is_watched, print_table
from backend.commands.options import NUMBER, AsJson
from backend.commands.run_start import start
from backend.commands.run_status import look, show
from backend.commands.state import open_runs
from backend.settings.environment import read_settings
from ris_core.output.plain_text import one_line

HAS_FAILURES = 1
"""Exit code of `wait` if tasks failed, or the run did."""
WATCH_S = 2.0
"""Seconds between two looks at a run that is watched or awaited."""
COLUMNS = (
    Column("run", is_fixed=True),
    Column("project", is_number=True),
    Column("state", is_fixed=True),
    *(Column(name, is_number=True) for name in ("done", "nothing", "unsure", "failed", "of")),
    Column("asks"),
)

RunId = Annotated[str, typer.Argument(help="Id of the run, the beginning of its id, or its name.", metavar="RUN")]
Version = Annotated[
    str | None,
    typer.Option(
        help="Let workers with this model version answer the remaining tasks, as after an upgrade.", metavar="VERSION"
    ),
]

NewMinScore = Annotated[
    float | None,
    typer.Option(
        help="After a preview or pilot: leave out candidates with a lower score, also of the tasks that are answered."
    ),
]


def list_runs(
    project: Annotated[int | None, typer.Option(help="Only the runs of this project.", **NUMBER)] = None,
    as_json: AsJson = False,
) -> None:
    """List all runs and their progress, newest first."""
    from backend.runs import summary

    store = open_runs(read_settings())
    statuses = [summary.look(store, run.id, None) for run in store.list_runs(project=project)]
    if as_json:
        print(json.dumps([status.to_json() for status in statuses]))
    else:
        print_table(COLUMNS, [status.to_row() for status in statuses])
        if not statuses:
            print("There are no runs yet. Start one with `ris run start`.", file=sys.stderr)


def status(
    run: RunId,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print the status every 2 seconds until the run ends.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the status of a run. Prints its tasks by state, rate, remaining time, workers and latest failures."""
    from backend.runs.run import OVER

    settings = read_settings()
    store = open_runs(settings)
    while True:
        current = look(settings, store, run)
        if watch and is_watched():
            print("\033[H\033[2J", end="")  # clears the terminal
        print(json.dumps(current.to_json()) if as_json else current.to_text(), flush=True)
        if not watch or current.run.state in (*OVER, "paused"):
            return
        time.sleep(WATCH_S)


def pause(run: RunId) -> None:
    """Pause a run. Tasks that a worker has begun are still finished."""
    _change(run, "pause")


def resume(run: RunId, with_version: Version = None, min_score: NewMinScore = None) -> None:
    """Continue a paused run. After a preview or pilot, all tasks are answered."""
    _change(run, "resume", with_version=with_version, min_score=min_score)


def finish(run: RunId) -> None:
    """Let no later tasks join a run that watches its project. It ends when its tasks are done."""
    _change(run, "finish")


def cancel(run: RunId) -> None:
    """Cancel a run. Predictions that are already written stay in Label Studio."""
    _change(run, "cancel")


def retry(run: RunId) -> None:
    """Try the failed tasks of a run again."""
    _change(run, "retry")


def failures(run: RunId, as_json: AsJson = False) -> None:
    """List the failed tasks of a run with the reasons."""
    store = open_runs(read_settings())
    record = store.get(run)
    rows = store.counts.failures(record.id)
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
    elif not rows:
        print(one_line(f"No task of the run {record.id} failed. {record.note or ''}".rstrip()))
    elif is_watched():
        columns = (Column("task", is_number=True), Column("reason"), Column("error"))
        print_table(columns, [(str(row.task), row.reason, row.error) for row in rows])
    else:
        for row in rows:
            print(one_line(f"task {row.task}  {row.reason}: {row.error}"))


def wait(
    run: RunId,
    timeout: Annotated[float | None, typer.Option(help="Stop waiting after this many seconds.")] = None,
) -> None:
    """Wait until a run ends or pauses. Exits with 1 if tasks failed or the run is not done."""
    from backend.runs import control
    from backend.runs.run import OVER

    settings = read_settings()
    store = open_runs(settings)
    deadline_s = time.monotonic() + (float("inf") if timeout is None else timeout)
    with Progress(f"Run {run}", "tasks") as progress:
        while True:
            left_s = max(0.0, deadline_s - time.monotonic())
            record = control.wait(store, run, min(WATCH_S, left_s))
            if record.state in (*OVER, "paused") or left_s <= WATCH_S:
                break
            counts = store.counts.by_state(record.id)
            progress.count(sum(counts.get(state, 0) for state in ("done", "failed")), sum(counts.values()))
    show(settings, store, record.id)
    if record.state != "done" or store.counts.by_state(record.id).get("failed"):
        raise typer.Exit(HAS_FAILURES)


def _change(run_id: str, action: str, **options: Any) -> None:
    """Pause, resume, finish, cancel or retry a run, and show it."""
    from backend.runs import control

    settings = read_settings()
    store = open_runs(settings)
    record = store.get(run_id)
    count = getattr(control, action)(store, record, **options)
    if count is not None:
        print(control.describe_result(store, record, action, count))
    show(settings, store, record.id)


runs = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Bulk runs: answer expressions for all tasks of a project."
)
runs.command("list")(list_runs)
for command in (start, status, pause, resume, finish, cancel, retry, failures, wait):
    runs.command()(command)
