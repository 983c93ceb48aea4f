"""Which workers there are, what each reports of itself, and the model versions that they answer with; kept in Redis."""

import dataclasses
import math
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import redis
from rq.utils import as_text

from backend.base.processes import process_exists
from backend.transport.redis_client import translate_errors

WORKER_TTL_S = 20
"""A worker that has not reported for so long is dead, and its jobs go back to their queues."""
HEARD_KEY = "ris:heard"
"""Exists while any worker has reported in the last `WORKER_TTL_S` seconds, also one that has signed off since."""
TURN_MS = 900
"""How long one process alone looks after all workers and queues. If a hundred did so every second, Redis would do little else."""
MODEL_VERSION_KEY = "ris:model_version"
"""Version that the last worker reported; stays when workers are gone. With ":<profile>" after it: that profile's."""

_LOADING = ".loading"


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker reports of itself, at least every `WORKER_TTL_S` seconds.

    Attributes:
        machine: Host and process namespace that `pid` belongs to.
        state: "loading" until the model is warm.
        model_version: Empty while loading.
        device: Torch device, as configured.
        started_at, last_seen: Seconds since 1970.
        jobs: How many jobs it has finished, whatever came of them.
        gpu_used, gpu_total: Bytes of its GPU's memory; 0 if it has none.
        encoding: The picture that it encodes now (`inference.encoding_times.picture_key`); empty if none.
        encoding_since: Since when, in seconds since 1970.
        encode_s: Median of the seconds that its last encodings took; 0 before the first.
        state_format: What it expects of the database and the feature cache; empty of versions before 0.3. Workers of different ones
            cannot work together.
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
    state_format: str = ""
    encoding: str = ""
    encoding_since: float = 0.0
    encode_s: float = 0.0


_REQUIRED = [field.name for field in dataclasses.fields(WorkerInfo) if field.default is dataclasses.MISSING]


def report_worker(conn: redis.Redis, info: WorkerInfo, previous: WorkerInfo | None = None) -> None:
    """Report that a worker lives.

    Args:
        previous: Its last report. Only the changes are sent then: Redis keeps every command on disk.
    """
    fields: dict[Any, Any] = {**dataclasses.asdict(info), "last_seen": time.time()}
    reported = dataclasses.asdict(previous) if previous else {}
    changes = {name: value for name, value in fields.items() if name not in reported or reported[name] != value}
    with conn.pipeline() as pipeline:
        pipeline.hset(_worker_key(info.name), mapping=changes)
        pipeline.expire(_worker_key(info.name), WORKER_TTL_S)
        pipeline.set(HEARD_KEY, info.name, ex=WORKER_TTL_S)
        if info.state == "ready" and not previous:
            pipeline.set(MODEL_VERSION_KEY, info.model_version)
            pipeline.set(_version_key(info.profile), info.model_version)
        is_new_to_redis = pipeline.execute()[0] == len(changes)  # HSET counts the fields that were not there
    if previous and is_new_to_redis:  # Redis lost the row, with the fields that did not change
        report_worker(conn, info)


def forget_worker(conn: redis.Redis, name: str) -> None:
    """Report that a worker is gone."""
    conn.delete(_worker_key(name))


def list_workers(conn: redis.Redis) -> list[WorkerInfo]:
    """The workers that reported in the last `WORKER_TTL_S` seconds, oldest first.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with translate_errors():
        rows = [conn.hgetall(key) for key in conn.scan_iter(match=_worker_key("*"), count=1000)]
    # A row that Redis lost holds only the latest changes, until its worker notices and reports everything again.
    complete = [row for row in rows if all(name.encode() in row for name in _REQUIRED)]
    return sorted(map(_read_worker, complete), key=lambda info: info.started_at)


def workers_state(conn: redis.Redis) -> Literal["ready", "loading", "none"]:
    """Whether waiting for an answer makes sense: a worker is ready; one loads, or left just now and may return; there is none.

    Raises:
        Unreachable: If Redis does not answer.
    """
    workers = list_workers(conn)
    if any(worker.state == "ready" for worker in workers):
        return "ready"
    with translate_errors():
        return "loading" if workers or conn.exists(HEARD_KEY) else "none"


def encoding_left_s(workers: Sequence[WorkerInfo], picture: str, now: float) -> float | None:
    """Seconds until a picture will be encoded that one of the workers encodes now, or that waits for all of them to encode others.

    Args:
        picture: As workers name it (`WorkerInfo.encoding`).
        now: Seconds since 1970.

    Returns:
        At least 1; `math.inf` if no worker knows yet how long an encoding takes; None if a worker is free, or none is ready.
    """
    ready = [worker for worker in workers if worker.state == "ready"]
    own = [worker for worker in ready if worker.encoding == picture]
    if not own and not all(worker.encoding for worker in ready):
        return None
    left = [
        max(1.0, worker.encoding_since + worker.encode_s - now) + (0 if own else worker.encode_s)
        if worker.encode_s
        else math.inf
        for worker in own or ready
    ]
    return min(left, default=None)


def model_version(conn: redis.Redis, profile: str | None = None) -> str | None:
    """Version of the answers, as the last worker that became ready reported it; None if there never was one.

    Args:
        profile: Ask for this profile's version instead of that of the workers' own.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with translate_errors():
        value = conn.get(_version_key(profile) if profile else MODEL_VERSION_KEY)
    return as_text(value) if value else None


def loading_version(profile: str | None) -> str:
    """What stands for the model version of a profile until a worker has reported it: "<profile>.loading"."""
    return f"{profile}{_LOADING}"


def is_loading(model_version: str) -> bool:
    """Whether a version only stands for one that no worker has reported yet."""
    return model_version.endswith(_LOADING)


def report_version(conn: redis.Redis, profile: str, version: str) -> None:
    """Report the version of a profile that a worker loaded beside its own.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with translate_errors():
        conn.set(_version_key(profile), version)


def take_turn(conn: redis.Redis) -> bool:
    """Whether it is this process's turn to look after all workers and queues.

    Raises:
        Unreachable: If Redis does not answer.
    """
    with translate_errors():
        return bool(conn.set("ris:turn", 1, nx=True, px=TURN_MS))


def this_machine() -> str:
    """Host and process namespace: a process id means nothing without them. psutil does not know the namespace."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{namespace.readlink() if namespace.exists() else ''}"


def is_running(info: WorkerInfo) -> bool:
    """Whether a worker that reported lately still runs; of one on another machine, its report is all that is known."""
    return info.machine != this_machine() or process_exists(info.pid)


def is_alive(conn: redis.Redis, worker_name: str) -> bool:
    """Whether a worker reported lately and still runs."""
    row = conn.hgetall(_worker_key(worker_name))
    return bool(row) and is_running(_read_worker(row))


def _read_worker(row: Mapping[Any, Any]) -> WorkerInfo:
    text = {as_text(key): as_text(value) for key, value in row.items()}
    numbers = dict.fromkeys(("pid", "jobs", "gpu_used", "gpu_total"), int)
    seconds = dict.fromkeys(("started_at", "last_seen", "encoding_since", "encode_s"), float)
    convert: dict[str, Callable[[str], Any]] = {**numbers, **seconds}
    # A worker of a newer version may report fields that this one does not know.
    fields = {field.name for field in dataclasses.fields(WorkerInfo)}
    values: dict[str, Any] = {name: convert.get(name, str)(value) for name, value in text.items() if name in fields}
    return WorkerInfo(**values)


def _worker_key(worker_name: str) -> str:
    return f"ris:worker:{worker_name}"


def _version_key(profile: str) -> str:
    return f"{MODEL_VERSION_KEY}:{profile}"
