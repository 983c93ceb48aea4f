"""`ris bench bulk --stages`: how busy each stage of one worker is, and what their overlapping gains.

One worker does a run in this process: first one item after the other, then as workers do. Its model only takes time, and so do getting
an image and recording an answer; everything else is what a user has, but that nothing is written to Label Studio.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from backend.db.request_store import open_request_store
from backend.inference.feature_cache import FeatureCache
from backend.inference.service import InferenceService
from backend.runs.claims import ItemClaims
from backend.runs.execution import RunContext, work
from backend.runs.item import PlannedItem
from backend.runs.prefetching import AHEAD
from backend.runs.queries import Query
from backend.runs.run import Run
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore
from backend.runs.worker_state import WorkerState
from benchmarks.chaos import EXPRESSION
from benchmarks.environment import CONFIG
from benchmarks.fake_model import make_segmenter


@dataclass(frozen=True)
class StageSeconds:
    """What the stages take for each item, asleep, in seconds."""

    fetch: float = 0.05
    model: float = 0.1
    record: float = 0.05


@dataclass(frozen=True)
class PipelineRow:
    """One way of working: items in a second, and the share of the time that each stage was busy, in [0, 1]."""

    way: str
    per_s: float
    busy: dict[str, float]


@dataclass(frozen=True)
class PipelineReport:
    """What was measured."""

    items: int
    rows: tuple[PipelineRow, ...]

    @property
    def ratio(self) -> float:
        """How many times as many items overlapping does."""
        return self.rows[1].per_s / self.rows[0].per_s

    def to_json(self) -> str:
        """As one JSON document."""
        return json.dumps({**asdict(self), "ratio": self.ratio}, indent=1)

    def to_markdown(self) -> str:
        """As a table."""
        lines = [
            "| one worker | tasks/s | times serial | fetch busy | model busy | record busy |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for row in self.rows:
            shares = " | ".join(f"{row.busy[stage]:.0%}" for stage in ("fetch", "model", "record"))
            lines.append(f"| {row.way} | {row.per_s:.2f} | {row.per_s / self.rows[0].per_s:.2f} | {shares} |")
        return "\n".join(lines)


class SlowFetcher:
    """Gets every image after a time; no two are the same."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def fetch(
        self, url: str, hostname: str | None = None, token: str | None = None, task_id: int | str | None = None
    ) -> bytes:
        """A picture of the colour that the address names."""
        time.sleep(self._seconds)
        pixels = np.full((64, 64, 3), (*divmod(int(url), 256), 0), np.uint8)
        return cv2.imencode(".png", pixels)[1].tobytes()

    def ask(self, path: str, hostname: str | None = None, token: str | None = None) -> bytes:
        """Nothing is asked."""
        raise NotImplementedError


class SlowClaims(ItemClaims):
    """Claims whose answers take a time to be recorded."""

    def __init__(self, run_store: RunStore, seconds: float) -> None:
        super().__init__(run_store._transactions)
        self._seconds = seconds

    def finish(self, *args: Any, **named: Any) -> bool:
        """As `ItemClaims.finish`, after a time."""
        time.sleep(self._seconds)
        return super().finish(*args, **named)


def measure(items: int, seconds: StageSeconds = StageSeconds()) -> PipelineReport:
    """Measure both ways of working.

    Args:
        items: Items of each run.
    """
    ways = (("one item after the other", 0), ("overlapping", AHEAD))
    return PipelineReport(items, tuple(_measure(way, ahead, items, seconds) for way, ahead in ways))


def _measure(way: str, ahead: int, items: int, seconds: StageSeconds) -> PipelineRow:
    with tempfile.TemporaryDirectory(prefix="rb-") as folder:
        store = open_request_store(f"sqlite:///{Path(folder) / 'ris.sqlite3'}")
        run_store = RunStore(store.engine)
        run_store.claims = SlowClaims(run_store, seconds.record)
        cache = FeatureCache(Path(folder) / "features", 1 << 30)
        segmenter = make_segmenter(seconds.model)
        service = InferenceService(store, cache, SlowFetcher(seconds.fetch), segmenter, 1 << 20, 5)
        worker_state = WorkerState()
        worker_state.begin("bench")
        context = RunContext(run_store, service, worker_state, lambda: False, ahead)
        run = _make_run(run_store, segmenter.model_version, [str(number) for number in range(items)])
        began = time.perf_counter()
        while run_store.counts.by_state(run.id).get("done") != items:
            if not work(context, run.id):
                raise TimeoutError("The run did not get on.")
        wall_s = time.perf_counter() - began
        store.close()
    return PipelineRow(way, items / wall_s, {stage: s / wall_s for stage, s in context.stage_times.busy_s.items()})


def _make_run(run_store: RunStore, version: str, addresses: Sequence[str]) -> Run:
    spec = RunSpec(1, expressions=(EXPRESSION,), push=False)
    run = run_store.add_run(spec, version, "planning", label_config=CONFIG)
    planned = [PlannedItem(number, address, (Query(EXPRESSION),)) for number, address in enumerate(addresses, 1)]
    run_store.items.add(run.id, planned)
    run_store.change(run.id, "running", None)
    return run
