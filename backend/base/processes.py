"""Programs that outlive their starter: launched detached, known by a record, stopped only if still the same process.

A record is a small JSON file under `<state_dir>/run`. A pid alone may be handed to a stranger once its process has
ended, so the kernel's start time is kept beside it: the two name one process for good. Linux only (`/proc`).
The start time is read by hand: psutil's `create_time` is in seconds since 1970 and changes when the clock is set, so a record
would lose its process; its time since boot is not public, and records of version 0.1 hold clock ticks.
"""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from backend.base.errors import Unreachable
from backend.base.redaction import reason_of

POLL_S = 0.1
"""How often a process that is awaited is looked at."""
STOP_TIMEOUT_S = 15.0
"""How long a process may take to end by itself after SIGTERM."""
TAIL_LINES = 15
"""Lines of a log that an error quotes."""
BACK_OFF_S = (1.0, 30.0)
"""First and longest pause before a supervised program is started again; doubles in between."""
SETTLED_S = 60.0
"""A program that ran this long had started well: its next pause is the first again."""
_INNER = ".process"  # ends the name under which a supervisor records what it runs
POINTLESS = (2, 3)
"""Exit codes for which a restart changes nothing: bad settings, weights missing."""


@dataclass(frozen=True)
class Program:
    """What to run.

    Attributes:
        name: Names the record and the log; unique in a state folder.
        env: Variables laid over this process's environment.
        address: Where it listens, for the record.
        version: Anything that must restart it when it changes, such as the state of the code.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    version: str = ""

    @property
    def fingerprint(self) -> str:
        """Digest of command, variables and version; the values themselves (there are secrets) are not recorded."""
        parts = [self.command, sorted(self.env.items()), self.version]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Child:
    """A process that was started.

    Attributes:
        started_ticks: Its start time, in the kernel's clock ticks since boot.
        was_running: True if it was found running instead of being started now.
    """

    name: str
    pid: int
    started_ticks: int
    fingerprint: str
    address: str
    log: str
    was_running: bool = False

    @property
    def is_running(self) -> bool:
        """Whether this very process still runs."""
        return _start_ticks(self.pid) == self.started_ticks


def launch(program: Program, state_dir: Path) -> Child:
    """Start a program detached from this one, or return the child that already runs it.

    A child of this name that runs another command, or the same with other variables or code, is replaced.

    Raises:
        Unreachable: If the command does not exist.
    """
    child_record = find(program.name, state_dir)
    if child_record and child_record.is_running and child_record.fingerprint == program.fingerprint:
        return replace(child_record, was_running=True)
    if child_record:
        stop(child_record, state_dir)
    log = state_dir / "logs" / f"{program.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                program.command,
                env={**os.environ, **program.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise Unreachable(
            f"{program.name} cannot be started: {reason_of(error)}. Run `make install`, then try again."
        ) from error
    return record(program, process.pid, state_dir, log)


def wait_until_ready(child: Child, is_ready: Callable[[], bool], timeout_s: float) -> None:
    """Wait until a child answers.

    Raises:
        Unreachable: If it ends first or takes longer than `timeout_s`; quotes the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not is_ready():
        if not child.is_running:
            raise Unreachable(f"{child.name} ended before it was ready. {_quote(child)}")
        if time.monotonic() > deadline:
            raise Unreachable(f"{child.name} was not ready after {timeout_s:.0f} s. {_quote(child)}")
        time.sleep(POLL_S)


def stop(child: Child, state_dir: Path, timeout_s: float = STOP_TIMEOUT_S) -> bool:
    """End a child, politely first, and forget it; returns whether it was running.

    A process that only has its pid is left alone. What a supervisor started ends with it, even if it was killed before.
    """
    was_running = child.is_running
    _signal(child, signal.SIGTERM)
    if not _has_ended(child, timeout_s):
        _signal(child, signal.SIGKILL)
        _has_ended(child, timeout_s)
    _record_file(child.name, state_dir).unlink(missing_ok=True)
    inner = find_supervised(child, state_dir)
    return (inner is not None and stop(inner, state_dir, timeout_s)) or was_running


