"""`ris bench ledger`: what each question of a run costs, by the number of its items.

Nothing may grow with the run, since workers ask these every second and for every item. Items are written by SQL; then each question
is asked a few times, in a database of its own.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from backend.db.request_store import RequestStore
from backend.db.tables import answer
from backend.runs.queries import Query
from backend.runs.run import AT_WORK, Run
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore, open_run_store
from ris_core.geometry import boxes
from ris_core.geometry.masks import to_rle

REPEATS = 15
WARM_UP = 3
POOL = 50
"""Different answers."""
HEIGHT, WIDTH = 480, 640
BATCH = 10_000
"""Items of one statement."""
MIXES: Mapping[str, float] = {"all new": 0.0, "98 % done": 0.98}
"""Share of items that are done; the others are new."""
TICK = ("list_runs", "list_running", "count_beginnable", "retrying", "writing", "replacing", "ready", "has_open")
"""What a worker's supervisor asks each second."""


@dataclass
class QuestionTimes:
    """Milliseconds that questions about a run take, by mix, number of items and question.

    Attributes:
        database: Its kind.
        clock: "CPU" where the database is in this process, else "wall".
        bytes_per_item: Size of the database for each item with its answer; None where it is not known.
    """

    database: str
    clock: str
    milliseconds: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)
    bytes_per_item: float | None = None

    def to_json(self) -> str:
        """All of it as a JSON document."""
        return json.dumps(self.__dict__, indent=1)

    def to_markdown(self) -> str:
        """A table for each mix: a line for each question, a column for each number of items."""
        parts = [f"{self.database}, {self.clock} ms for each call, median of {REPEATS}"]
        for mix, by_items in self.milliseconds.items():
            sizes = list(by_items)
            lines = [f"| {mix} | " + " | ".join(f"{size:,}" for size in sizes) + " | last / first |"]
            lines.append("| --- |" + " ---: |" * (len(sizes) + 1))
            for question in by_items[sizes[0]]:
                row = [by_items[size][question] for size in sizes]
                shown = " | ".join(f"{value:.2f}" for value in row)
                lines.append(f"| {question} | {shown} | {row[-1] / row[0]:.1f} |")
            parts.append("\n".join(lines))
        if self.bytes_per_item is not None:
            parts.append(
                f"{self.bytes_per_item:,.0f} bytes for each item with its answer: one query, five candidates of 640 x 480 pixels."
            )
        return "\n\n".join(parts)


