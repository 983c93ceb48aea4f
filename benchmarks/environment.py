"""What a benchmark of runs takes place on: Redis, SQL, workers and backend of its own, and what may happen to them.

Workers have a model that only takes time (`stand_in`), unless another program is named. Everything else is what a user has.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import cv2
import httpx
import numpy as np

from backend.base import processes
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore, open_run_store
from backend.runs.studio_client import RunClient
from backend.transport import redis_client, redis_server
from benchmarks.fake_model import PROFILE

CONFIG = """<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image" smart="false">
<Label value="Thing"/></BrushLabels></View>"""
SIDE_PX = 64
STOPPED_BEYOND_LEASE_S = 25.0
"""How much longer than a lease a worker stands still: its heart-beat is missed, its work and its runs are taken over."""
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class LoadPlan:
    """What happens.

    Attributes:
        tasks: Tasks of each run; runs follow one another until there were `kills`.
        kills: `kill -9` of a worker.
        redis_kills: `kill -9` of Redis; what it had kept is deleted too.
        stops: A worker stands still for longer than a lease, then goes on.
        every_s: Shortest and longest time between two of all these.
        model_s: Seconds that an expression takes.
        lease_s: How long a supervisor may be silent.
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


def stand_in_command(plan: LoadPlan) -> tuple[str, ...]:
    """How a worker is started whose model only takes time."""
    told = map(str, (plan.model_s, plan.lease_s, plan.batch))
    return sys.executable, "-m", "benchmarks.fake_model", *told


class BenchmarkEnvironment:
    """Redis, SQL, workers and backend in a folder of their own; starts again what ends.

    Args:
        folder: Where it all is; short enough for a unix socket.
        studio_url, token: Label Studio.
        restart_studio: Stops Label Studio hard and starts it; None if it may not be touched.
        worker: Command of a worker; the stand-in's otherwise.
        settings: Variables laid over what workers and backend are started with.
    """

    def __init__(
        self,
        folder: Path,
        plan: LoadPlan,
        studio_url: str,
        token: str,
        restart_studio: Callable[[], None] | None,
        worker: Sequence[str] = (),
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.folder, self.plan, self.restart_studio = folder, plan, restart_studio
        self.studio = RunClient(studio_url, token)
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
            **settings,
        }
        self._worker = tuple(worker) or stand_in_command(plan)
        self._has_redis = "REDIS_URL" in settings
        self._sql_url = settings.get("DATABASE_URL", f"sqlite:///{folder.resolve() / 'ris.sqlite3'}")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.backend: subprocess.Popen[bytes] | None = None
        self._stopped: dict[int, float] = {}  # pid -> when it goes on

    @contextmanager
    def running(self) -> Iterator[RunStore]:
        """Everything started; in the end, everything stopped."""
        run_store = open_run_store(self._sql_url)
        try:
            self.keep_alive()
            yield run_store
        finally:
            for process in [*self.workers, *([self.backend] if self.backend else [])]:
                process.kill()
                process.wait()
            redis_server.stop(self.folder)
            run_store.close()

    def keep_alive(self) -> None:
        """Start what is not running, and let go on what stood still for long enough."""
        if not self._has_redis:
            redis_server.ensure(None, self.folder)
        self.workers = [process for process in self.workers if process.poll() is None]
        while len(self.workers) < self.plan.workers:
            self.workers.append(self._start("worker", self._worker))
        if self.backend is None or self.backend.poll() is not None:
            self.backend = self._start("backend", (sys.executable, "-m", "backend", "serve"))
        for pid, until in list(self._stopped.items()):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGCONT)
                del self._stopped[pid]

    def do(self, event: str) -> None:
        """Let one of the plan's things happen."""
        if event == "Redis killed":
            conn = redis_client.connect(redis_server.resolve_url(None, self.folder))
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

    def _start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=_ROOT, env=self._env, stdout=log, stderr=log, start_new_session=True)
