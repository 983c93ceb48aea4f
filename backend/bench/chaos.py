"""`ris bench chaos`: runs against a real Label Studio while what carries them is killed; then everything is counted.

Workers have a model that only takes time (`stand_in`). Everything else is what a user has: Redis, SQL, backend, Label Studio.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from backend import processes, queueing, redis_server
from backend.bench.stand_in import PROFILE, make_segmenter
from backend.runs.ledger import OVER, Ledger, Run, open_ledger
from backend.runs.spec import RunSpec
from backend.runs.studio import RunStudio

CONFIG = """<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image" smart="false">
<Label value="Thing"/></BrushLabels></View>"""
EXPRESSION = "the left half"
SIDE_PX = 64
STOPPED_BEYOND_LEASE_S = 25.0
"""How much longer than a lease a worker stands still: its heart-beat is missed, its work and its runs are taken over."""
SETTLE_S = 120.0
"""A run that changes nothing for so long, when nothing is broken any more, is stuck."""
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Plan:
    """What happens.

    Attributes:
        tasks: Tasks of each run; runs follow one another until there were `kills`.
        kills: `kill -9` of a worker.
        redis_kills: `kill -9` of Redis; what it had kept is deleted too.
        stops: A worker stands still for longer than a lease, then goes on.
        every_s: Shortest and longest time between two of all these.
        model_s: Seconds that an expression takes.
        lease_s: How long a steward may be silent.
        batch: Predictions of one import: few, so that many imports are interrupted.
    """

    tasks: int = 300
    workers: int = 2
    kills: int = 20
    redis_kills: int = 2
    studio_restarts: int = 1
    backend_restarts: int = 1
    stops: int = 1
    every_s: tuple[float, float] = (1.0, 3.5)
    model_s: float = 0.3
    lease_s: float = 60.0
    batch: int = 5
    seed: int = 0


@dataclass
class Report:
    """What was counted, over all runs.

    Attributes:
        events: How often each thing was done.
        items: Items of the ledger by state.
        reasons: Why items failed.
        lost: Tasks done by the ledger and without a prediction.
        doubled: Predictions beyond one a task.
        stray: Predictions of tasks that failed by the ledger.
    """

    plan: Plan
    runs: int = 0
    seconds: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    stray: int = 0
    takeovers: int = 0

    def to_json(self) -> str:
        """As one JSON document."""
        return json.dumps({**vars(self), "plan": asdict(self.plan)}, indent=1)

    def to_markdown(self) -> str:
        """As a table."""
        events = ", ".join(f"{number} x {name}" for name, number in sorted(self.events.items()))
        items = ", ".join(f"{number} {state}" for state, number in sorted(self.items.items()))
        rows = {
            "runs of so many tasks": f"{self.runs} x {self.plan.tasks}",
            "workers": self.plan.workers,
            "what happened": events,
            "seconds": round(self.seconds),
            "changes of steward": self.takeovers,
            "items": items,
            "reasons of failures": dict(self.reasons) or "-",
            "lost": self.lost,
            "doubled": self.doubled,
            "stray": self.stray,
        }
        return "\n".join(["| what | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])


class Site:
    """Redis, SQL, workers and backend in a folder of their own; starts again what ends.

    Args:
        folder: Where it all is; short enough for a unix socket.
        studio_url, token: Label Studio.
        restart_studio: Stops Label Studio hard and starts it; None if it may not be touched.
    """

    def __init__(
        self, folder: Path, plan: Plan, studio_url: str, token: str, restart_studio: Callable[[], None] | None
    ) -> None:
        self.folder, self.plan, self.restart_studio = folder, plan, restart_studio
        self.studio = RunStudio(studio_url, token)
        self._token, self._random = token, random.Random(plan.seed)
        port = processes.free_port()
        self._env = {
            **os.environ,
            "RIS_STATE_DIR": str(folder),
            "RIS_PROFILE": PROFILE,
            "LABEL_STUDIO_URL": studio_url,
            "LABEL_STUDIO_API_KEY": token,
            "PORT": str(port),
            "OMP_NUM_THREADS": "1",
        }
        self.workers: list[subprocess.Popen[bytes]] = []
        self.backend: subprocess.Popen[bytes] | None = None
        self._stopped: dict[int, float] = {}  # pid -> when it goes on

    @contextmanager
    def running(self) -> Iterator[Ledger]:
        """Everything started; in the end, everything stopped."""
        redis_server.ensure(None, self.folder)
        ledger = open_ledger(f"sqlite:///{self.folder.resolve() / 'ris.sqlite3'}")
        try:
            self.keep_alive()
            yield ledger
        finally:
            for process in [*self.workers, *([self.backend] if self.backend else [])]:
                process.kill()
                process.wait()
            redis_server.stop(self.folder)
            ledger.close()

    def keep_alive(self) -> None:
        """Start what is not running, and let go on what stood still for long enough."""
        redis_server.ensure(None, self.folder)
        worker = ("backend.bench.stand_in", *map(str, (self.plan.model_s, self.plan.lease_s, self.plan.batch)))
        self.workers = [process for process in self.workers if process.poll() is None]
        while len(self.workers) < self.plan.workers:
            self.workers.append(self._start("worker", *worker))
        if self.backend is None or self.backend.poll() is not None:
            self.backend = self._start("backend", "backend", "serve")
        for pid, until in list(self._stopped.items()):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGCONT)
                del self._stopped[pid]

    def do(self, event: str) -> None:
        """Let one of the plan's things happen."""
        if event == "Redis killed":
            conn = queueing.connect(redis_server.resolve_url(None, self.folder))
            os.kill(int(conn.info("server")["process_id"]), signal.SIGKILL)
            time.sleep(0.2)
            for kept in self.folder.glob("appendonly*"):  # a file, or from Redis 7 on a folder
                shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
        elif event == "Label Studio restarted":
            assert self.restart_studio
            self.restart_studio()
        elif event == "backend killed" and self.backend:
            self.backend.kill()
            self.backend.wait()
        else:
            awake = [process for process in self.workers if process.pid not in self._stopped]
            process = self._random.choice(awake)
            if event == "worker stopped":
                os.kill(process.pid, signal.SIGSTOP)
                self._stopped[process.pid] = time.monotonic() + self.plan.lease_s + STOPPED_BEYOND_LEASE_S
            else:
                process.kill()
                process.wait()

    @property
    def is_whole(self) -> bool:
        """Whether nobody stands still."""
        return not self._stopped

    def make_project(self) -> tuple[int, list[int]]:
        """A project of as many tasks as the plan says; its id and theirs."""
        made = self.studio.request("POST", "/api/projects/", {"title": "Chaos", "label_config": CONFIG})
        project = int(made["id"])
        picture = self._upload(project)
        data = [{"image": f"{picture}?copy={i}"} for i in range(self.plan.tasks)]
        self.studio.request("POST", f"/api/projects/{project}/import", data)
        tasks: list[int] = []
        after: int | None = 0
        spec = RunSpec(project, kind="warm")
        while after is not None:
            page, after = self.studio.list_tasks(spec, after)
            tasks += [int(task.id) for task in page]
        return project, tasks

    def _upload(self, project: int) -> str:
        pixels = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
        files = {"file": ("a.png", cv2.imencode(".png", pixels)[1].tobytes(), "image/png")}
        url = f"{self.studio.url}/api/projects/{project}/import?commit_to_project=false"
        headers = {"Authorization": f"Token {self._token}"}
        answer = httpx.post(url, files=files, headers=headers, timeout=60, trust_env=False).raise_for_status().json()
        uploaded = self.studio.request("GET", f"/api/import/file-upload/{answer['file_upload_ids'][0]}")
        return f"/data/{uploaded['file']}"

    def _start(self, name: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            return subprocess.Popen(command, cwd=_ROOT, env=self._env, stdout=log, stderr=log, start_new_session=True)


def wreak(site: Site) -> Report:
    """Carry a plan out, and count; `TimeoutError` if a run does not end."""
    report, chance, began = Report(site.plan), random.Random(site.plan.seed), time.monotonic()
    left = _events(site, chance)
    with site.running() as ledger:
        while not report.runs or left:
            project, tasks = site.make_project()
            spec = RunSpec(project, expressions=(EXPRESSION,), name=f"chaos {report.runs}")
            run = ledger.add_run(spec, make_segmenter(0).model_version)
            _let_it_run(site, ledger, run, left, chance, report)
            _count(site, ledger, ledger.get(run.id), tasks, report)
            report.runs += 1
    report.seconds = time.monotonic() - began
    return report


def _events(site: Site, chance: random.Random) -> list[str]:
    plan = site.plan
    events = ["worker killed"] * plan.kills + ["Redis killed"] * plan.redis_kills
    events += ["backend killed"] * plan.backend_restarts + ["worker stopped"] * plan.stops
    if site.restart_studio:
        events += ["Label Studio restarted"] * plan.studio_restarts
    chance.shuffle(events)
    return events


def _let_it_run(site: Site, ledger: Ledger, run: Run, left: list[str], chance: random.Random, report: Report) -> None:
    """Let things happen until the run is over and nobody stands still."""
    due = time.monotonic() + chance.uniform(*site.plan.every_s)
    seen: tuple[Mapping[str, Any], float] = ({}, time.monotonic())
    while (now := ledger.get(run.id)).state not in OVER or not site.is_whole:
        site.keep_alive()
        if left and time.monotonic() > due and now.state == "running":
            event = left.pop()
            site.do(event)
            report.events[event] += 1
            due = time.monotonic() + chance.uniform(*site.plan.every_s)
        counts = ledger.tallies.counts(run.id)
        if counts != seen[0]:
            seen = counts, time.monotonic()
        if time.monotonic() - seen[1] > SETTLE_S + 2 * site.plan.lease_s:
            raise TimeoutError(f"The run {run.id} is stuck ({now.state}, {counts}, {now.note}). See {site.folder}.")
        time.sleep(0.1)


def _count(site: Site, ledger: Ledger, run: Run, tasks: list[int], report: Report) -> None:
    done = {item.task for item in _all_done(ledger, run)}
    for task in tasks:
        number = sum(one["model_version"] == run.model_version for one in site.studio.predictions_of(task))
        report.doubled += max(0, number - 1)
        report.lost += task in done and number == 0
        report.stray += task not in done and number > 0
    report.items.update(ledger.tallies.counts(run.id))
    report.reasons.update(failure.reason for failure in ledger.tallies.failures(run.id))
    report.items["missing"] += len(tasks) - sum(ledger.tallies.counts(run.id).values())
    report.takeovers += run.fence


def _all_done(ledger: Ledger, run: Run) -> Iterator[Any]:
    after = -1
    while items := ledger.items.in_state(run.id, "done", after=after):
        yield from items
        after = items[-1].task
