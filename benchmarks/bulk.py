"""`ris bench bulk`: what workers add up to, what annotators wait while a run is at work, and whether memory grows.

Nothing is written to Label Studio: what is measured is the queue, the database and the workers. The model only takes time
(`stand_in`), so that the number of cores does not count; and once more the demo's, which computes, with a thread a worker.
"""

import base64
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
import redis
from jaxtyping import UInt8
from numpy import ndarray

from backend.db.request_store import RequestStore, open_request_store
from backend.runs.item import PlannedItem
from backend.runs.queries import Query
from backend.runs.run import Run
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore
from backend.transport import queueing, redis_client, redis_server, worker_registry
from benchmarks.chaos import EXPRESSION
from benchmarks.environment import CONFIG, SIDE_PX, BenchmarkEnvironment, LoadPlan
from benchmarks.fake_model import make_segmenter
from demo.scenes import make_scene

PROJECT = 1
MODEL_S = 0.1
SETTLED_AT = 200
"""Tasks after which a worker has seen everything once."""


@dataclass(frozen=True)
class Scale:
    """A run with so many workers: tasks answered in a second by this model."""

    model: str
    workers: int
    per_s: float


@dataclass(frozen=True)
class Wait:
    """What somebody waits who types an expression, in seconds."""

    what: str
    p50_s: float
    p95_s: float


@dataclass(frozen=True)
class Memory:
    """Bytes after `SETTLED_AT` tasks, and at the end of so many."""

    what: str
    tasks: int
    settled: int
    end: int


@dataclass(frozen=True)
class BulkReport:
    """What was measured."""

    scales: tuple[Scale, ...]
    waits: tuple[Wait, ...]
    memory: tuple[Memory, ...]

    def to_json(self) -> str:
        """As one JSON document."""
        return json.dumps(asdict(self), indent=1)

    def to_markdown(self) -> str:
        """As tables."""
        one = {s.model: s.per_s / s.workers for s in reversed(self.scales)}
        lines = ["| model | workers | tasks/s | times one |", "| --- | --- | --- | --- |"]
        lines += [f"| {s.model} | {s.workers} | {s.per_s:.2f} | {s.per_s / one[s.model]:.2f} |" for s in self.scales]
        lines += ["", "| somebody types | p50, ms | p95, ms |", "| --- | --- | --- |"]
        lines += [f"| {w.what} | {w.p50_s * 1e3:.0f} | {w.p95_s * 1e3:.0f} |" for w in self.waits]
        lines += [
            "",
            f"| memory | after {SETTLED_AT} tasks, MB | at the end, MB | growth |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {m.what}, {m.tasks} tasks | {m.settled / 1e6:.1f} | {m.end / 1e6:.1f} | {m.end / m.settled - 1:+.1%} |"
            for m in self.memory
        ]
        return "\n".join(lines)


def measure(
    counts: tuple[int, ...] = (1, 2, 8),
    tasks_each: int = 100,
    memory_tasks: int = 1000,
    asked: int = 40,
    demo_counts: tuple[int, ...] = (1, 2),
    demo_tasks: int = 60,
) -> BulkReport:
    """Measure.

    Args:
        counts: Numbers of workers.
        tasks_each: Tasks of a run for each of its workers.
        memory_tasks: Tasks of the run whose memory is watched.
        asked: Expressions that are typed, each on an idle worker and during a run.
        demo_counts: Numbers of workers with the demo's model.
        demo_tasks: Tasks of each of their runs, each another scene.
    """
    scales = []
    for workers in counts:
        with tempfile.TemporaryDirectory(prefix="rb-") as folder:
            site = _site(Path(folder), workers, MODEL_S)
            pictures = [_picture()] * (tasks_each * workers)
            per_s = _measure_rate(site, pictures, make_segmenter(0).model_version)
            scales.append(Scale(f"{MODEL_S:.1f} s asleep", workers, per_s))
    scenes = [_scene(seed) for seed in range(demo_tasks)]
    for workers in demo_counts:
        with tempfile.TemporaryDirectory(prefix="rb-") as folder:
            per_s = _measure_rate(_demo_site(Path(folder), workers), scenes, None)
            scales.append(Scale("demo", workers, per_s))
    with tempfile.TemporaryDirectory(prefix="rb-") as folder:
        waits = _measure_waits(Path(folder), asked)
    with tempfile.TemporaryDirectory(prefix="rb-") as folder:
        memory = _measure_memory(Path(folder), memory_tasks)
    return BulkReport(tuple(scales), waits, memory)


