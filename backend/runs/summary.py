"""How a run stands, in words and numbers."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from backend.runs.counts import Failure
from backend.runs.run import OVER, Run
from backend.runs.store import RunStore
from ris_core.output.plain_text import one_line

RATE_S = 60.0
"""Time over which the rate is taken."""
LATEST = 5
"""Failures that a status shows."""
UNCALIBRATED = "not calibrated: they put candidates in order, and none says how likely a mask is right"
_TO_ANSWER = ("held", "retrying", "new", "running")
_NAMES = {"ready": "to write", "new": "to do", "retrying": "to try again"}


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        items: How many are in each state.
        per_s: Tasks answered in a second lately, of a run that is over while it was at work; 0 if none was.
        eta_s: Seconds until the last is answered at that rate; None if that cannot be told.
        workers: Workers that are ready; None if Redis does not say.
        failures: The latest.
        versions: How many tasks each model version has answered.
        nothing_found: Tasks for which a query found nothing.
        unsure: Tasks with an answer beside which another fits nearly as well.
        is_uncalibrated: Scores of its answers are no probabilities.
    """

    run: Run
    items: dict[str, int]
    per_s: float
    eta_s: float | None
    workers: int | None
    failures: list[Failure]
    versions: dict[str, int]
    nothing_found: int = 0
    unsure: int = 0
    is_uncalibrated: bool = False

    @property
    def state(self) -> str:
        """The run's state; "refused" if it failed since it cannot be as it was asked for."""
        return "refused" if self.run.is_refused else self.run.state

    @property
    def total(self) -> int:
        """Tasks of the run."""
        return sum(self.items.values())

    def to_json(self) -> dict[str, Any]:
        """As JSON values; nothing secret."""
        run = self.run
        return {
            "id": run.id,
            "name": run.spec.name,
            "project": run.project,
            "state": run.state,
            "is_refused": run.is_refused,
            "note": run.note,
            "about": run.spec.about,
            "model_version": run.model_version,
            "versions": self.versions,
            "created_at": run.created_at,
            "finished_at": run.finished_at,
            "skipped": run.skipped,
            "watches": run.spec.watch and run.state not in OVER,
            "items": self.items,
            "nothing_found": self.nothing_found,
            "unsure": self.unsure,
            "is_uncalibrated": self.is_uncalibrated,
            "per_s": round(self.per_s, 3),
            "eta_s": None if self.eta_s is None else round(self.eta_s),
            "workers": self.workers,
            "failures": [asdict(failure) for failure in self.failures],
        }

    def to_row(self) -> tuple[str, ...]:
        """A row of a table of runs: id, project, state, answered tasks and how many of these found nothing, or are unsure; failed
        tasks, all tasks, and what is asked."""
        counts = (self.items.get("done", 0), self.nothing_found, self.unsure, self.items.get("failed", 0), self.total)
        name = f"{self.run.spec.name}: " if self.run.spec.name else ""
        return (self.run.id, str(self.run.project), self.state, *map(str, counts), name + self.run.spec.about)

    def to_text(self) -> str:
        """For people."""
        run = self.run
        name = f" ({run.spec.name})" if run.spec.name else ""
        told = [*self.to_facts(), *(("failed", f"task {one.task}: {one.error}") for one in self.failures)]
        lines = [
            f"run {run.id}{name}, project {run.project}: {self.state}",
            *(f"  {of:<10} {text}" for of, text in told),
        ]
        return "\n".join(map(one_line, lines))

    def to_facts(self) -> list[tuple[str, str]]:
        """What there is to say of it besides its failures: what about, and in words."""
        run = self.run
        states = ", ".join(f"{number} {_NAMES.get(state, state)}" for state, number in sorted(self.items.items()))
        facts = [
            ("asks", run.spec.about),
            ("version", f"{run.model_version}{self._earlier()}"),
            ("tasks", (states or "none") + (f"; {run.skipped} answered before" if run.skipped else "")),
            *self._found(),
            *self._watches(),
            ("rate", self._rate()),
        ]
        return [*facts, ("note", run.note)] if run.note else facts

    def _found(self) -> list[tuple[str, str]]:
        """Of how many tasks the answer wants a look."""
        counts = ((self.nothing_found, "nothing found"), (self.unsure, "unsure"))
        text = ", ".join(f"{number} {what}" for number, what in counts if number)
        facts = [("answers", text)] if text else []
        return [*facts, ("scores", UNCALIBRATED)] if self.is_uncalibrated else facts

    def _watches(self) -> list[tuple[str, str]]:
        """That later tasks join."""
        if not self.run.spec.watch or self.run.state in OVER:
            return []
        return [("watches", f"tasks that are imported later join, until `ris run finish {self.run.id}`")]

    def _earlier(self) -> str:
        """What other versions have answered, if the run went on with another one."""
        others = [
            f"{number} by {one}" for one, number in sorted(self.versions.items()) if one != self.run.model_version
        ]
        return f" ({', '.join(others)})" if others else ""

    def _rate(self) -> str:
        if self.run.state in OVER:
            return f"{self.per_s:.2f} tasks/s while it was at work" if self.per_s else "nothing was begun"
        workers = (
            f"{self.workers} worker{'s' * (self.workers != 1)}" if self.workers is not None else "Redis does not answer"
        )
        if self.workers == 0 and self.run.state in ("planning", "running", "preview"):
            workers = "no worker is ready: start one with `ris up` or `ris worker`"
        eta = f", done in {show_span(self.eta_s)}" if self.eta_s is not None else ""
        return f"{self.per_s:.2f} tasks/s{eta}; {workers}"


def look(run_store: RunStore, run_id: str, workers: int | None) -> RunStatus:
    """How a run stands now.

    Raises:
        BadRun: If there is no such run.
        Unreachable: If the database does not answer.
    """
    run = run_store.get(run_id)
    counts = run_store.counts.by_state(run.id)
    now = time.time()
    if run.state in OVER:
        rate = (
            run_store.counts.measure_rate(run.id) if run.rate is None else run.rate
        )  # None: an older version closed it
        per_s = rate or 0.0
    else:
        began = max(now - RATE_S, run_store.counts.first_begun(run.id) or now)
        per_s = run_store.counts.answered_since(run.id, began) / max(now - began, 1.0)
    nothing_found, unsure = run_store.counts.found(run.id)
    left = sum(counts.get(state, 0) for state in _TO_ANSWER)
    is_timed = per_s > 0 and left > 0 and run.state == "running"
    return RunStatus(
        run=run,
        items=counts,
        per_s=per_s,
        eta_s=left / per_s if is_timed else None,
        workers=workers,
        failures=run_store.counts.failures(run.id, LATEST),
        versions=run_store.counts.versions(run.id),
        nothing_found=nothing_found,
        unsure=unsure,
        is_uncalibrated=run_store.counts.has_uncalibrated(run.id),
    )


def show_span(seconds: float) -> str:
    """A time in units that can be read."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
