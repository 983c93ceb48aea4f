"""Planning: which tasks a run is about, what is asked of each, and what of that was answered before."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from backend.base.errors import BadSettings
from backend.label_studio import protocol
from backend.label_studio.label_config import LabelConfig, read_config
from backend.label_studio.protocol import Task
from backend.runs import queries
from backend.runs.item import AnsweredTask, PlannedItem, RunItem
from backend.runs.queries import Query
from backend.runs.run import Run
from backend.runs.spec import BadRun, RunSpec
from backend.runs.store import RunStore
from backend.runs.studio_client import RunClient
from ris_core.errors import BadExpression, BadInput

GONE = "The task is not in Label Studio any more."


def plan(run_store: RunStore, studio: RunClient, run: Run, fence: int) -> Run:
    """Record a run's tasks, page by page, going on where somebody may have stopped; then let it run.

    Runs of a project are planned in the order they were asked for, so that no two take up the same task: one whose turn has
    not come is returned as it is. What is wrong with the run is recorded as its failure.

    Returns:
        The run as it stands then.

    Raises:
        BadSettings: If Label Studio does not accept the token.
        LeaseLost: If somebody else is its steward.
        Unreachable: If Label Studio or the database does not take part.
    """
    waiting = run_store.list_runs(("planning",), run.project)
    if waiting and waiting[-1].id != run.id:
        return run
    try:
        _plan(run_store, studio, run, fence)
    except BadSettings:
        raise
    except BadInput as error:
        run_store.change(run.id, "failed", str(error), only_from=("planning",), is_refused=True)
        run_store.items.cancel(run.id)
    return run_store.get(run.id)


def plan_again(run_store: RunStore, studio: RunClient, run: Run, fence: int) -> None:
    """Let the items that are tried again begin, with what their tasks say now: an image's address may have run out.

    Raises:
        BadSettings: If Label Studio does not accept the token.
        LeaseLost: If somebody else is the run's steward.
        Unreachable: If Label Studio or the database does not take part.
    """
    config = read_config(run.label_config or "")
    while items := {item.task: item for item in run_store.items.in_state(run.id, "retrying")}:
        gone = dict(items)
        for tasks in _pages(studio, replace(run.spec, tasks=tuple(items), view=None, only_unlabelled=False)):
            planned = [_plan_once_more(run.spec, config, task, gone.pop(int(task.id))) for task in tasks]
            run_store.leases.renew(run.id, fence)
            run_store.items.plan_again(run.id, fence, planned)
        run_store.writes.move(run.id, fence, gone, "failed", GONE, "task gone")


def begin(run_store: RunStore, run: Run) -> None:
    """Let a planned run start; one without a task to do is over at once."""
    counts = run_store.counts.by_state(run.id)
    if not sum(counts.values()):
        note = "There is nothing to do: these queries were answered before." if run.skipped else "No task was found."
        run_store.change(run.id, "done", note, only_from=("planning",))
        return
    run_store.change(run.id, "preview" if run.spec.preview else "running", None, only_from=("planning",))


def plan_tasks(
    run_store: RunStore, run: Run, config: LabelConfig, tasks: Sequence[Task]
) -> tuple[list[PlannedItem], int]:
    """What becomes of these tasks, and how many were answered before.

    Raises:
        BadRun: If other queries were answered before, and the run may neither add to them nor replace them.
    """
    planned, skipped = [], 0
    known = _known(run_store, run, tasks)
    for task in tasks:
        one = _plan_task(run.spec, config, task)
        before = known.get(one.task)
        if before is None or one.error is not None:
            planned.append(one)
        elif _is_answered(run.spec, before, one.queries):
            skipped += 1
        else:
            planned.append(_plan_again(run.spec, one, before))
    return planned, skipped


def _plan(run_store: RunStore, studio: RunClient, run: Run, fence: int) -> None:
    if run.label_config is None:
        run_store.leases.note_plan(run.id, fence, label_config=studio.label_config(run.spec))
        run = run_store.get(run.id)
    config = read_config(run.label_config or "")
    after: int | None = run.planned_to
    while after is not None:
        tasks, after = studio.list_tasks(run.spec, after)
        planned, skipped = plan_tasks(run_store, run, config, tasks)
        _add(run_store, run, planned)
        run_store.leases.note_plan(run.id, fence, planned_to=after or run.planned_to, skipped=run.skipped + skipped)
        run_store.leases.renew(run.id, fence)
        run = run_store.get(run.id)
    begin(run_store, run)


def _add(run_store: RunStore, run: Run, planned: Sequence[PlannedItem]) -> None:
    """Record items; of a run with a preview all but the first few are held."""
    room = len(planned)
    if run.spec.preview:
        room = max(0, run.spec.preview - sum(run_store.counts.by_state(run.id).values()))
        run_store.items.add(run.id, planned[room:], "held")
    run_store.items.add(run.id, planned[:room])


def _known(run_store: RunStore, run: Run, tasks: Sequence[Task]) -> dict[int, AnsweredTask]:
    if not run.does_push or run.model_version is None:
        return {}
    return run_store.items.known(run.project, run.model_version, [int(task.id) for task in tasks], but=run.id)


def _pages(studio: RunClient, spec: RunSpec) -> Iterator[Sequence[Task]]:
    after: int | None = 0
    while after is not None:
        tasks, after = studio.list_tasks(spec, after)
        yield tasks


def _plan_once_more(spec: RunSpec, config: LabelConfig, task: Task, item: RunItem) -> PlannedItem:
    """A task as it is now; what is added to, or put in the place of, another run's answers stays as it was."""
    now = _plan_task(spec, config, task)
    return now if item.replaces is None else replace(now, queries=item.queries, replaces=item.replaces)


def _plan_task(spec: RunSpec, config: LabelConfig, task: Task) -> PlannedItem:
    image = protocol.read_field(task.data, config.image_key)
    if image is None:
        error = f"The task has no image address in the field {config.image_key!r}. Import it, or correct <Image>."
        return PlannedItem(int(task.id), "", (), error=error)
    if spec.kind == "warm":
        return PlannedItem(int(task.id), image, ())
    try:
        return PlannedItem(int(task.id), image, queries.make_queries(spec, config, task.data))
    except BadExpression as error:
        return PlannedItem(int(task.id), image, (), error=str(error))


def _is_answered(spec: RunSpec, before: AnsweredTask, wanted: Sequence[Query]) -> bool:
    """Whether nothing is left to do; to replace is something to do also where less is wanted than there is."""
    return queries.has_all(before.queries, wanted) and (
        spec.mode != "replace" or queries.has_all(wanted, before.queries)
    )


def _plan_again(spec: RunSpec, one: PlannedItem, before: AnsweredTask) -> PlannedItem:
    if spec.mode == "new":
        raise BadRun(
            f"Task {one.task} was asked other queries by the run {before.run} at this model version. Give --add to have both "
            "answered in one prediction, or --replace to put these in their place."
        )
    if not before.is_done:
        raise BadRun(f"The run {before.run} is still at task {one.task}. Wait for it, or cancel it.")
    wanted = queries.merge(before.queries, one.queries) if spec.mode == "add" else one.queries
    return PlannedItem(one.task, one.image, wanted, replaces=before.run)
