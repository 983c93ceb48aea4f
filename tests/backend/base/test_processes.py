"""Real child processes, made small."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from backend.base import processes
from backend.base.errors import Unreachable
from backend.base.processes import Child, Program

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def state_dir(tmp_path: Path):
    yield tmp_path
    for child in processes.children(tmp_path):
        processes.stop(child, tmp_path)


def wait_for(condition, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.05)
    return found


def test_launched_program_is_reused(state_dir: Path):
    first = processes.launch(Program("sleeper", SLEEPER), state_dir)
    second = processes.launch(Program("sleeper", SLEEPER), state_dir)
    assert (second.pid, second.was_running) == (first.pid, True)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(Program("sleeper", (*SLEEPER, "more")), id="command"),
        pytest.param(Program("sleeper", SLEEPER, env={"PROFILE": "base"}), id="variables"),
        pytest.param(Program("sleeper", SLEEPER, version="2"), id="version"),
    ],
)
def test_program_that_changed_replaces_its_process(state_dir: Path, changed: Program):
    first = processes.launch(Program("sleeper", SLEEPER, env={"PROFILE": "demo"}, version="1"), state_dir)
    second = processes.launch(changed, state_dir)
    assert second.is_running
    assert not first.is_running


def test_record_holds_no_secret(state_dir: Path):
    processes.launch(Program("sleeper", SLEEPER, env={"PASSWORD": "hunter2"}), state_dir)
    assert "hunter2" not in (state_dir / "run" / "sleeper.json").read_text()


def test_stop_ends_the_process_and_forgets_it(state_dir: Path):
    child = processes.launch(Program("sleeper", SLEEPER), state_dir)
    assert processes.stop(child, state_dir)
    assert not child.is_running
    assert processes.children(state_dir) == []


def test_stop_kills_what_ignores_sigterm(state_dir: Path):
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    child = processes.launch(Program("stubborn", (sys.executable, "-c", stubborn)), state_dir)
    wait_for(lambda: "deaf" in Path(child.log).read_text())
    processes.stop(child, state_dir, timeout_s=0.3)
    assert not child.is_running


def test_stranger_with_a_reused_pid_is_left_alone(state_dir: Path):
    stranger = subprocess.Popen(SLEEPER)
    try:
        child = processes.record(Program("mine", SLEEPER), stranger.pid, state_dir, state_dir / "log")
        reused = replace(child, started_ticks=child.started_ticks - 1)
        assert not processes.stop(reused, state_dir)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_zombie_does_not_run_and_a_process_that_was_waited_for_does_not_exist():
    with subprocess.Popen(["true"]) as process:
        wait_for(lambda: not processes.process_exists(process.pid))
        os.kill(process.pid, 0)  # still in the process table
    assert not processes.process_exists(process.pid)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_process_of_another_user_exists():
    program = (
        "import os; from backend.base.processes import process_exists; parent = os.getppid(); "
        "os.setuid(65534); print(process_exists(parent))"
    )
    output = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)
    assert output == "True\n"


def test_readiness_error_quotes_the_end_of_the_log(state_dir: Path):
    child = processes.launch(Program("broken", (sys.executable, "-c", "raise SystemExit('no such model')")), state_dir)
    with pytest.raises(Unreachable, match=r"(?s)broken ended before it was ready.*no such model"):
        processes.wait_until_ready(child, lambda: False, timeout_s=10)


def test_readiness_has_a_time_limit(state_dir: Path):
    child = processes.launch(Program("slow", SLEEPER), state_dir)
    with pytest.raises(Unreachable, match="slow was not ready after 0 s"):
        processes.wait_until_ready(child, lambda: False, timeout_s=0.2)


def test_missing_command_names_the_remedy(state_dir: Path):
    with pytest.raises(Unreachable, match="make install"):
        processes.launch(Program("absent", (str(state_dir / "no-such-program"),)), state_dir)


def test_taken_port_is_not_chosen():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        assert processes.free_port(taken) != taken
    assert processes.free_port(taken) == taken


def inner(state_dir: Path, name: str) -> Child | None:
    found = processes.find(f"{name}.process", state_dir)
    return found if found and found.is_running else None


def test_supervisor_restarts_what_was_killed(state_dir: Path):
    processes.launch(processes.supervised(Program("worker", SLEEPER), state_dir), state_dir)
    first = wait_for(lambda: inner(state_dir, "worker"))
    os.kill(first.pid, signal.SIGKILL)
    second = wait_for(lambda: (now := inner(state_dir, "worker")) and now.pid != first.pid and now)
    assert second.is_running


def test_stopping_a_supervisor_stops_its_program(state_dir: Path):
    supervisor = processes.launch(processes.supervised(Program("worker", SLEEPER), state_dir), state_dir)
    program = wait_for(lambda: inner(state_dir, "worker"))
    processes.stop(supervisor, state_dir)
    assert not program.is_running
    assert list((state_dir / "run").iterdir()) == []


def test_program_of_a_killed_supervisor_is_still_stopped(state_dir: Path):
    supervisor = processes.launch(processes.supervised(Program("worker", SLEEPER), state_dir), state_dir)
    program = wait_for(lambda: inner(state_dir, "worker"))
    os.kill(supervisor.pid, signal.SIGKILL)
    [found] = processes.children(state_dir)
    assert processes.stop(found, state_dir)
    assert not program.is_running


def test_supervisor_gives_up_when_a_restart_is_pointless(state_dir: Path):
    no_weights = Program("worker", (sys.executable, "-c", "raise SystemExit(3)"))
    supervisor = processes.launch(processes.supervised(no_weights, state_dir), state_dir)
    wait_for(lambda: not supervisor.is_running)
    assert "starting it again" not in Path(supervisor.log).read_text()


def test_damaged_record_counts_as_none(state_dir: Path):
    processes.launch(Program("sleeper", SLEEPER), state_dir)
    file = state_dir / "run" / "sleeper.json"
    whole = json.loads(file.read_text())
    file.write_text("{")
    assert processes.find("sleeper", state_dir) is None
    file.write_text(json.dumps(whole))
