"""What people do with runs, by command line or HTTP: create, pause, resume, cancel, try again."""

import re
import time
from dataclasses import replace

import redis

from backend.base.errors import Unreachable
from backend.base.redaction import learn_address, reason_of
from backend.db.request_store import RequestStore
from backend.runs.items import PAGE
from backend.runs.run import OVER, Run, RunState
from backend.runs.spec import BadRun, RunSpec
from backend.runs.store import RunStore
from backend.runs.thresholds import with_min_score
from backend.settings.project import read_project_settings
from backend.settings.values import read_listener_url
from backend.transport import worker_registry

_VERSION = re.compile(r"[\w.+-]{1,200}")


def create(run_store: RunStore, store: RequestStore, conn: redis.Redis, spec: RunSpec) -> Run:
    """Record a run that is yet to be planned, with the model version that workers have now, and what was learnt for its project.

    Raises:
        BadRun: If its `notify` is not an address that may be called.
        Unreachable: If no worker has ever reported its version.
    """
    if spec.notify:
        try:
            spec = replace(spec, notify=read_listener_url(spec.notify))
        except ValueError as error:
            raise BadRun(
                f"notify is not an address that can be notified: {reason_of(error)}.", "Write https://host/path."
            ) from None
        learn_address(spec.notify or "")
    connection = store.projects.get_connection(spec.project)
    profile = read_project_settings(connection.extra_params if connection else {}).profile
    version = worker_registry.model_version(conn, profile)
    if version is None:
        raise Unreachable("No worker has reported its model version yet. Start one with `ris up` or `ris worker`.")
    return run_store.add_run(spec, store.lessons.name_version(spec.project, version))


def pause(run_store: RunStore, run: Run) -> None:
    """Pause a run; items that workers have begun are finished.

    Raises:
        BadRun: If it is not running.
    """
    if not run_store.change(run.id, "paused", "paused by hand", only_from=("running", "preview")):
        raise BadRun(f"The run {run.id} is {run_store.get(run.id).state}, so it cannot be paused.")


def resume(run_store: RunStore, run: Run, with_version: str | None = None, min_score: float | None = None) -> None:
    """Let a paused run go on; after a preview or pilot, also the items that were held back for it.

    Args:
        min_score: In [0, 1]: after a preview or pilot, the threshold from now on, also of what is answered. No model is needed.
        with_version: Answer the remaining items with this model version, as after an upgrade; each item keeps the version that
            answered it. A running run without workers of its version takes it too.

    Raises:
        BadRun: If it is not paused, the version is not written like one, or the threshold cannot be applied.
    """
    if with_version is not None and not _VERSION.fullmatch(with_version):
        raise BadRun(f"The version is {with_version[:80]!r}; give one that a worker reports: `ris doctor` lists them.")
    states: tuple[RunState, ...] = ("paused", "preview") if with_version is None else ("paused", "preview", "running")
    if min_score is not None:
        _apply_min_score(run_store, run, min_score)
    if not run_store.change(run.id, "running", None, only_from=states, model_version=with_version):
        raise BadRun(f"The run {run.id} is {run_store.get(run.id).state}, so it cannot be resumed.")
    if with_version is not None:
        run_store.items.leave_taken_up(run.id)
    run_store.items.release_held(run.id)


def _apply_min_score(run_store: RunStore, run: Run, min_score: float) -> None:
    """Choose again what is handed out of the first tasks; doing so twice changes nothing more."""
    replace(run.spec, min_score=min_score)  # raises if it is none
    counts = run_store.counts.by_state(run.id)
    if waiting := sum(counts.get(state, 0) for state in ("new", "running", "retrying")):
        raise BadRun(f"{waiting} of the first tasks are not answered yet. Wait for them, then give --min-score.")
    if run.state != "preview" or not run_store.set_min_score(run.id, min_score):
        raise BadRun(
            f"The run {run.id} does not wait after a preview or pilot, so its min_score is fixed. Leave it out."
        )
    after = -1
    while items := run_store.counts.answered(run.id, PAGE, after):
        chosen = {item.task: with_min_score(item, min_score) for item in items}
        run_store.items.replace_answers(run.id, run.project, chosen)
        after = items[-1].task


def finish(run_store: RunStore, run: Run) -> None:
    """Let no later tasks join a run that watches its project; it ends when those that it has are done.

    Raises:
        BadRun: If it watches none, or is over.
    """
    if not run_store.stop_watching(run.id):
        state = run_store.get(run.id).state
        raise BadRun(f"The run {run.id} is {state} and waits for no later tasks, so there is nothing to finish.")


def cancel(run_store: RunStore, run: Run) -> int:
    """End a run; predictions that are written stay. How many tasks are left out.

    Raises:
        BadRun: If it is over.
    """
    if not run_store.change(run.id, "cancelling", None, only_from=("planning", "preview", "running", "paused")):
        raise BadRun(f"The run {run.id} is {run_store.get(run.id).state}, so there is nothing to cancel.")
    number = run_store.items.cancel(run.id)
    if not run_store.items.has_open(run.id):
        run_store.change(run.id, "cancelled", None, only_from=("cancelling",))
    return number


def retry(run_store: RunStore, run: Run) -> int:
    """Try a run's failed tasks again; how many.

    Raises:
        BadRun: If it was cancelled, or is not planned yet.
    """
    if run.state not in ("done", "running", "paused"):
        state = "refused" if run.is_refused else run.state
        raise BadRun(f"The run {run.id} is {state}, so its tasks cannot be tried again.")
    number = run_store.items.retry(run.id)
    if number:
        run_store.change(run.id, "running", None, only_from=("done",))
    return number


def describe_result(run_store: RunStore, run: Run, verb: str, number: int) -> str:
    """The result of cancelling a run or trying it again, in words."""
    if number:
        return f"{number} tasks."
    if verb == "cancel":
        return "No task was left to do, so none is left out."
    failed = run_store.counts.by_state(run.id).get("failed", 0)
    if failed:
        return f"Nothing is tried again: other runs have taken up the {failed} that failed."
    return "Nothing is tried again: no task failed."


def wait(run_store: RunStore, run_id: str, timeout_s: float | None = None, poll_s: float = 1.0) -> Run:
    """Wait until a run is over or paused, or the time is up; the run as it is then."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while (run := run_store.get(run_id)).state not in (*OVER, "paused"):
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(poll_s)
    return run
