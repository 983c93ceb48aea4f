"""The worker: takes one job at a time, with the model loaded once; dies rather than hangs, and loses nothing by it.

A SimpleWorker of RQ: RQ's own forks hang once torch has run, and loading the model for each job takes seconds. Changed:

- A job is moved into a list of this worker's and leaves it when it is over (RQ's BLPOP on several queues loses the job
  of a worker that dies). Other workers put back what a dead worker had taken.
- A thread reports that the worker lives, also during a job, and ends the process if a job overruns its time (RQ's alarm
  does not interrupt native code).
- A job is what `jobs.ALLOWED` holds under its name; no other name and no callback is looked up or imported.
"""

import contextlib
import dataclasses
import logging
import os
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import redis
import structlog
from redis.client import Pipeline
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException
from rq.utils import now
from rq.worker import WorkerStatus

from backend.base import redaction
from backend.base.errors import Unreachable
from backend.db.snapshot import keep_copies_in
from backend.inference import gpu
from backend.inference.state_format import refuse_beside_others, state_format
from backend.settings.environment import Settings, read_settings
from backend.transport import queueing, redis_client, redis_server, worker_registry
from backend.transport.worker_registry import WorkerInfo
from backend.worker import jobs, wiring
from ris_core.errors import BadInput

log = structlog.get_logger(__name__)

POLL_S = 0.1
"""How long a job in a later queue may wait while the first is watched."""
HEARTBEAT_S = 5.0
MAINTENANCE_S = 5
"""How often dead workers are looked for."""
TIDY_REGISTRIES_S = 60.0
"""How often RQ's own registries are tidied, and RQ is told that this worker lives; each time is written to Redis's file."""
GRACE_S = 30.0
"""How long a job may overrun its time before the process ends itself."""
OVERRUN_EXIT_CODE = 70


def main() -> None:
    """Run a worker as the environment configures it, until it is told to stop."""
    run_worker(read_settings())


def run_worker(settings: Settings) -> None:
    """Load the model, then take jobs until SIGTERM or SIGINT; the job at hand is finished first.

    Raises:
        SystemExit: With 1 if the worker stopped although nobody asked it to, as when Redis went away; start another.
        Unreachable: If Redis or the database does not answer.
        WeightsMissing: If the profile's weights are not there.
    """
    conn = redis_client.connect(redis_server.resolve_url(settings.redis_url, settings.state_dir))
    redis_client.ping(conn)
    keep_copies_in(settings.state_dir)
    refuse_beside_others(worker_registry.list_workers(conn))
    info = WorkerInfo(
        name=f"{os.getpid()}-{uuid.uuid4().hex[:8]}",
        machine=worker_registry.this_machine(),
        pid=os.getpid(),
        started_at=time.time(),
        profile=wiring.own_profile(settings),
        device=settings.device,
        state_format=state_format(),
    )
    with Heartbeat(conn, info) as heartbeat:
        service = wiring.build_service(settings)
        service.warm_up()
        service.encoding_times.tell = heartbeat.note
        service.encoding_times.keep = wiring.keep_encoding_times(service, settings.device)
        heartbeat.say(state="ready", model_version=service.model_version)
        log.info(
            "worker ready",
            name=info.name,
            model_version=service.model_version,
            seconds=round(time.time() - info.started_at, 1),
        )
        worker = RisWorker(conn, heartbeat, tidy=service.expire_overdue)
        wiring.worker_state().begin(info.name)
        with wiring.build_supervisor(settings, conn), wiring.build_correction_sync(settings):
            worker.work(logging_level=None)
    if not worker.was_asked_to_stop:
        log.error("worker stopped unasked", name=info.name)
        sys.exit(1)


class JobRefused(BadInput):
    """A job that is none of ours."""


