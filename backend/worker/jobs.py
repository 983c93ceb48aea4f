"""The functions that jobs name: an id in, a service call, the id out. Workers call these, by these names, and no others."""

from collections.abc import Callable, Mapping

from backend.runs.execution import work
from backend.runs.job_id import read_run_id
from backend.transport import queueing
from backend.worker import wiring


def segment_task(request_id: str) -> str:
    """Answer a request and put the answer into the store."""
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
    """Answer items of a run for some seconds."""
    work(wiring.run_context(), read_run_id(job_id))
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
"""The only functions a job may name. Otherwise whoever can write to Redis could call any Python function."""
