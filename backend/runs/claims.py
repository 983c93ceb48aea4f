"""What workers do with a run's items: one transaction each.

A worker owns an item while it is "running", under the number of its attempt, which goes up when it is begun: what was only claimed
costs an item nothing. What a worker reports later, when the item was given to
another one, changes nothing.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import sqlalchemy as sa

from backend.db.answer_rows import AnswerOrigin, delete_run_answers, insert_answers
from backend.db.database import Transactions
from backend.db.listing import note_tasks
from backend.db.records import Answer
from backend.db.run_tables import is_in, item, run
from backend.runs.item import MAX_ATTEMPTS, MAX_DEFERRALS, RunItem, count_answers, read_item

_AT_WORK = ("running", "preview")
"""States of runs whose items may begin."""


class ItemClaims:
    """The part of `RunStore` that workers use."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def claim(self, run_id: str, worker: str, limit: int) -> list[RunItem]:
        """Keep the next items for a worker, which begins them one by one; none if none may begin now."""
        now = time.time()
        may_begin = (
            (item.c.run == run_id)
            & is_in("new")
            & (item.c.retry_at <= now)
            & run.c.state.in_(_AT_WORK)
            & (run.c.hold_until <= now)
        )
        changes = {"state": "running", "worker": worker, "started_at": now}
        with self._transactions.writing() as db:
            rows = db.execute(
                sa.select(item)
                .join(run, run.c.id == item.c.run)
                .where(may_begin)
                .order_by(item.c.retry_at, item.c.task)
                .limit(limit)
                .with_for_update(skip_locked=True, of=item)  # PostgreSQL: workers at once take different items
            ).all()
            if rows:
                is_next = item.c.task.in_([row.task for row in rows])
                db.execute(sa.update(item).where(item.c.run == run_id, is_next).values(changes))
        return [read_item({**row._mapping, **changes}) for row in rows]

    def begin(self, claimed: RunItem) -> RunItem | None:
        """Begin work on an item that was claimed; None if it was given to another worker, or its run rests meanwhile."""
        now = time.time()
        goes_on = sa.exists(
            sa.select(run.c.id).where(run.c.id == claimed.run, run.c.state.in_(_AT_WORK), run.c.hold_until <= now)
        )
        begun = claimed.begun()
        values = {"attempts": begun.attempt, "started_at": now}
        with self._transactions.writing() as db:
            is_begun = db.execute(sa.update(item).where(_is_held(claimed), goes_on).values(values)).rowcount == 1
        return begun if is_begun else None

    def release(self, claimed: Sequence[RunItem]) -> None:
        """Let any worker begin items that were claimed, as if they never had been; also those that were begun meanwhile."""
        with self._transactions.writing() as db:
            for one in claimed:
                is_held = _is_held(one) | _is_held(one.begun())
                db.execute(sa.update(item).where(is_held).values(state="new", attempts=one.attempt))

    def finish(
        self,
        claimed: RunItem,
        project: int,
        answers: Sequence[Answer],
        image_sha256: str,
        encode_fp: str,
        model_version: str,
        seconds: Mapping[str, float],
    ) -> bool:
        """Record an item's answers; False, and nothing is recorded, if it was given to another worker meanwhile."""
        does_push = sa.select(run.c.does_push).where(run.c.id == claimed.run).scalar_subquery()
        values = {
            "state": sa.case((does_push, "ready"), else_="done"),
            "image_sha256": None if answers else image_sha256,  # answers say it themselves
            "encode_fp": encode_fp,
            "model_version": model_version,
            "seconds": dict(seconds),
            **count_answers(answers),
            "finished_at": time.time(),
            "error": None,
            "reason": None,
        }
        task = str(claimed.task)
        with self._transactions.writing() as db:
            state = _end_attempt(db, claimed, values)
            if state is None:
                return False
            if claimed.was_answered:
                delete_run_answers(db, claimed.run, task)
            insert_answers(db, AnswerOrigin(project, task, run=claimed.run), answers)
            if state == "done":
                note_tasks(db, [(project, task)])
        return True

    def fail(self, claimed: RunItem, error: str, reason: str) -> bool:
        """Record why an item cannot be answered; False if it was given to another worker meanwhile."""
        values = {"state": "failed", "error": error, "reason": reason, "finished_at": time.time()}
        return self._end_attempt(claimed, values)

    def defer(self, claimed: RunItem, error: str, wait_s: float) -> bool:
        """Begin an item again later, since its image cannot be fetched now; False, and it failed, if that happened too often."""
        if claimed.deferrals + 1 >= MAX_DEFERRALS:
            self.fail(claimed, error, "image unreachable")
            return False
        values = {
            "state": "new",
            "attempts": claimed.attempt - 1,
            "deferrals": claimed.deferrals + 1,
            "retry_at": time.time() + wait_s,
            "error": error,
        }
        return self._end_attempt(claimed, values)

    def put_back(self, claimed: RunItem) -> bool:
        """Let any worker begin an item, as if this one had not."""
        return self._end_attempt(claimed, {"state": "new", "attempts": claimed.attempt - 1})

    def list_running(self) -> list[tuple[str, int, str, float]]:
        """Run, task, worker and start time, in seconds since 1970, of each item that a worker has claimed or begun."""
        query = sa.select(item.c.run, item.c.task, item.c.worker, item.c.started_at).where(is_in("running"))
        with self._transactions.reading() as db:
            return [tuple(row) for row in db.execute(query)]

    def take_from(self, run_id: str, task: int, worker: str) -> str | None:
        """Take an item from a worker that died, begun or only claimed; its new state, None if it is not that worker's any more.

        If `MAX_ATTEMPTS` workers died while they worked on it, it fails.
        """
        is_its = (item.c.run == run_id) & (item.c.task == task)
        is_its &= (item.c.state == "running") & (item.c.worker == worker)
        error = f"{MAX_ATTEMPTS} workers died over it. Look at the image and the workers' log, then `ris run retry`"
        gave_up = item.c.attempts >= MAX_ATTEMPTS
        values = {
            "state": sa.case((gave_up, "failed"), else_="new"),
            "error": sa.case((gave_up, error), (item.c.attempts > 0, "a worker died over it"), else_=item.c.error),
            "reason": sa.case((gave_up, "worker died"), else_=None),
            "finished_at": sa.case((gave_up, time.time()), else_=None),
        }
        with self._transactions.writing() as db:
            return cast(str | None, db.scalar(sa.update(item).where(is_its).values(values).returning(item.c.state)))

    def _end_attempt(self, claimed: RunItem, values: Mapping[str, Any]) -> bool:
        with self._transactions.writing() as db:
            return _end_attempt(db, claimed, values) is not None


def _end_attempt(db: sa.Connection, claimed: RunItem, values: Mapping[str, Any]) -> str | None:
    """Change an item that a worker has; its new state, or None, and nothing changes, if it was given to another one."""
    change = sa.update(item).where(_is_held(claimed)).values(values)
    state: str | None = db.scalar(change.returning(item.c.state))
    return state


def _is_held(claimed: RunItem) -> sa.ColumnElement[bool]:
    """Whether an item is still a worker's, at the same attempt."""
    return (
        (item.c.run == claimed.run)
        & (item.c.task == claimed.task)
        & (item.c.state == "running")
        & (item.c.attempts == claimed.attempt)
        & (item.c.worker == claimed.worker)
    )
