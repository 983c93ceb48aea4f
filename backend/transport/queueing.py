"""Redis as transport: jobs by name and id, and word that a job is over. No model, no SQL, no pickle."""

import time
from collections.abc import Sequence
from typing import cast

import redis
from rq import Queue
from rq.serializers import JSONSerializer
from rq.utils import as_text

from backend.base.errors import Busy
from backend.transport.redis_client import translate_errors
from backend.transport.worker_registry import is_alive

QUEUES = ("interactive", "bulk")
"""In the order in which workers empty them."""
SEGMENT_TASK = "backend.worker.jobs.segment_task"
ENCODE_TASK = "backend.worker.jobs.encode_task"
ENCODE_AHEAD = "backend.worker.jobs.encode_ahead"
WORK_ON_RUN = "backend.worker.jobs.work_on_run"
ENCODE_TIMEOUT_S = 600.0
"""How long one encoding may run."""
BLOCK_S = 5.0
"""Longest single wait inside Redis."""
SHORTEST_BLOCK_S = 0.01
"""Shortest one: Redis rounds less than a millisecond to zero, which means for ever."""
FAILURE_KEPT_S = 3600
"""How long Redis keeps a failed job, for `rq info`; SQL keeps the reason."""
OVER_KEPT_S = 120
"""How long the word that a job is over waits for its reader."""


def enqueue(
    conn: redis.Redis,
    function_name: str,
    request_id: str,
    queue: str = "interactive",
    timeout_s: float = 90,
    max_queued: int | None = None,
    is_next: bool = False,
) -> str:
    """Put a request at the end of a queue; the job has the request's id, which is returned.

    Args:
        function_name: `SEGMENT_TASK`, `ENCODE_TASK`, `ENCODE_AHEAD` or `WORK_ON_RUN`; workers refuse others.
        timeout_s: How long the job may run.
        max_queued: How many jobs may wait in this queue; None for any number.
        is_next: Put it at the front instead.

    Raises:
        Busy: If so many jobs wait already.
        Unreachable: If Redis does not answer.
    """
    jobs = _queue(conn, queue)
    with translate_errors():
        if max_queued is not None and (waiting := jobs.count) >= max_queued:
            raise Busy(
                f"{waiting} requests wait in the queue {queue!r}; the limit is {max_queued}.",
                "Try again later, or start more workers.",
            )
        job = jobs.enqueue_call(
            function_name,
            args=(request_id,),
            job_id=request_id,
            timeout=max(1, round(timeout_s)),
            result_ttl=0,
            failure_ttl=FAILURE_KEPT_S,
            at_front=is_next,
            description=f"{function_name}({request_id})",
        )
    return job.id


def fill(conn: redis.Redis, function_name: str, job_ids: Sequence[str], queue: str, timeout_s: float) -> int:
    """Put those of these jobs at the end of a queue that neither wait nor run; how many.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with translate_errors():
        keys = [_queue_key(queue), *conn.scan_iter(match=_taken_key(queue, "*"), count=1000)]
        present = {as_text(job_id) for key in keys for job_id in conn.lrange(key, 0, -1)}
    missing = [job_id for job_id in job_ids if job_id not in present]
    for job_id in missing:
        enqueue(conn, function_name, job_id, queue, timeout_s)
    return len(missing)


def queue_lengths(conn: redis.Redis) -> dict[str, int]:
    """How many jobs wait, by queue.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with translate_errors():
        return {name: _queue(conn, name).count for name in QUEUES}


def wait_for(conn: redis.Redis, request_id: str, timeout_s: float) -> bool:
    """Block until a job is over, however it ended; False if that takes longer than `timeout_s`.

    Raises:
        Unreachable: If Redis does not answer.
    """
    deadline = time.monotonic() + timeout_s
    with translate_errors():
        while (left_s := deadline - time.monotonic()) > 0:
            if conn.blpop([_over_key(request_id)], timeout=max(SHORTEST_BLOCK_S, min(left_s, BLOCK_S))):
                return True
    return False


def announce(conn: redis.Redis, request_id: str) -> None:
    """Tell whoever waits for a job that it is over. A list, not a message: the reader may come later.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with translate_errors(), conn.pipeline() as pipeline:
        _announce(pipeline, request_id)
        pipeline.execute()


def _announce(pipeline: redis.client.Pipeline, request_id: str) -> None:
    pipeline.rpush(_over_key(request_id), 1)
    pipeline.ltrim(_over_key(request_id), -1, -1)  # jobs of runs have the same id again and again
    pipeline.expire(_over_key(request_id), OVER_KEPT_S)


# For workers only. A job that is taken stays in a list of its worker until it is over, so that it outlives a worker that dies.


def take(conn: redis.Redis, worker_name: str, wait_s: float) -> tuple[str, str] | None:
    """Move the next job to a worker's own list; (queue, job id), or None if none comes within `wait_s`.

    The queues are emptied strictly in the order of `QUEUES`.
    """
    for name in QUEUES:
        if job_id := conn.lmove(_queue_key(name), _taken_key(name, worker_name), "LEFT", "RIGHT"):
            return name, as_text(job_id)
    first = QUEUES[0]  # BLMOVE waits for one list only: `wait_s` is how long a job in a later queue may wait
    # redis-py's types want whole seconds; Redis takes fractions
    job_id = conn.blmove(_queue_key(first), _taken_key(first, worker_name), cast(int, wait_s), "LEFT", "RIGHT")
    return (first, as_text(job_id)) if job_id else None


def drop_taken(conn: redis.Redis, worker_name: str, queue: str, job_id: str) -> None:
    """Remove a job that is over from its worker's list."""
    conn.lrem(_taken_key(queue, worker_name), 1, job_id)


def close(pipeline: redis.client.Pipeline, worker_name: str, queue: str, job_id: str) -> None:
    """Announce that a job is over, and remove it from its worker's list, with what else a pipeline does."""
    _announce(pipeline, job_id)
    pipeline.lrem(_taken_key(queue, worker_name), 1, job_id)


def put_back(conn: redis.Redis, worker_name: str) -> list[str]:
    """Move what a worker had taken to the front of the queues; the jobs' ids."""
    moved = []
    for name in QUEUES:
        while job_id := conn.lmove(_taken_key(name, worker_name), _queue_key(name), "RIGHT", "LEFT"):
            moved.append(as_text(job_id))
    return moved


def recover(conn: redis.Redis) -> list[str]:
    """Put back what dead workers had taken; the jobs' ids. Any number of workers may do this at once."""
    names = {as_text(key).rsplit(":", 1)[1] for key in conn.scan_iter(match=_taken_key("*", "*"), count=1000)}
    return [job_id for name in sorted(names) if not is_alive(conn, name) for job_id in put_back(conn, name)]


def _queue(conn: redis.Redis, name: str) -> Queue:
    return Queue(name, connection=conn, serializer=JSONSerializer)


def _queue_key(name: str) -> str:
    return f"{Queue.redis_queue_namespace_prefix}{name}"


def _taken_key(queue: str, worker_name: str) -> str:
    return f"ris:taken:{queue}:{worker_name}"


def _over_key(request_id: str) -> str:
    return f"ris:over:{request_id}"