class AllowedJob(Job):
    """A job whose function is looked up in `jobs.ALLOWED`; nothing that it names is ever imported."""

    success_callback = failure_callback = stopped_callback = None

    @property
    def func(self) -> Callable[..., Any]:
        """The function of that name.

        Raises:
            Refused: If the name is not allowed, or the arguments are not one id.
        """
        function = jobs.ALLOWED.get(self.func_name or "")
        if self.instance or function is None:
            raise JobRefused(
                f"Job {self.id} asks for the function {self.func_name!r}. Allowed: {', '.join(jobs.ALLOWED)}."
            )
        if self.kwargs or len(self.args) != 1 or not isinstance(self.args[0], str):
            raise JobRefused(f"Job {self.id} has other arguments than one request id.")
        return function

    def send_webhooks(self, *_args: object, **_kwargs: object) -> None:
        """Call no address that a job names."""


class Heartbeat:
    """Reports a worker every `HEARTBEAT_S` from a thread of its own, and watches the job at hand."""

    def __init__(self, conn: redis.Redis, info: WorkerInfo) -> None:
        self._conn, self.info = conn, info
        self._said: WorkerInfo | None = None  # all of it was said; from then on changes are
        self._saying = threading.Lock()
        self._deadline: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._report(self.info)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(HEARTBEAT_S)
        worker_registry.forget_worker(self._conn, self.info.name)

    def say(self, **changes: Any) -> None:
        """Report changed fields at once."""
        self.info = dataclasses.replace(self.info, **changes)
        self._said = None
        self._report(self.info)

    def note(self, **changes: Any) -> None:
        """Report changed fields at once, if Redis takes them: what is at work goes on without."""
        self.info = dataclasses.replace(self.info, **changes)
        try:
            self._report(self.info)
        except redis.exceptions.RedisError as error:
            log.warning("Redis does not take a report", name=self.info.name, error=redaction.reason_of(error))

    def job_started(self, timeout_s: float) -> None:
        """The process ends if `job_finished` is not called within this time and `GRACE_S`."""
        self._deadline = time.monotonic() + timeout_s + GRACE_S

    def job_finished(self) -> None:
        """The job at hand is over."""
        self._deadline = None
        self.info = dataclasses.replace(self.info, jobs=self.info.jobs + 1)

    def _run(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            self._end_if_overrun()
            memory = gpu.look(self.info.device)
            try:
                self._report(dataclasses.replace(self.info, gpu_used=memory.used, gpu_total=memory.total))
            except redis.exceptions.RedisError as error:
                log.warning("Redis does not take the heart-beat", name=self.info.name, error=redaction.reason_of(error))

    def _report(self, info: WorkerInfo) -> None:
        with self._saying:
            worker_registry.report_worker(self._conn, info, self._said)
            self._said = info

    def _end_if_overrun(self) -> None:
        """End the process where it stands: what hangs in native code cannot be interrupted otherwise."""
        deadline = self._deadline
        if deadline is not None and time.monotonic() > deadline:
            log.error("a job overran its time; the worker ends itself", name=self.info.name)
            os._exit(OVERRUN_EXIT_CODE)


class RisWorker(SimpleWorker):
    """RQ's work loop with the changes that this module's docstring lists.

    Args:
        conn: Redis.
        heartbeat: Reports this worker; knows its name.
        tidy: Called every `MAINTENANCE_S`.
    """

    job_class = AllowedJob
    log_result_lifespan = False

    def __init__(self, conn: redis.Redis, heartbeat: Heartbeat, tidy: Callable[[], None]) -> None:
        logging.getLogger("rq.worker").setLevel(logging.WARNING)
        super().__init__(
            list(queueing.QUEUES),
            name=heartbeat.info.name,
            connection=conn,
            serializer=JSONSerializer,
            maintenance_interval=MAINTENANCE_S,
        )
        self._heartbeat, self._tidy = heartbeat, tidy
        self._tidied_at = -TIDY_REGISTRIES_S
        self.was_asked_to_stop = False

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """The next job; None if there is none and `timeout` is None ("burst")."""
        if self.get_state() != WorkerStatus.IDLE:
            self.set_state(WorkerStatus.IDLE)
        while True:
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()
            queue_and_job = queueing.take(self.connection, self.name, POLL_S)
            if queue_and_job and (job := self._fetch(*queue_and_job)):
                return job
            if queue_and_job is None and timeout is None:
                return None

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job, then say that it is over, whatever came of it."""
        with self.connection.pipeline() as pipeline:
            self.set_state(WorkerStatus.BUSY, pipeline)
            self.set_current_job_id(job.id, pipeline)
            super().heartbeat(self.get_heartbeat_ttl(job), pipeline)
            pipeline.execute()
        self._heartbeat.job_started(self._timeout_s(job))
        try:
            has_succeeded = self.perform_job(job, queue)
        finally:
            self._heartbeat.job_finished()
        with self.connection.pipeline() as pipeline:
            if has_succeeded:
                pipeline.delete(job.key)
                self.increment_successful_job_count(pipeline)
            self.set_current_job_id(None, pipeline)
            self.set_state(WorkerStatus.IDLE, pipeline)
            queueing.close(pipeline, self.name, queue.name, job.id)
            pipeline.execute()

    def perform_job(self, job: Job, queue: Queue) -> bool:
        """Run a job's function; False if it raised, which RQ records.

        RQ's own way looks for what no job of ours has: a result, callbacks, a repetition, jobs that wait for it. That took twenty
        calls to Redis for each job.
        """
        job.started_at = now()
        try:
            with self.death_penalty_class(self._timeout_s(job), JobTimeoutException, job_id=job.id):
                job.func(*job.args)
        except BaseException:  # as RQ does: a job that ends the process must be over, too
            job.ended_at = now()
            self.handle_exception(job, *sys.exc_info())
            self.handle_job_failure(job, queue, exc_string=traceback.format_exc())
            return False
        return True

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Tell RQ that this worker lives, in one call to Redis."""
        with contextlib.nullcontext(pipeline) if pipeline is not None else self.connection.pipeline() as calls:
            super().heartbeat(timeout, calls)
            if pipeline is None:
                calls.execute()

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: Any = None, exc_string: str = ""
    ) -> None:
        """Keep the traceback in Redis, without secrets."""
        super().handle_job_failure(job, queue, started_job_registry, redaction.hide(exc_string))

    def run_maintenance_tasks(self) -> None:
        """Put back the jobs of dead workers, and close requests whose time is over."""
        if back := queueing.recover(self.connection):
            log.warning("jobs of dead workers put back", jobs=back)
        try:
            self._tidy()
        except Unreachable as error:  # a locked database is no reason to load the models again
            log.warning("overdue requests cannot be closed now", error=str(error))
        if time.monotonic() - self._tidied_at >= TIDY_REGISTRIES_S:
            self.heartbeat()
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]  # RQ gives it no type
            self._tidied_at = time.monotonic()
        self.last_cleaned_at = now()  # type: ignore[assignment]  # RQ declares None and asks it for the next time

    def handle_warm_shutdown_request(self) -> None:
        """SIGTERM or SIGINT came."""
        self.was_asked_to_stop = True
        wiring.worker_state().end()

    def teardown(self) -> None:
        """Give back what was taken and not begun, then sign off."""
        queueing.put_back(self.connection, self.name)
        super().teardown()  # type: ignore[no-untyped-call]  # RQ gives it no type

    def _timeout_s(self, job: Job) -> int:
        return int(job.timeout or self.queue_class.DEFAULT_TIMEOUT)

    def _fetch(self, queue_name: str, job_id: str) -> tuple[Job, Queue] | None:
        queue = next(queue for queue in self.queues if queue.name == queue_name)
        try:
            return self.job_class.fetch(job_id, connection=self.connection, serializer=self.serializer), queue
        except Exception as error:  # gone, or not written by us: a job that cannot be read must not stop every worker
            log.warning("a job cannot be read and is dropped", job=job_id, error=redaction.reason_of(error))
            queueing.drop_taken(self.connection, self.name, queue_name, job_id)
            return None
