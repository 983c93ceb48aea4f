"""Redis as transport: jobs by name and id, who is working, and word that a job is over. No model, no SQL, no pickle."""

import dataclasses
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import redis
from rq import Queue
from rq.serializers import JSONSerializer
from rq.utils import as_text

from backend.base.errors import Busy, Unreachable
from backend.base.redaction import reason_of

QUEUES = ("interactive", "bulk")
"""In the order in which workers empty them."""
SEGMENT_TASK = "backend.worker.jobs.segment_task"
ENCODE_TASK = "backend.worker.jobs.encode_task"
ENCODE_AHEAD = "backend.worker.jobs.encode_ahead"
WORK_ON_RUN = "backend.worker.jobs.work_on_run"
ENCODE_TIMEOUT_S = 600.0
"""How long one encoding may run."""
CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 15.0
"""Longest silence of Redis; longer than `BLOCK_S`."""
BLOCK_S = 5.0
"""Longest single wait inside Redis."""
SHORTEST_BLOCK_S = 0.01
"""Shortest one: Redis takes less than a millisecond for zero, which is for ever."""
_NO_LIMIT = 2**31
"""Connections of one client. Each thread that waits holds one, and who starts threads limits them: redis-py's own limit of 100 would
be taken for a Redis that does not answer."""
FAILURE_KEPT_S = 3600
"""How long Redis keeps a failed job, for `rq info`; SQL keeps the reason."""
OVER_KEPT_S = 120
"""How long the word that a job is over waits for whoever asked."""
WORKER_TTL_S = 20
"""A worker that is not heard of for so long is dead, and its jobs go back to their queues."""
HEARD_KEY = "ris:heard"
"""Is there as long as any worker was heard of in the last `WORKER_TTL_S` seconds, also one that has signed off."""
TURN_MS = 900
"""For so long one process has it for itself to look after all workers and queues: if each of a hundred did, every second, Redis
would do little else."""
MODEL_VERSION_KEY = "ris:model_version"
"""Version that the last worker reported; stays when workers are gone. With ":<profile>" after it: that profile's."""


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker says of itself, at least every `WORKER_TTL_S` seconds.

    Attributes:
        machine: Host and process namespace that `pid` belongs to.
        state: "loading" until the model is warm.
        model_version: Empty while loading.
        device: Torch device, as configured.
        started_at, last_seen: Seconds since 1970.
        jobs: How many jobs it has finished, in whatever way.
        gpu_used, gpu_total: Bytes of its GPU's memory; 0 if it has none.
    """

    name: str
    machine: str
    pid: int
    started_at: float
    profile: str
    device: str
    model_version: str = ""
    state: Literal["loading", "ready"] = "loading"
    last_seen: float = 0.0
    jobs: int = 0
    gpu_used: int = 0
    gpu_total: int = 0


_REQUIRED = [one.name for one in dataclasses.fields(WorkerInfo) if one.default is dataclasses.MISSING]


def connect(redis_url: str) -> redis.Redis:
    """A client of Redis; connects when it is first used, and again when the connection was lost.

    Args:
        redis_url: redis://, rediss:// or unix://.

    Raises:
        Unreachable: If the URL is not one.
    """
    try:
        return redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            max_connections=_NO_LIMIT,
        )
    except ValueError as error:
        raise Unreachable(
            f"REDIS_URL cannot be used ({reason_of(error)}).", "Give redis://host:6379/0 or unix:///folder/redis.sock."
        ) from error


def ping(conn: redis.Redis) -> None:
    """Return if Redis answers.

    Raises:
        Unreachable: If it does not.
    """
    with _reaching():
        conn.ping()


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
    with _reaching():
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
    return cast(str, job.id)


def fill(conn: redis.Redis, function_name: str, job_ids: Sequence[str], queue: str, timeout_s: float) -> int:
    """Put those of these jobs at the end of a queue that neither wait nor are at work; how many.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with _reaching():
        keys = [_queue_key(queue), *conn.scan_iter(match=_taken_key(queue, "*"), count=1000)]
        there = {as_text(job_id) for key in keys for job_id in conn.lrange(key, 0, -1)}
    missing = [job_id for job_id in job_ids if job_id not in there]
    for job_id in missing:
        enqueue(conn, function_name, job_id, queue, timeout_s)
    return len(missing)


