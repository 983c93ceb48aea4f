"""`ris run …`: expressions asked of a whole project."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.base.errors import BadSettings, Unreachable
from backend.label_studio.label_config import read_config
from backend.settings.environment import Settings, read_settings
from ris_core.output.plain_text import one_line

if TYPE_CHECKING:
    from backend.runs.spec import RunSpec
    from backend.runs.store import Run, RunStore
    from backend.runs.studio_client import RunClient
    from backend.runs.summary import RunStatus

HAS_FAILURES = 1
"""Exit code of `wait` if tasks failed, or the run did."""
WATCH_S = 2.0
PLANNER = "cli"

RunId = Annotated[str, typer.Argument(help="The run: its id, its name, or the beginning of its id.", metavar="RUN")]
Project = Annotated[int, typer.Option(help="Number of the project, as in its address.")]
Tasks = Annotated[str | None, typer.Option(help="Only these tasks: ids and ranges, as in 1,5,10-20.")]
View = Annotated[int | None, typer.Option(help="Only the tasks of this tab of the Data Manager.")]
Unlabelled = Annotated[bool, typer.Option("--only-unlabelled", help="Only tasks that nobody has labelled.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def start(
    project: Project,
    expression: Annotated[
        list[str] | None,
        typer.Option(help='Asked of every task, as typed: "the dog", or "Dog: the brown one"; repeatable.'),
    ] = None,
    expression_field: Annotated[
        str | None, typer.Option(help="Field of the tasks' data that holds their own: text with ; between, or a list.")
    ] = None,
    per_label: Annotated[
        bool, typer.Option("--per-label", help="Ask for every label of the label config, several instances each.")
    ] = False,
    tasks: Tasks = None,
    view: View = None,
    only_unlabelled: Unlabelled = False,
    min_score: Annotated[float | None, typer.Option(help="Candidates that score less are not handed out.")] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            help="Candidates kept with every answer, and written as versions of their own; else RIS_TOP_K are only kept."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="What to call it.")] = "",
    no_push: Annotated[bool, typer.Option("--no-push", help="Keep the answers in the ledger only.")] = False,
    add: Annotated[
        bool, typer.Option("--add", help="Where other queries were answered, answer these too, in one prediction.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Where other queries were answered, put these in their place.")
    ] = False,
    notify: Annotated[str | None, typer.Option(help="Address that is told by POST how it ends.")] = None,
    preview: Annotated[
        int, typer.Option(min=0, help="Do so many tasks first, show them and what all will take, and ask.")
    ] = 0,
    sheet: Annotated[Path, typer.Option(help="Picture that a preview is drawn to.")] = Path("preview.png"),
    yes: Annotated[bool, typer.Option("--yes", help="Go on after a preview without asking.")] = False,
) -> None:
    """Ask expressions of a project's tasks and write the masks to Label Studio, one prediction a task."""
    from backend.runs.spec import RunSpec, read_tasks

    if add and replace:
        raise BadSettings("--add and --replace exclude each other. Leave one out.")
    spec = RunSpec(
        project=project,
        expressions=tuple(expression or ()),
        expression_field=expression_field,
        per_label=per_label,
        tasks=read_tasks(tasks) if tasks else None,
        view=view,
        only_unlabelled=only_unlabelled,
        min_score=min_score,
        top_k=top_k,
        name=name,
        push=not no_push,
        notify=notify,
        mode="add" if add else "replace" if replace else "new",
        preview=preview,
    )
    settings = read_settings()
    store = open_ledger(settings)
    run = plan_here(settings, store, spec)
    if run.state == "preview":
        _show_preview(settings, store, run, sheet, yes)
    show(settings, store, run.id)


def list_runs(
    project: Annotated[int | None, typer.Option(help="Only those of this project.")] = None, as_json: Json = False
) -> None:
    """Every run, newest first, with how far it is."""
    import json

    from backend.runs import summary

    store = open_ledger(read_settings())
    rows = [summary.look(store, run.id, None) for run in store.list_runs(project=project)]
    typer.echo(json.dumps([row.to_json() for row in rows]) if as_json else summary.table(rows))


def status(
    run: RunId,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again until it is over.")] = False,
    as_json: Json = False,
) -> None:
    """How a run stands: states, rate, time left, workers, the latest failures."""
    import json

    from backend.runs.store import OVER

    settings = read_settings()
    store = open_ledger(settings)
    while True:
        seen = _look(settings, store, run)
        if watch and sys.stdout.isatty():
            typer.echo("\033[H\033[2J", nl=False)
        typer.echo(json.dumps(seen.to_json()) if as_json else seen.to_text())
        if not watch or seen.run.state in (*OVER, "paused"):
            return
        time.sleep(WATCH_S)


def pause(run: RunId) -> None:
    """Let a run rest; what is at work is finished."""
    _treat(run, "pause")


def resume(
    run: RunId,
    with_version: Annotated[
        str | None,
        typer.Option(
            help="Let workers of this model version answer what is left, as after an upgrade.", metavar="VERSION"
        ),
    ] = None,
) -> None:
    """Let a run that rests go on; of one with a preview, all of it."""
    _treat(run, "resume", with_version=with_version)


def cancel(run: RunId) -> None:
    """End a run; what is written stays."""
    _treat(run, "cancel")


def retry(run: RunId) -> None:
    """Try a run's failed tasks again."""
    _treat(run, "retry")


def failures(run: RunId, as_json: Json = False) -> None:
    """Why tasks of a run failed: a line each."""
    import json
    from dataclasses import asdict

    store = open_ledger(read_settings())
    named = store.get(run)
    found = store.counts.failures(named.id)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found]))
        return
    if not found:
        typer.echo(f"No task of the run {named.id} failed." + (f" {one_line(named.note)}" if named.note else ""))
    for one in found:
        typer.echo(one_line(f"task {one.task}  {one.reason}: {one.error}"))


