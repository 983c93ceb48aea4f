"""Watching a project: tasks that are imported while a run is at work join it."""

import time

from backend.runs import planner
from backend.runs.run import Run
from backend.runs.store import RunStore
from backend.runs.studio_client import RunClient

LOOK_S = 10.0
"""Time between two looks at a project; each is one request if nothing was imported."""
OVERLAP = 1000
"""How many ids before the highest one known are looked at again."""
SETTLE_S = 300.0
"""How long after tasks were found that is done: of two imports at once, the lower ids may show later than the higher ones."""


class ProjectWatch:
    """What one supervisor remembers of the projects that its runs watch. A new supervisor begins anew, with a look at once."""

    def __init__(self, run_store: RunStore) -> None:
        self._run_store = run_store
        self._look_at: dict[str, float] = {}
        self._settled_at: dict[str, float] = {}

    def is_due(self, run: Run) -> bool:
        """Whether it is time to look for a run's later tasks."""
        is_watching = run.spec.watch and run.state == "running"
        return is_watching and time.monotonic() >= self._look_at.get(run.id, 0.0)

    def look(self, studio: RunClient, run: Run, fence: int) -> int:
        """Have the tasks join that were imported since; how many.

        Raises: As `planner.plan_later` does.
        """
        now = time.monotonic()
        self._look_at[run.id] = now + LOOK_S
        is_settled = now >= self._settled_at.setdefault(run.id, now + SETTLE_S)
        after = run.planned_to if is_settled else max(0, run.planned_to - OVERLAP)
        number = planner.plan_later(self._run_store, studio, run, fence, after)
        if number:
            self._settled_at[run.id] = now + SETTLE_S
        return number
