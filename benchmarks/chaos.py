"""`ris bench chaos`: runs against a real Label Studio while what carries them is killed; then everything is counted.

It takes place on a `site`: workers with a model that only takes time, and Redis, SQL, backend and Label Studio as a user has.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from backend.runs.run import OVER, Run
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore
from benchmarks.environment import BenchmarkEnvironment, LoadPlan
from benchmarks.fake_model import make_segmenter

EXPRESSION = "the left half"
SETTLE_S = 120.0
"""A run that changes nothing for so long, when nothing is broken any more, is stuck."""


@dataclass
class ChaosReport:
    """What was counted, over all runs.

    Attributes:
        events: How often each thing was done.
        items: Items of the run store by state.
        reasons: Why items failed.
        lost: Tasks that the run store has as done, without a prediction.
        doubled: Predictions beyond one a task.
        stray: Predictions of tasks that the run store has as failed.
    """

    plan: LoadPlan
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
            "changes of supervisor": self.takeovers,
            "items": items,
            "reasons of failures": dict(self.reasons) or "-",
            "lost": self.lost,
            "doubled": self.doubled,
            "stray": self.stray,
        }
        return "\n".join(["| what | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])


def wreak(site: BenchmarkEnvironment) -> ChaosReport:
    """Carry a plan out, and count; `TimeoutError` if a run does not end."""
    report, chance, began = ChaosReport(site.plan), random.Random(site.plan.seed), time.monotonic()
    left = _events(site, chance)
    with site.running() as run_store:
        while not report.runs or left:
            project, tasks = site.make_project()
            spec = RunSpec(project, expressions=(EXPRESSION,), name=f"chaos {report.runs}")
            run = run_store.add_run(spec, make_segmenter(0).model_version)
            _let_it_run(site, run_store, run, left, chance, report)
            count(site, run_store, run_store.get(run.id), tasks, report)
            report.runs += 1
    report.seconds = time.monotonic() - began
    return report


def _events(site: BenchmarkEnvironment, chance: random.Random) -> list[str]:
    plan = site.plan
    events = ["worker killed"] * plan.kills + ["Redis killed"] * plan.redis_kills
    events += ["backend killed"] * plan.backend_restarts + ["worker stopped"] * plan.stops
    if site.restart_studio:
        events += ["Label Studio restarted"] * plan.studio_restarts
    chance.shuffle(events)
    return events


def _let_it_run(
    site: BenchmarkEnvironment,
    run_store: RunStore,
    run: Run,
    left: list[str],
    chance: random.Random,
    report: ChaosReport,
) -> None:
    """Let things happen until the run is over and nobody stands still."""
    due = time.monotonic() + chance.uniform(*site.plan.every_s)
    seen: tuple[Mapping[str, Any], float] = ({}, time.monotonic())
    while (now := run_store.get(run.id)).state not in OVER or not site.is_whole:
        site.keep_alive()
        if left and time.monotonic() > due and now.state == "running":
            event = left.pop()
            site.do(event)
            report.events[event] += 1
            due = time.monotonic() + chance.uniform(*site.plan.every_s)
        counts = run_store.counts.by_state(run.id)
        if counts != seen[0]:
            seen = counts, time.monotonic()
        if time.monotonic() - seen[1] > SETTLE_S + 2 * site.plan.lease_s:
            raise TimeoutError(f"The run {run.id} is stuck ({now.state}, {counts}, {now.note}). See {site.folder}.")
        time.sleep(0.1)


def count(site: BenchmarkEnvironment, run_store: RunStore, run: Run, tasks: list[int], report: ChaosReport) -> None:
    """Compare what a run left in Label Studio with the run store, and add it to a report."""
    done = {item.task for item in _all_done(run_store, run)}
    for task in tasks:
        number = sum(one["model_version"] == run.model_version for one in site.studio.predictions_of(task))
        report.doubled += max(0, number - 1)
        report.lost += task in done and number == 0
        report.stray += task not in done and number > 0
    report.items.update(run_store.counts.by_state(run.id))
    report.reasons.update(failure.reason for failure in run_store.counts.failures(run.id))
    report.items["missing"] += len(tasks) - sum(run_store.counts.by_state(run.id).values())
    report.takeovers += run.fence


def _all_done(run_store: RunStore, run: Run) -> Iterator[Any]:
    after = -1
    while items := run_store.items.in_state(run.id, "done", after=after):
        yield from items
        after = items[-1].task