def take_turn(conn: redis.Redis) -> bool:
    """Whether it is this process's turn to look after all workers and queues.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with _reaching():
        return bool(conn.set("ris:turn", 1, nx=True, px=TURN_MS))


def wait_for(conn: redis.Redis, request_id: str, timeout_s: float) -> bool:
    """Block until a job is over, however it ended; False if that takes longer than `timeout_s`.

    Raises:
        Unreachable: If Redis does not answer.
    """
    deadline = time.monotonic() + timeout_s
    with _reaching():
        while (left_s := deadline - time.monotonic()) > 0:
            if conn.blpop([_over_key(request_id)], timeout=max(SHORTEST_BLOCK_S, min(left_s, BLOCK_S))):
                return True
    return False


def announce(conn: redis.Redis, request_id: str) -> None:
    """Tell whoever waits for a job that it is over.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with _reaching(), conn.pipeline() as pipeline:
        pipeline.rpush(_over_key(request_id), 1)
        pipeline.ltrim(_over_key(request_id), -1, -1)  # jobs of runs have the same id again and again
        pipeline.expire(_over_key(request_id), OVER_KEPT_S)
        pipeline.execute()


def queue_lengths(conn: redis.Redis) -> dict[str, int]:
    """How many jobs wait, by queue.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with _reaching():
        return {name: _queue(conn, name).count for name in QUEUES}


def report_worker(conn: redis.Redis, info: WorkerInfo, before: WorkerInfo | None = None) -> None:
    """Say that a worker lives.

    Args:
        before: What it said last, of which only the changes are said: every word is kept on disk.
    """
    fields: dict[Any, Any] = {**dataclasses.asdict(info), "last_seen": time.time()}
    known = dataclasses.asdict(before) if before else {}
    changed = {name: value for name, value in fields.items() if name not in known or known[name] != value}
    with conn.pipeline() as pipeline:
        pipeline.hset(_worker_key(info.name), mapping=changed)
        pipeline.expire(_worker_key(info.name), WORKER_TTL_S)
        pipeline.set(HEARD_KEY, info.name, ex=WORKER_TTL_S)
        if info.state == "ready" and not before:
            pipeline.set(MODEL_VERSION_KEY, info.model_version)
            pipeline.set(_version_key(info.profile), info.model_version)
        is_forgotten = pipeline.execute()[0] == len(changed)
    if before and is_forgotten:  # Redis had lost it, with all that is not said again
        report_worker(conn, info)


def forget_worker(conn: redis.Redis, name: str) -> None:
    """Say that a worker is gone."""
    conn.delete(_worker_key(name))


def list_workers(conn: redis.Redis) -> list[WorkerInfo]:
    """The workers that were heard of in the last `WORKER_TTL_S` seconds, oldest first.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with _reaching():
        rows = [conn.hgetall(key) for key in conn.scan_iter(match=_worker_key("*"), count=1000)]
    # one that Redis has lost says only what changed, until it notices and says all of it again
    whole = [row for row in rows if all(name.encode() in row for name in _REQUIRED)]
    return sorted(map(_read_worker, whole), key=lambda info: info.started_at)


def workers_state(conn: redis.Redis) -> Literal["ready", "loading", "none"]:
    """What waiting for an answer is worth: a worker is ready; one loads, or has just gone and may be back; there is none.

    Raises:
        Unreachable: If Redis does not answer.
    """
    workers = list_workers(conn)
    if any(worker.state == "ready" for worker in workers):
        return "ready"
    with _reaching():
        return "loading" if workers or conn.exists(HEARD_KEY) else "none"


