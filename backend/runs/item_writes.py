"""What the writer does with a run's items: one transaction each.

The run's supervisor owns an item from "writing" on, under the run's fence: under a former fence nothing changes.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from backend.db.database import Transactions
from backend.db.listing import note_items
from backend.db.run_tables import item
from backend.runs.item import OPEN, ItemState, RunItem, read_answered
from backend.runs.items import PAGE
from backend.runs.leases import holds_fence


class ItemWrites:
    """The part of `RunStore` that the writer uses."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def take_ready(self, run_id: str, fence: int, limit: int, among: Collection[int] | None = None) -> list[RunItem]:
        """Record that the next items are being written, and return them; none under a former fence.

        Args:
            among: Only these tasks.
        """
        with self._transactions.writing() as db:
            if not holds_fence(db, run_id, fence):
                return []
            is_ready = (item.c.run == run_id) & (item.c.state == "ready")
            if among is not None:
                is_ready &= item.c.task.in_(list(among))
            rows = db.execute(sa.select(item).where(is_ready).order_by(item.c.task).limit(limit)).mappings().all()
            is_next = item.c.task.in_([row["task"] for row in rows])
            db.execute(sa.update(item).where(is_ready, is_next).values(state="writing"))
            return read_answered(db, [{**row, "state": "writing"} for row in rows])

    def note_before(self, run_id: str, fence: int, task: int, predictions: Collection[int]) -> bool:
        """Note which predictions a task has before its item's is sent, unless that was noted; False under a former fence."""
        is_meant = (item.c.run == run_id) & (item.c.task == task) & item.c.before.is_(None)
        with self._transactions.writing() as db:
            if not holds_fence(db, run_id, fence):
                return False
            db.execute(sa.update(item).where(is_meant).values(before=sorted(predictions)))
        return True

    def list_expected(self, run_id: str, after: int = -1, limit: int = PAGE) -> list[RunItem]:
        """Done items whose predictions must be in Label Studio, by task id; not those that another run has replaced, or is about to."""
        later = item.alias()
        is_overtaken = sa.exists(
            sa.select(later.c.task).where(
                later.c.task == item.c.task,
                later.c.replaces == item.c.run,
                later.c.state.in_(("writing", "replacing", "done")),
            )
        )
        is_done = (item.c.run == run_id) & (item.c.state == "done") & (item.c.task > after)
        is_expected = is_done & item.c.replaced_by.is_(None) & ~is_overtaken
        with self._transactions.reading() as db:
            rows = db.execute(sa.select(item).where(is_expected).order_by(item.c.task).limit(limit)).mappings().all()
            return read_answered(db, rows)

    def move(
        self,
        run_id: str,
        fence: int,
        tasks: Iterable[int],
        state: ItemState,
        error: str | None = None,
        reason: str | None = None,
        replaced: Mapping[str, Any] | None = None,
    ) -> int:
        """Put items into a state; how many: none under a former fence.

        Args:
            replaced: What their prediction replaces; kept if it is not given.
        """
        values: dict[str, Any] = {"state": state, "error": error, "reason": reason}
        if replaced is not None:
            values["replaced"] = dict(replaced)
        is_meant = (item.c.run == run_id) & item.c.task.in_(list(tasks))
        with self._transactions.writing() as db:
            if not holds_fence(db, run_id, fence):
                return 0
            moved = db.execute(sa.update(item).where(is_meant, item.c.state.in_((*OPEN, "done"))).values(values))
            note_items(db, is_meant)
            if state == "done":
                _retire_replaced(db, run_id, is_meant)
            return moved.rowcount


def _retire_replaced(db: sa.Connection, run_id: str, is_meant: sa.ColumnElement[bool]) -> None:
    """Record with the former items of these tasks that this run's replace them."""
    pairs = db.execute(sa.select(item.c.task, item.c.replaces).where(is_meant, item.c.replaces.is_not(None))).all()
    for task, former in pairs:
        db.execute(sa.update(item).where(item.c.run == former, item.c.task == task).values(replaced_by=run_id))
