"""`ris run start`: plans a run here, and shows its preview."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.errors import BadSettings
from backend.base.terminal import Column, Progress, print_table
from backend.commands.options import OnlyUnlabelled, Project, Tasks, View
from backend.commands.run_status import look, show
from backend.commands.state import open_runs
from backend.commands.studio import open_run_client
from backend.label_studio.label_config import read_config
from backend.settings.environment import Settings, read_settings
from ris_core.output.plain_text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backend.runs.item import RunItem
    from backend.runs.run import Run
    from backend.runs.spec import RunSpec
    from backend.runs.store import RunStore

PLANNER = "cli"
"""Holder of the lease while a run is planned by this command."""
TILES = 36
"""Tasks of the picture of a preview or pilot, at most."""
THRESHOLD_COLUMNS = (
    Column("min score", is_number=True),
    Column("masks kept", is_number=True),
    Column("tasks with a mask", is_number=True),
    Column("of all tasks (95 %)"),
)
POLL_S = 0.5
"""Seconds between two looks at the tasks of a preview."""

Expressions = Annotated[
    list[str] | None,
    typer.Option(
        "--expression",
        metavar="TEXT",
        help='Expression for every task: "the dog", or with its label "Dog: the brown one"; repeatable.',
    ),
]
ExpressionField = Annotated[
    str | None,
    typer.Option(help="Field of the task data with the expressions: a text, separated by semicolons, or a list."),
]
PerLabel = Annotated[
    bool, typer.Option("--per-label", help="Search for every label of the label config, several instances each.")
]
MinScore = Annotated[float | None, typer.Option(help="Leave out candidates with a lower score, from 0 to 1.")]
TopK = Annotated[
    int | None,
    typer.Option(
        help="Number of candidates to keep per answer; each is also written to Label Studio as a prediction version. If not "
        "given, RIS_TOP_K candidates are kept and only the selected ones are written."
    ),
]
Name = Annotated[str, typer.Option(help="Name of the run.")]
NoPush = Annotated[bool, typer.Option("--no-push", help="Keep the answers in the run records; write no predictions.")]
Add = Annotated[
    bool, typer.Option("--add", help="If a task has answers to other expressions, write both into one prediction.")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="If a task has answers to other expressions, replace these answers.")
]
Notify = Annotated[str | None, typer.Option(help="URL that gets a POST request when the run ends or pauses.")]
Preview = Annotated[
    int,
    typer.Option(min=0, help="Answer this many tasks first; show them and the cost of the whole run, then ask."),
]
Pilot = Annotated[
    int,
    typer.Option(
        min=0,
        help="As --preview, with tasks drawn at random. Also shows what each threshold keeps; "
        "`ris run resume RUN --min-score X` applies one.",
    ),
]
Watch = Annotated[
    bool, typer.Option("--watch", help="Tasks that are imported later join the run, until `ris run finish`.")
]
NotReviewed = Annotated[
    str,
    typer.Option(
        metavar="STATES",
        help="Leave out tasks whose regions are all in one of these states now, separated by commas: approved.",
    ),
]
Sheet = Annotated[Path, typer.Option(help="Image file that the preview is drawn to.")]
Yes = Annotated[bool, typer.Option("--yes", help="Continue after the preview without asking.")]


def start(
    project: Project,
    expression: Expressions = None,
    expression_field: ExpressionField = None,
    per_label: PerLabel = False,
    tasks: Tasks = None,
    view: View = None,
    only_unlabelled: OnlyUnlabelled = False,
    not_reviewed: NotReviewed = "",
    min_score: MinScore = None,
    top_k: TopK = None,
    name: Name = "",
    no_push: NoPush = False,
    add: Add = False,
    replace: Replace = False,
    notify: Notify = None,
    preview: Preview = 0,
    pilot: Pilot = 0,
    watch: Watch = False,
    sheet: Sheet = Path("preview.png"),
    yes: Yes = False,
) -> None:
    """Segment the tasks of a project. Writes the masks to Label Studio, one prediction per task."""
    from backend.runs.spec import RunSpec, read_tasks

    if add and replace:
        raise BadSettings("--add and --replace cannot be combined.", "Leave one out.")
    settings = read_settings()
    spec = RunSpec(
        project=project,
        expressions=tuple(expression or ()),
        expression_field=expression_field,
        per_label=per_label,
        tasks=read_tasks(tasks) if tasks else None,
        view=view,
        only_unlabelled=only_unlabelled,
        leave_out=find_reviewed(settings, project, not_reviewed) if not_reviewed else (),
        min_score=min_score,
        top_k=top_k,
        name=name,
        push=not no_push,
        notify=notify,
        mode="add" if add else "replace" if replace else "new",
        preview=preview,
        pilot=pilot,
        watch=watch,
    )
    store = open_runs(settings)
    run = plan_here(settings, store, spec)
    if run.state == "preview":
        _show_preview(settings, store, run, sheet, yes)
    show(settings, store, run.id)


def find_reviewed(settings: Settings, project: int, states: str) -> tuple[int, ...]:
    """The tasks of a project whose regions are all in one of the states, and say how many.

    Raises:
        BadInput: If there is no such state.
    """
    from backend.commands.corrections_read import open_reconciled
    from backend.review.decisions import read_states
    from backend.review.regions import list_finished_tasks, read_regions

    chosen = read_states("--not-reviewed", states)
    with open_reconciled(settings, project, offline=False, with_predictions=True).reading() as db:
        tasks = list_finished_tasks(read_regions(db, project), chosen)
    print(f"{len(tasks):,} tasks are left out: all their regions are {' or '.join(chosen)}.")
    return tuple(tasks)


def plan_here(settings: Settings, store: "RunStore", spec: "RunSpec") -> "Run":
    """Create a run and plan it in this process, so that its errors are printed here and not only recorded.

    Raises:
        BadRun: If it cannot be planned.
    """
    from backend.db.request_store import open_request_store
    from backend.runs import control, planner
    from backend.runs.spec import BadRun
    from backend.transport import redis_client, redis_server

    conn = redis_client.connect(redis_server.resolve_url(settings.redis_url, settings.state_dir))
    studio = open_run_client(settings)
    run = control.create(store, open_request_store(settings.sql_url), conn, spec)
    notice = ""
    with Progress(f"Planning the run {run.id}: reading the tasks of project {run.project}"):
        while run.state == "planning":
            if (fence := store.leases.take(run.id, PLANNER)) is not None:
                run = planner.plan(store, studio, run, fence)
                store.leases.drop(run.id, fence)
            if run.state == "planning":
                # Runs of one project are planned one after another; a worker may plan the first one, or this one.
                first = store.list_runs(("planning",), run.project)[-1]
                previous, notice = notice, f"The run {first.id} is planned first. {first.note or ''}"
                if first.id != run.id and notice != previous:
                    print(one_line(notice), file=sys.stderr)
                time.sleep(1.0)
                run = store.get(run.id)
    if run.state == "failed":
        raise BadRun(run.note or "The run cannot be planned.")
    return run


def _show_preview(settings: Settings, store: "RunStore", run: "Run", sheet: Path, yes: bool) -> None:
    """Wait for the first tasks, show them, and ask whether to continue."""
    from backend.runs import control

    which = f"the first {run.spec.first} tasks" if run.spec.preview else f"{run.spec.first} tasks drawn at random"
    print(f"run {run.id}: answering {which}", flush=True)
    with Progress(f"Preview of the run {run.id}", "tasks") as progress:
        counts = store.counts.by_state(run.id)
        while open_tasks := counts.get("new", 0) + counts.get("running", 0):
            first_tasks = sum(counts.values()) - counts.get("held", 0)
            progress.count(first_tasks - open_tasks, first_tasks)
            time.sleep(POLL_S)
            if store.get(run.id).state != "preview":  # somebody else resumed or cancelled it
                return
            counts = store.counts.by_state(run.id)
    items = store.counts.answered(run.id, run.spec.first)
    if items:
        _draw_sheet(settings, items[:TILES], sheet)
        print(f"See {sheet}.\n{_estimate(settings, store, run, items)}")
        if run.spec.pilot:
            _show_thresholds(items)
    else:
        print("None of these tasks was answered.")
    if yes or (sys.stdin.isatty() and typer.confirm("Continue with all tasks?", default=False)):
        control.resume(store, store.get(run.id))
    else:
        threshold = " (with a threshold: `--min-score 0.5`)" if run.spec.pilot else ""
        print(
            f"The run waits. Continue it with `ris run resume {run.id}`{threshold}, or end it with `ris run cancel {run.id}`."
        )


def _show_thresholds(items: "Sequence[RunItem]") -> None:
    """What each threshold would keep."""
    from backend.runs.thresholds import try_thresholds

    kept = try_thresholds(items)
    print(
        f"Without a threshold {kept[0].tasks} of these {kept[0].of_tasks} tasks have a mask; {kept[0].masks} masks in all."
    )
    print_table(THRESHOLD_COLUMNS, [one.to_row() for one in kept])


def _draw_sheet(settings: Settings, items: "Sequence[RunItem]", sheet: Path) -> None:
    import cv2

    from backend.runs import preview
    from backend.worker import wiring
    from ris_core.types import Image

    fetcher = wiring.make_fetcher(settings)

    def open_image(item: "RunItem") -> Image:
        return Image.open(fetcher.fetch(item.image, task_id=item.task), settings.max_image_pixels)

    with Progress(f"Drawing {sheet}"):
        is_written = cv2.imwrite(str(sheet), preview.draw(items, open_image)[..., ::-1])
    if not is_written:
        raise BadSettings(
            f"The preview cannot be written to {sheet}.", "Name a .png or .jpg file in a folder that exists."
        )


def _estimate(settings: Settings, store: "RunStore", run: "Run", items: "Sequence[RunItem]") -> str:
    """What the whole run will cost, as one line."""
    from backend.inference.cache_room import measure_need
    from backend.inference.feature_cache import FeatureCache
    from backend.runs import preview

    status = look(settings, store, run.id)
    cache = FeatureCache(settings.state_dir / "features", settings.cache_bytes)
    return preview.estimate(
        items,
        1 / (store.counts.measure_rate(run.id) or 1.0),
        status.total,
        read_config(run.label_config or "").controls[0],
        measure_need(cache, 1, with_clicks=False)[0].bytes,
        run.spec.top_k or 1,
    ).to_text()
