"""What workers run: ids in, a service call, ids out. These functions, called by these names, and no others."""

from collections.abc import Callable, Mapping

from backend.runs.execution import work
from backend.transport import queueing
from backend.worker import wiring


def segment_task(request_id: str) -> str:
    """Answer a request; its answer is in the store afterwards."""
    wiring.service().segment(request_id)
    return request_id


def encode_task(request_id: str) -> str:
    """Put a request's image into the feature cache."""
    wiring.service().encode(request_id)
    return request_id


def encode_ahead(request_id: str) -> str:
    """Put a request's image into the feature cache, and queue the same for the tasks that are opened next."""
    service = wiring.service()
    service.encode(request_id)
    for planned in service.plan_ahead(request_id):
        queueing.enqueue(wiring.connection(), queueing.ENCODE_TASK, planned, "bulk", queueing.ENCODE_TIMEOUT_S)
    return request_id


def work_on_run(job_id: str) -> str:
    """Do items of a run for some seconds; the job's id is "run-<id of the run>-<number>"."""
    work(wiring.means(), job_id.split("-")[1])
    return job_id


_FUNCTIONS: Mapping[str, Callable[[str], str]] = {
    queueing.SEGMENT_TASK: segment_task,
    queueing.ENCODE_TASK: encode_task,
    queueing.ENCODE_AHEAD: encode_ahead,
    queueing.WORK_ON_RUN: work_on_run,
}
ALLOWED: Mapping[str, Callable[[str], str]] = {
    **_FUNCTIONS,
    # Jobs that version 0.1 queued; goes with 0.3.
    **{name.replace("backend.worker.jobs.", "backend.jobs."): function for name, function in _FUNCTIONS.items()},
}
"""The only functions a job may name. Whoever can write to Redis could otherwise have any function of Python called."""