def _measure_rate(site: BenchmarkEnvironment, pictures: Sequence[str], version: str | None) -> float:
    with site.running() as run_store:
        conn = _wait_for_workers(site.folder, site.plan.workers)
        began = time.monotonic()
        run = _make_run(run_store, pictures, version or worker_registry.model_version(conn))
        _wait(lambda: run_store.counts.by_state(run.id).get("done") == len(pictures))
        return len(pictures) / (time.monotonic() - began)


def _measure_waits(folder: Path, asked: int) -> tuple[Wait, ...]:
    with _site(folder, 1, MODEL_S).running() as run_store:
        _wait_for_workers(folder, 1)
        store = open_request_store(f"sqlite:///{folder.resolve() / 'ris.sqlite3'}")
        idle = [_ask(store, folder) for _ in range(asked)]
        run = _make_run(run_store, [_picture()] * 100_000, make_segmenter(0).model_version)
        _wait(lambda: bool(run_store.counts.by_state(run.id).get("done")))
        busy = [_ask(store, folder) for _ in range(asked)]
        store.close()
    return _summary("while nothing else is done", idle), _summary("while a run is at work", busy)


def _measure_memory(folder: Path, tasks: int) -> tuple[Memory, ...]:
    site = _site(folder, 1, 0.0)
    with site.running() as run_store:
        _wait_for_workers(folder, 1)
        conn = redis_client.connect(redis_server.resolve_url(None, folder))
        backend = site.backend
        assert backend

        def look() -> dict[str, int]:
            redis = int(conn.info("memory")["used_memory"])
            return {"worker": _resident(site.workers[0].pid), "backend": _resident(backend.pid), "Redis": redis}

        run = _make_run(run_store, [_picture()] * tasks, make_segmenter(0).model_version)
        _wait(lambda: run_store.counts.by_state(run.id).get("done", 0) >= SETTLED_AT)
        settled = look()
        _wait(lambda: run_store.counts.by_state(run.id).get("done") == tasks)
        end = look()
    return tuple(Memory(what, tasks, settled[what], end[what]) for what in settled)


def _site(folder: Path, workers: int, model_s: float) -> BenchmarkEnvironment:
    return BenchmarkEnvironment(folder, LoadPlan(workers=workers, model_s=model_s), "http://127.0.0.1:1", "none", None)


def _demo_site(folder: Path, workers: int) -> BenchmarkEnvironment:
    worker = (sys.executable, "-m", "backend", "worker")
    return BenchmarkEnvironment(
        folder,
        LoadPlan(workers=workers),
        "http://127.0.0.1:1",
        "none",
        None,
        worker,
        {"RIS_PROFILE": "demo", "THREADS": "1"},
    )


def _make_run(run_store: RunStore, pictures: Sequence[str], version: str | None) -> Run:
    """A run over pictures that need not be fetched, that writes nothing."""
    spec = RunSpec(PROJECT, expressions=(EXPRESSION,), push=False)
    run = run_store.add_run(spec, version, "planning", label_config=CONFIG)
    query = (Query(EXPRESSION),)
    for start in range(0, len(pictures), 1000):
        numbered = enumerate(pictures[start : start + 1000], start + 1)
        run_store.items.add(run.id, [PlannedItem(number, picture, query) for number, picture in numbered])
    run_store.change(run.id, "running", None)
    return run


def _ask(store: RequestStore, folder: Path) -> float:
    """Seconds until an expression is answered that is typed now."""
    conn = redis_client.connect(redis_server.resolve_url(None, folder))
    body = {"data": {"image": _picture()}, "label_config": CONFIG, "expressions": [EXPRESSION], "extra_params": {}}
    began = time.monotonic()
    request = store.add_request("interactive", "1", body, lifetime_s=90, project=PROJECT)
    queueing.enqueue(conn, queueing.SEGMENT_TASK, request)
    queueing.wait_for(conn, request, 90)
    seconds = time.monotonic() - began
    time.sleep(MODEL_S)
    return seconds


def _summary(what: str, seconds: list[float]) -> Wait:
    return Wait(what, statistics.median(seconds), sorted(seconds)[round(0.95 * (len(seconds) - 1))])


def _picture() -> str:
    return _as_address(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8))


def _scene(seed: int) -> str:
    return _as_address(make_scene(seed).image[..., ::-1])


def _as_address(pixels_bgr: UInt8[ndarray, "h w 3"]) -> str:
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", pixels_bgr)[1].tobytes()).decode()


def _wait_for_workers(folder: Path, number: int) -> redis.Redis:
    conn = redis_client.connect(redis_server.resolve_url(None, folder))
    _wait(lambda: sum(worker.state == "ready" for worker in worker_registry.list_workers(conn)) == number)
    return conn


def _wait(is_so: Callable[[], bool], timeout_s: float = 600.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("The run did not get on.")
        time.sleep(0.1)


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(psutil.Process(pid).memory_info().rss)
