"""The supervisor: a thread of each worker that keeps runs going. It feeds the queue from the run store, plans, writes and closes runs.

Any worker's thread may feed the queue and take items from dead workers. Only the run's supervisor, the thread that holds its lease,
plans, writes and closes a run. So nothing needs to be started beside workers, and no worker is special.
"""

import threading
import time
from collections.abc import Callable, Mapping

import redis
import structlog

from backend.base.errors import BadSettings, Unreachable
from backend.runs import notification, planner
from backend.runs.job_id import make_job_id
from backend.runs.leases import LeaseLost
from backend.runs.run import AT_WORK, Run
from backend.runs.store import RunStore
from backend.runs.studio_client import RunClient
from backend.runs.watching import ProjectWatch
from backend.runs.worker_state import WorkerState
from backend.runs.writer import PredictionWriter
from backend.transport import queueing, worker_registry
from ris_core.errors import RisError

log = structlog.get_logger(__name__)

TICK_S = 1.0
JOBS_PER_WORKER = 2
"""Jobs of a run that wait or run, for each worker: one that runs, one behind it. More would only fill Redis."""
JOB_TIMEOUT_S = 600.0
"""How long one job, and so one item, may run."""
UNHEARD_S = 15.0
"""How long ago an item must have begun to be taken from a worker that Redis does not know: Redis may just have lost its data."""
FORGOTTEN_S = 5.0
"""An item that its own worker does not work on after this time was left behind, as when the database was locked."""
RETRY_S = (5.0, 60.0)
"""First and longest pause of writing while Label Studio does not answer."""
REST = 3.0
"""After writing, Label Studio is left alone for this many times as long as writing took: annotators work there."""
JOIN_S = 10.0


