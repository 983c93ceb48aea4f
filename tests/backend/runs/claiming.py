"""What a worker that does one item at a time does with a run's items."""

from backend.runs.item import RunItem
from backend.runs.store import RunStore


def begin_next(run_store: RunStore, run_id: str, worker: str) -> RunItem | None:
    """Claim the next item and begin it; None if there is none."""
    claimed = run_store.claims.claim(run_id, worker, 1)
    return run_store.claims.begin(claimed[0]) if claimed else None
