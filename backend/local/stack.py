"""Everything that answers Label Studio on this machine: Redis, one supervised worker, the HTTP backend."""

import fcntl
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from backend.base import processes
from backend.base.errors import BadSettings, Unreachable
from backend.base.processes import Child, Program
from backend.local.progress import Steps
from backend.settings.environment import Settings
from backend.transport import redis_client, redis_server, worker_registry

STEPS = ("Redis", "Worker", "Backend")
"""The steps that `up` takes, in order."""
BACKEND_TIMEOUT_S = 60.0
WORKER_TIMEOUT_S = 900.0
"""Long, since the first start of a profile may download its weights."""
PROBE_TIMEOUT_S = 1.0
"""How long one look at an HTTP server may take."""
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For looks at servers without TLS: reading the usual authorities takes 25 ms of a processor, at ten looks a second."""
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Stack:
    """What runs after `up`.

    Attributes:
        backend_url: Where Label Studio finds the backend, if it runs on this machine.
        model_version: What the worker says of its models.
    """

    redis_url: str
    backend_url: str
    model_version: str


def up(settings: Settings, steps: Steps, worker_timeout_s: float = WORKER_TIMEOUT_S) -> Stack:
    """Start what is not running yet, and wait until it all answers; what runs with other settings or code is restarted.

    Raises:
        BadSettings: If HOST needs credentials, or PORT is taken.
        Unreachable: If something does not start; quotes its log.
    """
    settings.check_host()
    state_dir = settings.state_dir.resolve()
    _check_port(settings, state_dir)
    with steps.take("Redis") as step:
        was_running = redis_server.is_running(state_dir) if not settings.redis_url else True
        redis_url = redis_server.ensure(settings.redis_url, state_dir)
        step.note = ("as REDIS_URL says" if settings.redis_url else "already running") if was_running else ""
    # Both are launched before either is awaited: loading the models takes longest.
    worker = processes.launch(processes.supervised(_program("worker", settings), state_dir), state_dir)
    backend = processes.launch(_program("backend", settings), state_dir)
    with steps.take("Worker") as step:
        version = _wait_for_worker(worker, redis_url, state_dir, worker_timeout_s)
        step.note = _join(version, worker)
    with steps.take("Backend") as step:
        processes.wait_until_ready(backend, lambda: answers(f"{backend.address}/health"), BACKEND_TIMEOUT_S)
        step.note = _join(backend.address, backend)
    return Stack(redis_url, backend.address, version)


def down(state_dir: Path) -> Iterator[str]:
    """Stop exactly what was started with a state folder, last started first; yields the names of what was running."""
    folder = state_dir.resolve()
    for child in reversed(processes.children(folder)):
        if processes.stop(child, folder):
            yield child.name
    if redis_server.stop(folder):
        yield "redis"


def answers(url: str) -> bool:
    """Whether an `http` address answers 200."""
    try:
        answer = httpx.get(url, timeout=PROBE_TIMEOUT_S, trust_env=False, verify=_NO_AUTHORITIES)
        return answer.status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@contextmanager
def lock(state_dir: Path) -> Iterator[None]:
    """Keep others from starting and stopping things in the same state folder.

    Raises:
        Unreachable: If somebody is at it.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state_dir / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unreachable(
                f"Another start or stop is under way in {state_dir}.", "Wait until it is done."
            ) from error
        yield


def environment(settings: Settings) -> dict[str, str]:
    """The settings as variables, so that a child process has the same ones; unset ones are left out."""
    values = {_variable(name, field): getattr(settings, name) for name, field in Settings.model_fields.items()}
    return {name: _as_text(value) for name, value in values.items() if value is not None}


def code_version() -> str:
    """When the code that the children run was last changed: they must be started anew after an update."""
    files = [file for package in ("backend", "ris_core") for file in (_ROOT / package).rglob("*.py")]
    return str(max((file.stat().st_mtime_ns for file in files), default=0))


def _program(name: str, settings: Settings) -> Program:
    verb = {"worker": "worker", "backend": "serve"}[name]
    address = settings.local_url if name == "backend" else ""
    return Program(name, (sys.executable, "-m", "backend", verb), environment(settings), address, code_version())


def _wait_for_worker(child: Child, redis_url: str, state_dir: Path, timeout_s: float) -> str:
    """Wait until the worker that this child supervises has its models; their version."""
    conn = redis_client.connect(redis_url)
    version = ""

    def is_ready() -> bool:
        nonlocal version
        process = processes.find_supervised(child, state_dir)
        ready = [info for info in worker_registry.list_workers(conn) if info.state == "ready"]
        version = next((info.model_version for info in ready if process and info.pid == process.pid), "")
        return bool(version)

    processes.wait_until_ready(child, is_ready, timeout_s)
    return version


def _check_port(settings: Settings, state_dir: Path) -> None:
    child = processes.find("backend", state_dir)
    if child and child.is_running and child.address.endswith(f":{settings.port}"):
        return
    if processes.free_port(settings.port) != settings.port:
        raise BadSettings(f"Port {settings.port} is taken by another program.", "Stop that, or set PORT to a free one.")


def _join(text: str, child: Child) -> str:
    return f"{text}, already running" if child.was_running else text


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name.upper()


_AS_TEXT: tuple[tuple[type, Callable[..., str]], ...] = (
    (SecretStr, lambda value: value.get_secret_value()),
    (tuple, ",".join),
    (Path, lambda value: str(value.resolve())),
)


def _as_text(value: object) -> str:
    return next((convert(value) for kind, convert in _AS_TEXT if isinstance(value, kind)), str(value))