def wait(
    run: RunId,
    timeout: Annotated[float | None, typer.Option(help="Give up after so many seconds.")] = None,
) -> None:
    """Wait until a run is over; exits with 1 if tasks failed or it did not end well."""
    from backend.runs import control

    settings = read_settings()
    store = open_ledger(settings)
    seen = control.wait(store, run, timeout)
    show(settings, store, seen.id)
    if seen.state != "done" or store.counts.by_state(seen.id).get("failed"):
        raise typer.Exit(HAS_FAILURES)


def plan_here(settings: Settings, store: "RunStore", spec: "RunSpec") -> "Run":
    """Make a run and plan it here, so that what is wrong with it is said at once.

    Raises:
        BadRun: If it cannot be planned.
    """
    from backend.db.request_store import open_request_store
    from backend.runs import control, planner
    from backend.runs.spec import BadRun
    from backend.transport import redis_client, redis_server

    conn = redis_client.connect(redis_server.resolve_url(settings.redis_url, settings.state_dir))
    studio = open_studio(settings)
    run = control.create(store, open_request_store(settings.sql_url), conn, spec)
    told = ""
    while run.state == "planning":
        if (fence := store.take_lease(run.id, PLANNER)) is not None:
            run = planner.plan(store, studio, run, fence)
            store.drop_lease(run.id, fence)
        if run.state == "planning":
            first = store.list_runs(("planning",), run.project)[-1]
            if first.id != run.id and told != (told := f"The run {first.id} is planned first. {first.note or ''}"):
                typer.echo(one_line(told), err=True)
            time.sleep(1.0)  # or a worker has taken this one
            run = store.get(run.id)
    if run.state == "failed":
        raise BadRun(run.note or "The run cannot be planned.")
    return run


def _show_preview(settings: Settings, store: "RunStore", run: "Run", sheet: Path, yes: bool) -> None:
    """Wait for the first tasks, show them, and ask whether to go on."""
    import cv2

    from backend.runs import control, preview
    from backend.worker import wiring
    from ris_core.types import Image

    typer.echo(f"run {run.id}: the first {run.spec.preview} tasks …")
    while any(store.counts.by_state(run.id).get(state) for state in ("new", "running")):
        time.sleep(0.5)
        if store.get(run.id).state != "preview":
            return
    items = store.counts.answered(run.id, run.spec.preview)
    if not items:
        typer.echo("None of them was answered.")
    else:
        fetcher = wiring.make_fetcher(settings)

        def open_image(item: Any) -> Image:
            return Image.open(fetcher.fetch(item.image, task_id=item.task), settings.max_image_pixels)

        if not cv2.imwrite(str(sheet), preview.draw(items, open_image)[..., ::-1]):
            raise BadSettings(
                f"The sheet cannot be written to {sheet}. Name a .png or .jpg file in a folder that exists."
            )
        seen = _look(settings, store, run.id)
        found = preview.estimate(
            items,
            sum(store.counts.stage_seconds().values()),
            seen.total,
            seen.workers or 1,
            read_config(run.label_config or "").controls[0],
            preview.bytes_of_an_image(settings.state_dir / "features"),
            run.spec.top_k or 1,
        )
        typer.echo(f"{sheet} shows them.\n{found.to_text()}")
    if yes or (sys.stdin.isatty() and typer.confirm("Go on with all of them?", default=False)):
        control.resume(store, store.get(run.id))
    else:
        typer.echo(f"It waits: `ris run resume {run.id}` goes on, `ris run cancel {run.id}` ends it.")


def _treat(run_id: str, verb: str, **how: Any) -> None:
    from backend.runs import control

    settings = read_settings()
    store = open_ledger(settings)
    run = store.get(run_id)
    number = getattr(control, verb)(store, run, **how)
    if number is not None:
        typer.echo(control.tell(store, run, verb, number))
    show(settings, store, run.id)


def show(settings: Settings, store: "RunStore", run_id: str) -> None:
    """Print how a run stands."""
    typer.echo(_look(settings, store, run_id).to_text())


def _look(settings: Settings, store: "RunStore", run_id: str) -> "RunStatus":
    from backend.runs import summary
    from backend.transport import redis_client, redis_server, worker_registry

    try:
        conn = redis_client.connect(redis_server.resolve_url(settings.redis_url, settings.state_dir))
        workers = sum(worker.state == "ready" for worker in worker_registry.list_workers(conn))
    except Unreachable:
        workers = None
    return summary.look(store, run_id, workers)


def open_ledger(settings: Settings) -> "RunStore":
    """The ledger that the settings name.

    Raises:
        BadSettings: If nothing has run with these settings.
    """
    from backend.commands.state import check_state
    from backend.runs import store

    check_state(settings)
    return store.open_run_store(settings.sql_url)


def open_studio(settings: Settings) -> "RunClient":
    """The Label Studio that the settings name.

    Raises:
        BadSettings: If its address or token is not set.
    """
    from backend.runs.studio_client import RunClient

    if not (settings.label_studio_url and settings.label_studio_api_key):
        raise BadSettings("Label Studio is not known. Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.")
    return RunClient(settings.label_studio_url, settings.label_studio_api_key.get_secret_value())


runs = typer.Typer(no_args_is_help=True, help="Bulk runs: expressions asked of a whole project, written once a task.")
runs.command("list")(list_runs)
for command in (start, status, pause, resume, cancel, retry, failures, wait):
    runs.command()(command)
