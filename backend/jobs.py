"""What workers run: ids in, a service call, ids out. These functions, called by these names, and no others."""

from collections.abc import Callable, Mapping

from backend import queueing, wiring


def segment_task(request_id: str) -> str:
    """Answer a request; its answer is in the store afterwards."""
    wiring.service().segment(request_id)
    return request_id


def encode_task(request_id: str) -> str:
    """Put a request's image into the feature cache."""
    wiring.service().encode(request_id)
    return request_id


ALLOWED: Mapping[str, Callable[[str], str]] = {queueing.SEGMENT_TASK: segment_task, queueing.ENCODE_TASK: encode_task}
"""The only functions a job may name. Whoever can write to Redis could otherwise have any function of Python called."""