class RunSupervisor:
    """Keeps runs going from a thread of its own, while it is entered.

    Args:
        run_store: The record of runs.
        conn: Redis.
        make_studio: Opens Label Studio for a project.
        worker_state: This worker's; jobs change it in another thread.
    """

    def __init__(
        self, run_store: RunStore, conn: redis.Redis, make_studio: Callable[[int], RunClient], worker_state: WorkerState
    ) -> None:
        self._run_store, self._conn, self._make_studio, self._worker_state = run_store, conn, make_studio, worker_state
        self._watch = ProjectWatch(run_store)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def __enter__(self) -> "RunSupervisor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(JOIN_S)

    def tick(self) -> None:
        """Do what is due now, for every run.

        Raises:
            Unreachable: If Redis or the database does not answer.
        """
        runs = self._run_store.list_runs(AT_WORK)
        workers = None  # None: it is another worker's turn to look after all, or there is nothing to look after
        if (runs or self._run_store.claims.list_running()) and worker_registry.take_turn(self._conn):
            workers = {info.name: info for info in worker_registry.list_workers(self._conn)}
        self._take_from_the_dead(workers)
        for run in reversed(runs):  # the oldest first
            if workers is not None and run.state in ("running", "preview"):
                self._feed(run, sum(worker.state == "ready" for worker in workers.values()))
        for run in reversed(runs):
            if not self._stop.is_set():
                self._attend(run)
        notification.notify_all(self._run_store)

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            try:
                self.tick()
            except RisError as error:
                log.warning("runs wait", error=str(error))
            except Exception:  # a thread that ends would leave its runs without a supervisor until the worker restarts
                log.exception("unexpected")
        self._leave()

    def _leave(self) -> None:
        """Let others become supervisors at once."""
        try:
            for run in self._run_store.list_runs(AT_WORK):
                if run.supervisor == self._worker_state.worker:
                    self._run_store.leases.drop(run.id, run.fence)
        except RisError as error:
            log.warning("leases are left to expire", error=str(error))

    # Any worker's

    def _take_from_the_dead(self, workers: Mapping[str, worker_registry.WorkerInfo] | None) -> None:
        """Let items begin again that no worker works on.

        Args:
            workers: Those that live, by name; None to look at this worker's own items only.
        """
        now = time.time()
        for run_id, task, worker, began in self._run_store.claims.list_running():
            if worker == self._worker_state.worker:
                is_abandoned = (run_id, task) not in self._worker_state.at_work and now - began > FORGOTTEN_S
            elif workers is None:
                continue
            elif worker in workers:
                is_abandoned = not worker_registry.is_running(workers[worker])
            else:
                is_abandoned = now - began > UNHEARD_S
            if is_abandoned or now - began > 2 * JOB_TIMEOUT_S:
                state = self._run_store.claims.take_from(run_id, task, worker)
                log.warning("a worker died over an item", run=run_id, task=task, worker=worker, state=state)

    def _feed(self, run: Run, workers: int) -> None:
        """Have a few jobs of a run in the queue, as long as it has items to begin."""
        if run.hold_until > time.time():
            return
        number = self._run_store.items.count_beginnable(run.id, JOBS_PER_WORKER * max(1, workers))
        job_ids = [make_job_id(run.id, slot) for slot in range(number)]
        queueing.fill(self._conn, queueing.WORK_ON_RUN, job_ids, "bulk", JOB_TIMEOUT_S)

    # The supervisor's alone

    def _attend(self, run: Run) -> None:
        """Do what is due for a run, if this worker is, or may become, its supervisor."""
        now = time.time()
        if run.push_at > now or (run.supervisor != self._worker_state.worker and run.lease_until > now):
            return
        fence = self._run_store.leases.take(run.id, self._worker_state.worker)
        if fence is None:
            return
        with structlog.contextvars.bound_contextvars(run=run.id):
            try:
                self._advance(run, fence)
            except LeaseLost as error:
                log.warning("lease lost", error=str(error))
            except BadSettings as error:
                self._run_store.change(run.id, "failed", str(error), only_from=("planning",))
                self._run_store.change(run.id, "paused", f"{error} Then `ris run resume {run.id}`.", only_from=AT_WORK)
                log.error("the run stops", error=str(error))
            except Unreachable as error:
                wait_s = self._run_store.hold_writing(run.id, str(error), *RETRY_S)
                log.warning("writing waits", wait_s=round(wait_s, 1), error=str(error))

    def _advance(self, run: Run, fence: int) -> None:
        is_retried = run.state == "running" and bool(self._run_store.items.in_state(run.id, "retrying", limit=1))
        is_watched = self._watch.is_due(run)
        needs_studio = run.does_push or run.state == "planning" or is_retried or is_watched
        studio = self._make_studio(run.project) if needs_studio else None
        try:
            if studio and is_watched and (number := self._watch.look(studio, run, fence)):
                log.info("later tasks joined", tasks=number)
            if studio and is_retried:
                planner.plan_again(self._run_store, studio, run, fence)
            if studio and run.state == "planning":
                planned = planner.plan(self._run_store, studio, run, fence)
                log.info("planned", state=planned.state, skipped=planned.skipped, note=planned.note)
            elif run.state == "cancelling":
                self._clear_up(studio, run, fence)
            elif run.state == "running":
                self._push_or_close(studio, run, fence)
        finally:
            if studio:
                studio.close()

    def _clear_up(self, studio: RunClient | None, run: Run, fence: int) -> None:
        """Find out what was written when the run was cancelled; then close it."""
        if studio and self._run_store.items.has_open(run.id):
            PredictionWriter(self._run_store, studio, run, fence).settle()
        self._run_store.items.cancel(run.id)
        self._run_store.change(run.id, "cancelled", None, only_from=("cancelling",))

    def _push_or_close(self, studio: RunClient | None, run: Run, fence: int) -> None:
        prediction_writer = PredictionWriter(self._run_store, studio, run, fence) if studio else None
        if prediction_writer and (seconds := prediction_writer.push()) is not None:
            self._run_store.pause_writing(run.id, REST * seconds)
            log.info("written", seconds=round(seconds, 2))
        elif run.spec.watch or self._run_store.items.has_open(run.id):
            return
        elif prediction_writer is None or prediction_writer.sweep():
            self._close(studio, run)

    def _close(self, studio: RunClient | None, run: Run) -> None:
        counts = self._run_store.counts.by_state(run.id)
        versions = self._run_store.counts.versions(run.id)
        if studio and run.model_version and counts.get("done"):
            # Label Studio does not know a version that wrote nothing
            version = run.model_version if run.model_version in versions else max(versions, key=versions.__getitem__)
            studio.show_version(run.project, version)
        failed = counts.get("failed", 0)
        note = f"{failed} failed: see `ris run failures {run.id}`." if failed else None
        if self._run_store.change(run.id, "done", note, only_from=("running",)):
            log.info("run done", **counts)
