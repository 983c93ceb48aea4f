"""Leases: who a run's supervisor is, and what only the supervisor may record.

A run has one supervisor at a time, which plans it, writes its predictions and closes it: the worker that holds its lease. With every
change of hands the run's fence goes up by one, and what a former supervisor still tries under the old fence changes nothing.
"""

import time
from typing import Any

import sqlalchemy as sa

from backend.db.database import Transactions
from backend.db.run_tables import run
from ris_core.errors import RisError

LEASE_S = 60.0
"""How long a supervisor keeps a run without renewing its lease; longer than one request to Label Studio may take."""


class LeaseLost(RisError):
    """Another worker is the run's supervisor now."""


class RunLeases:
    """The part of `RunStore` that supervisors use."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def take(self, run_id: str, supervisor: str) -> int | None:
        """Become, or stay, a run's supervisor; its fence, or None if another worker is."""
        now = time.time()
        with self._transactions.writing() as db:
            row = db.execute(
                sa.select(run.c.steward, run.c.fence, run.c.lease_until).where(run.c.id == run_id).with_for_update()
            ).first()
            if row is None or (row.steward != supervisor and row.lease_until > now):
                return None
            # one whose lease ran out cannot know who had it meanwhile
            fence = int(row.fence) + (row.steward != supervisor or row.lease_until <= now)
            values = {"lease_until": now + LEASE_S, "steward": supervisor, "fence": fence}
            db.execute(sa.update(run).where(run.c.id == run_id).values(values))
        return fence

    def renew(self, run_id: str, fence: int) -> None:
        """Stay the supervisor.

        Raises:
            LeaseLost: If another worker is.
        """
        self._update(run_id, fence, {"lease_until": time.time() + LEASE_S})

    def drop(self, run_id: str, fence: int) -> None:
        """Let any worker become the supervisor at once."""
        with self._transactions.writing() as db:
            db.execute(sa.update(run).where(run.c.id == run_id, run.c.fence == fence).values(lease_until=0.0))

    def note_plan(self, run_id: str, fence: int, **values: Any) -> None:
        """Record how far a run is planned: `planned_to`, `skipped`, `label_config`, `model_version`.

        Raises:
            LeaseLost: If another worker is its supervisor.
        """
        self._update(run_id, fence, values)

    def note_repair(self, run_id: str, fence: int) -> int:
        """Count one more sweep that found predictions missing or doubled; how many in a row there were.

        Raises:
            LeaseLost: If another worker is its supervisor.
        """
        is_mine = (run.c.id == run_id) & (run.c.fence == fence)
        with self._transactions.writing() as db:
            changed = sa.update(run).where(is_mine).values(repairs=run.c.repairs + 1).returning(run.c.repairs)
            repairs = db.scalar(changed)
        if repairs is None:
            raise LeaseLost(f"The run {run_id} has another supervisor.")
        return int(repairs)

    def _update(self, run_id: str, fence: int, values: dict[str, Any]) -> None:
        is_mine = (run.c.id == run_id) & (run.c.fence == fence)
        with self._transactions.writing() as db:
            if db.execute(sa.update(run).where(is_mine).values(values)).rowcount != 1:
                raise LeaseLost(f"The run {run_id} has another supervisor.")


def holds_fence(db: sa.Connection, run_id: str, fence: int) -> bool:
    """Whether the fence is the run's; keeps it so until the transaction ends, by a lock on the run's row."""
    return db.scalar(sa.select(run.c.fence).where(run.c.id == run_id).with_for_update()) == fence