def measure(items: int, url: str | None = None, report: Callable[[str], None] = lambda text: None) -> QuestionTimes:
    """Ask everything of runs of `items` items, of a tenth, and of a thousand.

    Args:
        url: An empty PostgreSQL database, which is left with the items; None for SQLite files that are deleted.
        report: Is told what is being done.
    """
    sizes = sorted({1000, max(1000, items // 10), items})
    figures = QuestionTimes("PostgreSQL", "wall") if url else QuestionTimes("SQLite", "CPU")
    for mix, share_done in MIXES.items():
        for size in sizes:
            report(f"{mix}, {size:,} items")
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "ris.sqlite3"
                run_store = open_run_store(url or f"sqlite:///{file}")
                try:
                    run = _fill(run_store, size, share_done)
                    by_items = figures.milliseconds.setdefault(mix, {})
                    by_items[size] = _ask(run_store, run, time.perf_counter if url else time.process_time)
                finally:
                    run_store.close()
                if not url:
                    figures.bytes_per_item = file.stat().st_size / size
    return figures


def _fill(run_store: RunStore, items: int, share_done: float) -> Run:
    """A run that works, and its items."""
    run = run_store.add_run(RunSpec(3, expressions=("the dog",)), "v1", "running", label_config="<View/>")
    queries = json.dumps([Query("the dog", "Dog").to_json()])
    done = int(items * share_done)
    pool = [_make_candidates(seed) for seed in range(POOL)]
    columns = (
        "run, task, image, queries, state, attempts, deferrals, retry_at, worker, started_at, finished_at, image_sha256, "
        "encode_fp, model_version, seconds"
    )
    for first in range(1, items + 1, BATCH):
        rows = [_row(run.id, task, queries, task <= done) for task in range(first, min(first + BATCH, items + 1))]
        with run_store._transactions.writing() as db:
            values = ", ".join(f":{name.strip()}" for name in columns.split(","))
            db.execute(sa.text(f"INSERT INTO item ({columns}) VALUES ({values})"), rows)
            answered = [row["task"] for row in rows if row["state"] == "done"]
            db.execute(
                sa.insert(answer), [_answer_row(run, int(str(task)), pool) for task in answered]
            ) if answered else None
    if run_store._engine.dialect.name == "postgresql":  # as its autovacuum does within a minute
        with run_store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            db.exec_driver_sql("VACUUM ANALYZE")
    return run


def _row(run: str, task: int, queries: str, is_done: bool) -> dict[str, object]:
    now = time.time() - 100_000 + task / 10
    answered = {
        "state": "done",
        "attempts": 1,
        "worker": "host-1",
        "started_at": now,
        "finished_at": now + 0.1,
        "image_sha256": None,  # the answer says it
        "encode_fp": "f" * 16,
        "model_version": "v1",
        "seconds": '{"fetch_s": 0.02, "encode_s": 0.5, "segment_s": 0.03}',
    }
    empty = {**dict.fromkeys(answered), "state": "new", "attempts": 0}
    about = {"run": run, "task": task, "image": f"/data/upload/3/{task:08d}-picture.jpg", "queries": queries}
    return {**about, "deferrals": 0, "retry_at": 0.0, **(answered if is_done else empty)}


def _answer_row(run: Run, task: int, pool: Sequence[Sequence[dict[str, object]]]) -> dict[str, object]:
    candidates = pool[task % len(pool)]
    return {
        "run": run.id,
        "query": 0,
        "created_at": time.time(),
        "project": run.project,
        "task": str(task),
        "expression": "the dog on the left",
        "label": "Dog",
        "is_guess": False,
        "decision": "match",
        "model_version": "base.guided.1234abcd",
        "is_calibrated": False,
        "encode_fp": "f" * 16,
        "image_sha256": f"{task:064x}",
        "height": HEIGHT,
        "width": WIDTH,
        "candidates": candidates,
        "selected": [0],
        "others": [1, 2],
        "reading": {"meant": ["dog"], "unused": []},
    }


def _make_candidates(seed: int) -> list[dict[str, object]]:
    """Five ragged ellipses, as large as things in photographs are, with the parts of a score."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    made: list[dict[str, object]] = []
    for i in range(5):
        row, column, radius = rng.uniform(0.2, 0.8) * HEIGHT, rng.uniform(0.2, 0.8) * WIDTH, rng.uniform(20, 140)
        around = np.arctan2(rows - row, columns - column)
        waves = sum(rng.normal() * 0.1 / f * np.cos(f * around + rng.uniform(0, 6)) for f in range(1, 8))
        mask = np.hypot(rows - row, columns - column) < radius * (1 + waves)
        names = ("look", "look_rank", "on the left", "predicted_iou", "stability")
        parts = {name: float(np.float32(rng.random())) for name in names}
        box = boxes.from_masks(mask[None])[0].tolist()
        made.append(
            {"rank": i + 1, "score": float(rng.random()), "bbox_xywh": box, "mask": to_rle(mask), "parts": parts}
        )
    return made


def _ask(run_store: RunStore, run: Run, clock: Callable[[], float]) -> dict[str, float]:
    items, counts, claims = run_store.items, run_store.counts, run_store.claims
    requests = RequestStore(run_store._engine)
    fence = run_store.leases.take(run.id, "bench") or 0

    def claim() -> None:
        for item in claims.claim(run.id, "bench", 1):
            if begun := claims.begin(item):
                claims.put_back(begun)

    def take_ready() -> None:
        run_store.writes.take_ready(run.id, fence, 100)

    questions: dict[str, Callable[[], object]] = {
        "claim, begin and put back": claim,
        "list_runs": lambda: run_store.list_runs(AT_WORK),
        "list_running": claims.list_running,
        "count_beginnable": lambda: items.count_beginnable(run.id, 16),
        **{
            state: lambda state=state: items.in_state(run.id, state, limit=100)  # type: ignore[misc]
            for state in ("retrying", "writing", "replacing", "ready")
        },
        "has_open": lambda: items.has_open(run.id),
        "take_ready": take_ready,
        "by_state": lambda: counts.by_state(run.id),
        "count_written": lambda: counts.count_written(run.project, "v1"),
        "versions": lambda: counts.versions(run.id),
        "found": lambda: counts.found(run.id),
        "first_begun": lambda: counts.first_begun(run.id),
        "answered_since": lambda: counts.answered_since(run.id, time.time() - 60),
        "latest failures": lambda: counts.failures(run.id, 5),
        "stage_seconds": counts.stage_seconds,
        "/metrics of runs": lambda: (
            counts.count_all(),
            counts.count_runs(),
            counts.answered_since(None, time.time() - 60),
        ),
        "/metrics of requests": requests.counts,
    }
    measured = {name: _time(question, clock) for name, question in questions.items()}
    return {**measured, "one second's tick": sum(measured[name] for name in TICK)}


def _time(question: Callable[[], object], clock: Callable[[], float]) -> float:
    """Median of the milliseconds that a question takes."""
    values: Sequence[float] = [_time_once(question, clock) for _ in range(WARM_UP + REPEATS)][WARM_UP:]
    return 1000 * statistics.median(values)


def _time_once(question: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    question()
    return clock() - began
