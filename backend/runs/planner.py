"""Planning: which tasks a run has, the queries of each, and which of these were answered before."""

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
    """Record a run's tasks page by page, from where planning stopped before; then let it run.

    Runs of a project are planned in the order in which they were created, so that no two take the same task: a run whose turn has
    not come is returned unchanged. If something is wrong with the run, that is recorded as its failure.

    Returns:
        The run as it is then.

    Raises:
        BadSettings: If Label Studio does not accept the token.
        LeaseLost: If another worker is its supervisor.
        Unreachable: If Label Studio or the database does not answer.
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
    """Let the items that are tried again begin, as their tasks are now: the URL of an image may have expired.

    Raises:
        BadSettings: If Label Studio does not accept the token.
        LeaseLost: If another worker is the run's supervisor.
        Unreachable: If Label Studio or the database does not answer.
    """
    config = read_config(run.label_config or "")
    while items := {item.task: item for item in run_store.items.in_state(run.id, "retrying")}:
        missing = dict(items)
        for tasks in _pages(studio, replace(run.spec, tasks=tuple(items), view=None, only_unlabelled=False)):
            again = [_plan_once_more(run.spec, config, task, missing.pop(int(task.id))) for task in tasks]
            run_store.leases.renew(run.id, fence)
            run_store.items.plan_again(run.id, fence, again)
        run_store.writes.move(run.id, fence, missing, "failed", GONE, "task gone")


def plan_later(run_store: RunStore, studio: RunClient, run: Run, fence: int, after: int) -> int:
    """Record the tasks that are not a run's yet, as those that were imported since it was planned; how many.

    None while another run of the project is planned, so that no two take the same task. If a task cannot join, the run pauses.

    Args:
        after: Tasks with ids up to this one are not looked at.

    Raises: As `plan` does.
    """
    if run_store.list_runs(("planning",), run.project):
        return 0
    config, added, position = read_config(run.label_config or ""), 0, after
    try:
        while True:
            tasks, next_position = studio.list_tasks(run.spec, position)
            known = run_store.items.list_known(run.id, [int(task.id) for task in tasks])
            later = [task for task in tasks if int(task.id) not in known]
            items, _ = plan_tasks(run_store, run, config, later)
            added += run_store.items.add(run.id, items)
            left_out = {int(task.id) for task in later} - {item.task for item in items}
            skipped = sum(task > run.planned_to for task in left_out)
            planned_to = max(run.planned_to, next_position or 0)
            run_store.leases.note_plan(run.id, fence, planned_to=planned_to, skipped=run.skipped + skipped)
            run_store.leases.renew(run.id, fence)
            run = run_store.get(run.id)
            if next_position is None:
                break
            position = next_position
    except BadInput as error:
        note = f"{error} Or cancel this run: `ris run cancel {run.id}`."
        run_store.change(run.id, "paused", note, only_from=("running",))
    if added and run.does_push:
        run_store.items.leave_taken_up(run.id)
    return added


def begin(run_store: RunStore, run: Run) -> None:
    """Let a planned run start; a run without tasks is over at once, unless it watches for some."""
    counts = run_store.counts.by_state(run.id)
    if not sum(counts.values()) and not run.spec.watch:
        note = "There is nothing to do: these queries were answered before." if run.skipped else "No task was found."
        run_store.change(run.id, "done", note, only_from=("planning",))
        return
    if run.spec.pilot:
        run_store.items.release_sample(run.id, run.spec.pilot)
    run_store.change(run.id, "preview" if run.spec.first else "running", None, only_from=("planning",))


def plan_tasks(
    run_store: RunStore, run: Run, config: LabelConfig, tasks: Sequence[Task]
) -> tuple[list[PlannedItem], int]:
    """The items that these tasks become, and how many of them were answered before.

    Raises:
        BadRun: If other queries were answered before, and the run may neither add to them nor replace them.
    """
    items, skipped = [], 0
    earlier_answers = _list_answered(run_store, run, tasks)
    left_out = set(run.spec.leave_out)
    for task in (one for one in tasks if int(one.id) not in left_out):
        one = _plan_task(run.spec, config, task)
        earlier = earlier_answers.get(one.task)
        if earlier is None or one.error is not None:
            items.append(one)
        elif _is_answered(run.spec, earlier, one.queries):
            skipped += 1
        else:
            items.append(_plan_with(run.spec, one, earlier))
    return items, skipped


def _plan(run_store: RunStore, studio: RunClient, run: Run, fence: int) -> None:
    if run.label_config is None:
        run_store.leases.note_plan(run.id, fence, label_config=studio.label_config(run.spec))
        run = run_store.get(run.id)
    config = read_config(run.label_config or "")
    after: int | None = run.planned_to
    while after is not None:
        tasks, after = studio.list_tasks(run.spec, after)
        items, skipped = plan_tasks(run_store, run, config, tasks)
        _add(run_store, run, items)
        run_store.leases.note_plan(run.id, fence, planned_to=after or run.planned_to, skipped=run.skipped + skipped)
        run_store.leases.renew(run.id, fence)
        run = run_store.get(run.id)
    begin(run_store, run)


def _add(run_store: RunStore, run: Run, items: Sequence[PlannedItem]) -> None:
    """Record items; of a run with a preview all but the first few are held back, of one with a pilot all."""
    room = len(items)
    if run.spec.first:
        room = max(0, run.spec.preview - sum(run_store.counts.by_state(run.id).values()))
        run_store.items.add(run.id, items[room:], "held")
    run_store.items.add(run.id, items[:room])


def _list_answered(run_store: RunStore, run: Run, tasks: Sequence[Task]) -> dict[int, AnsweredTask]:
    if not run.does_push or run.model_version is None:
        return {}
    return run_store.items.list_answered(run.project, run.model_version, [int(task.id) for task in tasks], but=run.id)


def _pages(studio: RunClient, spec: RunSpec) -> Iterator[Sequence[Task]]:
    after: int | None = 0
    while after is not None:
        tasks, after = studio.list_tasks(spec, after)
        yield tasks


def _plan_once_more(spec: RunSpec, config: LabelConfig, task: Task, item: RunItem) -> PlannedItem:
    """A task as it is now. Queries that add to another run's answers, or replace them, stay as they were."""
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


def _is_answered(spec: RunSpec, earlier: AnsweredTask, wanted: Sequence[Query]) -> bool:
    """Whether nothing is left to do. Replacing is not done as long as the earlier run answered more queries than these."""
    return queries.has_all(earlier.queries, wanted) and (
        spec.mode != "replace" or queries.has_all(wanted, earlier.queries)
    )


def _plan_with(spec: RunSpec, one: PlannedItem, earlier: AnsweredTask) -> PlannedItem:
    """A task that an earlier run answers with other queries: what `mode` makes of both.

    Raises:
        BadRun: If `mode` allows neither, or the earlier run is not done with the task.
    """
    if spec.mode == "new":
        raise BadRun(
            f"Task {one.task} was asked other queries by the run {earlier.run} at this model version. Give --add to answer both in "
            "one prediction, or --replace to replace those by these."
        )
    if not earlier.is_done:
        raise BadRun(f"The run {earlier.run} has not finished task {one.task}. Wait for it, or cancel it.")
    both = queries.merge(earlier.queries, one.queries) if spec.mode == "add" else one.queries
    return PlannedItem(one.task, one.image, both, replaces=earlier.run)