def record(program: Program, pid: int, state_dir: Path, log: Path) -> Child:
    """Write down a process that has just been started."""
    child = Child(program.name, pid, _start_ticks(pid) or 0, program.fingerprint, program.address, str(log))
    file = _record_file(program.name, state_dir)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    unfinished.write_text(json.dumps(asdict(child)), encoding="utf-8")
    unfinished.replace(file)
    return child


def find(name: str, state_dir: Path) -> Child | None:
    """The child recorded under a name, running or not."""
    try:
        return Child(**json.loads(_record_file(name, state_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def find_supervised(supervisor: Child, state_dir: Path) -> Child | None:
    """What a supervisor has started last, running or not."""
    return find(supervisor.name + _INNER, state_dir)


def children(state_dir: Path) -> list[Child]:
    """All recorded children, in the order in which they were started; of a supervised program, the supervisor."""
    names = {file.stem.removesuffix(_INNER) for file in (state_dir / "run").glob("*.json")}
    records = [find(name, state_dir) or find(name + _INNER, state_dir) for name in names]
    return sorted((child for child in records if child), key=lambda child: child.started_ticks)


def process_exists(pid: int) -> bool:
    """Whether a process of that id runs on this machine; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except (
        psutil.Error
    ):  # it has ended, or is another user's and /proc hides it (hidepid): a signal tells the two apart
        return bool(psutil.pid_exists(pid))


def free_port(preferred: int = 0) -> int:
    """The preferred loopback port if nobody listens there, else any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # Without this, connections that have just been closed would count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise Unreachable("No loopback port is free. Stop some of the programs that listen on this machine.")


def supervised(program: Program, state_dir: Path) -> Program:
    """The same program, run by a supervisor that starts it again whenever it ends."""
    wrapper = (sys.executable, "-m", "backend.base.processes", program.name, str(state_dir), *program.command)
    return Program(program.name, wrapper, program.env, program.address, program.version)


def supervise(program: Program, state_dir: Path, log: Path) -> int:
    """Run a program, and run it again when it ends, until SIGTERM; returns the exit code to end with.

    Codes that a restart cannot change (`POINTLESS`) end the supervisor as well.
    """
    is_stopping = False
    process: subprocess.Popen[bytes] | None = None

    def end(*_: object) -> None:
        nonlocal is_stopping
        is_stopping = True
        if process and process.poll() is None:
            process.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    pause_s = BACK_OFF_S[0]
    while not is_stopping:
        started_s = time.monotonic()
        process = subprocess.Popen(program.command)
        # On record, so that it can be stopped even if this supervisor was killed.
        with contextlib.suppress(OSError):  # a full disk is no reason to leave the program alone
            record(program, process.pid, state_dir, log)
        if is_stopping:  # the signal came between the two statements above
            process.terminate()
        code = process.wait()
        if is_stopping or code in POINTLESS:
            return 0 if is_stopping else code
        if time.monotonic() - started_s > SETTLED_S:
            pause_s = BACK_OFF_S[0]
        with contextlib.suppress(OSError):
            print(f"{program.name} ended with code {code}; starting it again in {pause_s:.0f} s", flush=True)
        _sleep(pause_s, lambda: is_stopping)
        pause_s = min(2 * pause_s, BACK_OFF_S[1])
    return 0


def _signal(child: Child, number: signal.Signals) -> None:
    if child.is_running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)


def _record_file(name: str, state_dir: Path) -> Path:
    return state_dir / "run" / f"{name}.json"


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it has ended (a zombie has)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field, the name, is in brackets and may hold blanks and brackets itself; see proc_pid_stat(5).
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def _has_ended(child: Child, timeout_s: float) -> bool:
    _sleep(timeout_s, lambda: not child.is_running)
    return not child.is_running


def _sleep(seconds: float, may_stop: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not may_stop():
        time.sleep(POLL_S)


def _quote(child: Child) -> str:
    try:
        lines = Path(child.log).read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        lines = []
    return f"The end of {child.log}:\n" + "\n".join(f"    {line}" for line in lines or ["(empty)"])


def main(arguments: Sequence[str]) -> int:
    """`python -m backend.base.processes NAME STATE_DIR COMMAND…`: supervise a command."""
    name, state_dir, *command = arguments
    folder = Path(state_dir)
    return supervise(Program(name + _INNER, tuple(command)), folder, folder / "logs" / f"{name}.log")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
