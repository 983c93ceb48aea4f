"""`ris bench hosts`: a worker on another host, and the link to it cut in the middle of a run; then everything is counted.

The hosts are network namespaces that only a cable joins. One has Redis, PostgreSQL, the backend and the real Label Studio; the
other has a worker, which reaches all of them by the cable alone and goes by another host name. This module is run on the first.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.base.errors import BadSettings, Unreachable
from backend.runs.run import OVER
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore
from backend.transport import redis_client, redis_server
from benchmarks import label_studio_server, postgres
from benchmarks.chaos import EXPRESSION, ChaosReport, count
from benchmarks.environment import BenchmarkEnvironment, LoadPlan, stand_in_command
from benchmarks.fake_model import make_segmenter

HEAD, FAR = "10.213.7.1", "10.213.7.2"
"""Addresses of the two hosts."""
CABLE = "ris-head", "ris-far"
"""Names of the cable's ends, and of the namespaces they lie in."""
REDIS_PORT, SQL_PORT = 6390, 5490
STUCK_S = 300.0
"""A run whose link is whole and that changes nothing for so long is stuck."""
START_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Cuts:
    """What happens.

    Attributes:
        cut_s: How long the link is down.
        cuts: How often, evenly over the run.
    """

    tasks: int = 300
    cuts: int = 1
    cut_s: float = 30.0
    model_s: float = 0.1


def measure(plan: Cuts) -> str:
    """Make the hosts, carry a plan out on them, and take them down; the report as Markdown.

    Raises:
        BadSettings: If this machine has no PostgreSQL, or lets nobody make namespaces.
    """
    if postgres.find_binaries() is None:
        raise BadSettings("PostgreSQL is not installed. Remedy: apt install postgresql")
    if os.getuid() != 0 or shutil.which("ip") is None:
        raise BadSettings(
            "Network namespaces take root and the program `ip`. Remedy: apt install iproute2, and run this as root."
        )
    with _two_hosts():
        command = [
            "ip",
            "netns",
            "exec",
            CABLE[0],
            sys.executable,
            "-m",
            "benchmarks.hosts",
            json.dumps(asdict(plan)),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def cut(plan: Cuts) -> ChaosReport:
    """Carry a plan out, from the first host; `TimeoutError` if the run does not end."""
    folder = Path(tempfile.mkdtemp(prefix="ris-hosts-"))
    binaries = postgres.find_binaries()
    assert binaries
    with (
        label_studio_server.running(folder, HEAD) as studio,
        postgres.server(binaries, HEAD, SQL_PORT) as sql_url,
        _redis(folder) as redis_url,
    ):
        pace = LoadPlan(tasks=plan.tasks, workers=1, model_s=plan.model_s, batch=20)
        settings = {"REDIS_URL": redis_url, "DATABASE_URL": sql_url}
        worker = _on_far_host(stand_in_command(pace), folder / "far")
        site = BenchmarkEnvironment(folder / "site", pace, studio.url, studio.token, None, worker, settings)
        (folder / "site").mkdir()
        report, began = ChaosReport(pace), time.monotonic()
        with site.running() as run_store:
            project, tasks = site.make_project()
            run = run_store.add_run(RunSpec(project, expressions=(EXPRESSION,)), make_segmenter(0).model_version)
            _let_it_run(site, run_store, run.id, plan, report)
            count(site, run_store, run_store.get(run.id), tasks, report)
        report.runs, report.seconds = 1, time.monotonic() - began
    shutil.rmtree(folder, ignore_errors=True)  # kept if something went wrong
    return report


def _let_it_run(site: BenchmarkEnvironment, run_store: RunStore, run: str, plan: Cuts, report: ChaosReport) -> None:
    due = [plan.tasks * (number + 1) // (plan.cuts + 1) for number in range(plan.cuts)]
    seen: tuple[dict[str, int], float] = ({}, time.monotonic())
    while run_store.get(run).state not in OVER:
        site.keep_alive()
        counts = run_store.counts.by_state(run)
        if due and counts.get("done", 0) >= due[0]:
            due.pop(0)
            before = run_store.counts.by_state(run)
            _set_link("down")
            _wait(site, plan.cut_s)
            _set_link("up")
            report.events[f"link cut for {plan.cut_s:.0f} s"] += 1
            _note(f"cut: {before} before, {run_store.counts.by_state(run)} after")
        if counts != seen[0]:
            seen = counts, time.monotonic()
        if time.monotonic() - seen[1] > STUCK_S:
            raise TimeoutError(f"The run {run} is stuck: {counts}, {run_store.get(run).note}. See {site.folder}.")
        time.sleep(0.1)


def _wait(site: BenchmarkEnvironment, seconds: float) -> None:
    """A worker that gives up in the meantime is started again, as its supervisor would."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        site.keep_alive()
        time.sleep(0.5)


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """A Redis that the other host reaches too; its URL."""
    program, password = redis_server.find_program(), secrets.token_hex(16)
    if program is None:
        raise BadSettings("No Redis was found. Remedy: apt install redis-server")
    options = {"bind": HEAD, "port": str(REDIS_PORT), "requirepass": password, "save": "", "dir": str(folder)}
    command = [program, *(part for name, value in options.items() for part in (f"--{name}", value))]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"redis://:{password}@{HEAD}:{REDIS_PORT}/0"
    try:
        _wait_for_redis(url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for_redis(url: str) -> None:
    conn, until = redis_client.connect(url), time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return redis_client.ping(conn)
        except Unreachable:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _on_far_host(command: Sequence[str], folder: Path) -> tuple[str, ...]:
    """A command on the other host, with a state folder of its own."""
    named = f'hostname {CABLE[1]} && exec "$@"'
    own = f"RIS_STATE_DIR={folder}"
    return "ip", "netns", "exec", CABLE[1], "unshare", "--uts", "sh", "-c", named, "sh", "env", own, *command


def _set_link(state: str) -> None:
    _note(f"link {state}")
    _ip("link", "set", CABLE[0], state)


@contextmanager
def _two_hosts() -> Iterator[None]:
    made: list[str] = []
    try:
        for name in CABLE:
            _ip("netns", "add", name)
            made.append(name)
        _ip("link", "add", CABLE[0], "netns", CABLE[0], "type", "veth", "peer", "name", CABLE[1], "netns", CABLE[1])
        for name, address in zip(CABLE, (HEAD, FAR), strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", name)
            _ip("-n", name, "link", "set", name, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()
        raise BadSettings(
            f"This machine does not let us make network namespaces ({said}). Try it outside of a container."
        )


def _note(text: str) -> None:
    print(f"{time.strftime('%X')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(cut(Cuts(**json.loads(sys.argv[1]))).to_markdown())
