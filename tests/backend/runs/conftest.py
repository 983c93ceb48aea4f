"""A ledger, a Redis, a toy worker and a stand-in for Label Studio, all in this process: time passes when a test says so."""

import base64
import time
from dataclasses import replace
from pathlib import Path

import pytest

from backend.db.request_store import RequestStore
from backend.inference.feature_cache import FeatureCache
from backend.inference.service import InferenceService
from backend.label_studio.images import ImageFetcher
from backend.runs import supervisor as supervisors
from backend.runs.execution import RunContext, work
from backend.runs.run import Run
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore, open_run_store
from backend.runs.studio_client import RunClient
from backend.runs.supervisor import RunSupervisor
from backend.runs.worker_state import WorkerState
from backend.transport import redis_client, worker_registry
from tests.backend.runs.fake_studio import PROJECT, FakeStudio
from tests.toy import toy_png, toy_segmenter


def picture(number: int) -> str:
    """A toy picture of its own as an address."""
    return "data:image/png;base64," + base64.b64encode(toy_png(40, 40 + 2 * number)).decode()


class Rig:
    """Everything that a run needs.

    Attributes:
        studio: What stands for Label Studio.
        is_wanted: Whether an annotator waits.
    """

    def __init__(
        self, run_store: RunStore, store: RequestStore, conn, folder: Path, studio: FakeStudio, url: str
    ) -> None:
        self.run_store, self.items, self.conn, self.studio, self.url = run_store, run_store.items, conn, studio, url
        self.segmenter = toy_segmenter()
        cache = FeatureCache(folder / "features", 1 << 30)
        self.fetcher = ImageFetcher(label_studio_url=url, timeout_s=5.0)
        self.service = InferenceService(store, cache, self.fetcher, self.segmenter, 10_000_000, 5)
        self.is_wanted = False
        self.worker_state, self.supervisor = self.hire("me")
        self.means = RunContext(run_store, self.service, self.worker_state, lambda: self.is_wanted)

    def fetch_from(self, url: str) -> None:
        """Have images fetched from another Label Studio than the one that has the tasks."""
        self.fetcher = ImageFetcher(url, "token", timeout_s=5.0)
        self.service = replace(self.service, fetcher=self.fetcher)
        self.means = replace(self.means, service=self.service)

    def hire(self, name: str) -> tuple[WorkerState, RunSupervisor]:
        """Another worker's shift and steward."""
        worker_state = WorkerState()
        worker_state.begin(name)
        return worker_state, RunSupervisor(
            self.run_store, self.conn, lambda _: RunClient(self.url, "token", 5.0), worker_state
        )

    def add_tasks(self, count: int, **data: object) -> list[int]:
        """Tasks of one toy picture each; their ids."""
        first = max(self.studio.tasks, default=0) + 1
        for task in range(first, first + count):
            self.studio.tasks[task] = {"image": picture(task), **data}
        return list(range(first, first + count))

    def start(self, *expressions: str, **spec: object) -> Run:
        """A run that has been planned."""
        wanted = RunSpec(PROJECT, expressions=expressions, **spec)
        run = self.run_store.add_run(wanted, self.segmenter.model_version)
        self.supervisor.tick()
        return self.run_store.get(run.id)

    def work(self, run: Run) -> int:
        """What a worker does in one job."""
        return work(self.means, run.id, 30.0)

    def carry_on(self, run: Run, ticks: int = 30) -> Run:
        """Let the worker and the steward go on until the run rests; nobody waits for pauses."""
        for _ in range(ticks):
            self.work(run)
            self.skip_pauses(run)
            self.supervisor.tick()
            if (now := self.run_store.get(run.id)).state not in ("planning", "running", "cancelling"):
                return now
        return self.run_store.get(run.id)

    def skip_pauses(self, run: Run) -> None:
        """As if the pauses of a run, of its items and of whoever holds its lease were over."""
        with self.run_store._transactions.writing() as db:
            db.exec_driver_sql(f"UPDATE run SET hold_until = 0, push_at = 0 WHERE id = '{run.id}'")
            db.exec_driver_sql(f"UPDATE item SET retry_at = 0 WHERE run = '{run.id}'")

    def let_lease_end(self, run: Run) -> None:
        with self.run_store._transactions.writing() as db:
            db.exec_driver_sql(f"UPDATE run SET lease_until = {time.time() - 1} WHERE id = '{run.id}'")

    def age_running(self, run: Run, seconds: float = 1000.0) -> None:
        """As if everything at work had been begun earlier."""
        with self.run_store._transactions.writing() as db:
            db.exec_driver_sql(f"UPDATE item SET started_at = started_at - {seconds} WHERE run = '{run.id}'")

    def states(self, run: Run) -> dict[str, int]:
        return self.run_store.counts.by_state(run.id)


@pytest.fixture
def database_url(tmp_path):
    return f"sqlite:///{tmp_path / 'state' / 'ris.sqlite3'}"


@pytest.fixture
def run_store(database_url):
    opened = open_run_store(database_url)
    yield opened
    opened.close()


@pytest.fixture
def studio():
    return FakeStudio()


@pytest.fixture
def rig(run_store, store, redis_url, tmp_path, studio, serve, monkeypatch):
    monkeypatch.setattr(supervisors, "REST", 0.0)
    monkeypatch.setattr(worker_registry, "TURN_MS", 1)
    return Rig(run_store, store, redis_client.connect(redis_url), tmp_path, studio, serve(studio).url)