def model_version(conn: redis.Redis, profile: str | None = None) -> str | None:
    """Version of the answers, as the last worker that got ready reported it; None if there never was one.

    Args:
        profile: Ask for this profile's version instead of that of the workers' own.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with _reaching():
        value = conn.get(_version_key(profile) if profile else MODEL_VERSION_KEY)
    return as_text(value) if value else None


def report_version(conn: redis.Redis, profile: str, version: str) -> None:
    """Say which version a profile has that a worker loaded beside its own.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with _reaching():
        conn.set(_version_key(profile), version)


# What only workers use. A job that is taken is kept in a list of its worker's until it is over, so that it outlives a
# worker that dies.


def take(conn: redis.Redis, worker_name: str, wait_s: float) -> tuple[str, str] | None:
    """Move the next job to a worker's own list; (queue, job id), or None if none comes within `wait_s`.

    The queues are emptied strictly in the order of `QUEUES`.
    """
    for name in QUEUES:
        if job_id := conn.lmove(_queue_key(name), _taken_key(name, worker_name), "LEFT", "RIGHT"):
            return name, as_text(job_id)
    first = QUEUES[0]
    # redis-py's types want whole seconds; Redis takes fractions
    job_id = conn.blmove(_queue_key(first), _taken_key(first, worker_name), cast(int, wait_s), "LEFT", "RIGHT")
    return (first, as_text(job_id)) if job_id else None


def drop_taken(conn: redis.Redis, worker_name: str, queue: str, job_id: str) -> None:
    """A job is over: remove it from its worker's list."""
    conn.lrem(_taken_key(queue, worker_name), 1, job_id)


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
    return [job_id for name in sorted(names) if not _is_alive(conn, name) for job_id in put_back(conn, name)]


def this_machine() -> str:
    """Host and process namespace: what makes a process id mean something."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{namespace.readlink() if namespace.exists() else ''}"


def _is_alive(conn: redis.Redis, worker_name: str) -> bool:
    """Whether a worker was heard of lately, and, if that was on this machine, whether its process still exists."""
    row = conn.hgetall(_worker_key(worker_name))
    if not row:
        return False
    return is_running(_read_worker(row))


def is_running(info: WorkerInfo) -> bool:
    """Whether a worker that was heard of lately still runs, as far as that can be told from here."""
    return info.machine != this_machine() or process_exists(info.pid)


def process_exists(pid: int) -> bool:
    """Whether there is a process of that id on this machine that is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # not Linux
        return True
    return stat.rpartition(")")[2].split()[0] != "Z"


def _read_worker(row: Mapping[Any, Any]) -> WorkerInfo:
    text = {as_text(key): as_text(value) for key, value in row.items()}
    convert = {"pid": int, "jobs": int, "gpu_used": int, "gpu_total": int, "started_at": float, "last_seen": float}
    known = {field.name for field in dataclasses.fields(WorkerInfo)}
    values: dict[str, Any] = {name: convert.get(name, str)(value) for name, value in text.items() if name in known}
    return WorkerInfo(**values)


def _queue(conn: redis.Redis, name: str) -> Queue:
    return Queue(name, connection=conn, serializer=JSONSerializer)


def _queue_key(name: str) -> str:
    return f"{Queue.redis_queue_namespace_prefix}{name}"


def _taken_key(queue: str, worker_name: str) -> str:
    return f"ris:taken:{queue}:{worker_name}"


def _worker_key(worker_name: str) -> str:
    return f"ris:worker:{worker_name}"


def _version_key(profile: str) -> str:
    return f"{MODEL_VERSION_KEY}:{profile}"


def _over_key(request_id: str) -> str:
    return f"ris:over:{request_id}"


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except redis.exceptions.BusyLoadingError as error:
        raise Unreachable("Redis still reads its file.", "Wait a moment, then try again.") from error
    except (
        redis.exceptions.ConnectionError,
        redis.exceptions.TimeoutError,
        redis.exceptions.ResponseError,  # its disk or memory is full
    ) as error:
        raise Unreachable(
            f"Redis does not answer ({reason_of(error)}).", "Check REDIS_URL, or start everything with `make up`."
        ) from error
