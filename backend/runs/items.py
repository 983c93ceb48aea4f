"""The ledger's items: what workers and stewards do with a run's tasks, one transaction a verb."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import sqlalchemy as sa

from backend.db.database import Transactions
from backend.db.run_tables import answered_by, item, run
from backend.db.upsert import insert_if_absent
from backend.runs.item import (
    MAX_ATTEMPTS,
    MAX_DEFERRALS,
    OPEN,
    AnsweredTask,
    ItemState,
    PlannedItem,
    RunItem,
    make_row,
    read_item,
    read_queries,
)
from backend.runs.queries import merge

INSERTED_AT_ONCE = 500


class RunItems:
    """The items of all runs. Made by `Ledger`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    # Planning

    def add(self, run_id: str, planned: Sequence[PlannedItem], state: ItemState = "new") -> int:
        """Record tasks that are not recorded yet; how many."""
        rows = [make_row(run_id, one, state) for one in planned]
        added = 0
        with self._transactions.writing() as db:
            statement = insert_if_absent(db.dialect.name, item)
            for start in range(0, len(rows), INSERTED_AT_ONCE):
                added += len(db.execute(statement.values(rows[start : start + INSERTED_AT_ONCE])).all())
        return added

    def known(self, project: int, model_version: str, tasks: Collection[int], but: str) -> dict[int, AnsweredTask]:
        """Those of these tasks that another run than `but` answers, or has answered, at a model version."""
        is_current = (
            (run.c.project == project)
            & (answered_by() == model_version)
            & run.c.does_push
            & (run.c.id != but)
            & item.c.task.in_(tasks)
            & item.c.state.not_in(("failed", "cancelled"))
        )
        columns = (item.c.task, item.c.run, item.c.queries, item.c.state, item.c.replaces, item.c.replaced_by)
        wanted = sa.select(*columns).join(run, run.c.id == item.c.run)
        with self._transactions.reading() as db:
            rows = db.execute(wanted.where(is_current).order_by(run.c.created_at)).all()
        found: dict[int, AnsweredTask] = {}
        for row in rows:
            if row.state != "unchanged" and row.replaced_by is None:
                found[int(row.task)] = AnsweredTask(row.run, read_queries(row.queries), row.state == "done")
        for row in rows:  # what was to be added to a prediction that says all of it already
            former = found.get(int(row.task))
            if row.state == "unchanged" and former and former.run == row.replaces:
                both = merge(former.queries, read_queries(row.queries))
                found[int(row.task)] = AnsweredTask(former.run, both, former.is_done)
        return found

    def release_held(self, run_id: str) -> int:
        """Let the items begin that waited for a preview; how many."""
        return self._change(run_id, ("held",), {"state": "new"})

    def cancel(self, run_id: str) -> int:
        """Give up what has not been written; how many."""
        values = {"state": "cancelled", "finished_at": time.time(), "error": "cancelled", "reason": "cancelled"}
        return self._change(run_id, ("held", "retrying", "new", "running", "ready"), values)

    def leave_taken_up(self, run_id: str) -> int:
        """Give up what is yet to be answered and another run answers at the same version; how many."""
        values = {"state": "cancelled", "finished_at": time.time(), "error": "another run answers it"}
        is_open = item.c.state.in_(("held", "retrying", "new"))
        with self._transactions.writing() as db:
            meant = (item.c.run == run_id) & is_open & _is_taken_up(run_id)
            return db.execute(sa.update(item).where(meant).values(**values, reason="answered elsewhere")).rowcount

    def retry(self, run_id: str) -> int:
        """Have the failed items planned again, but not those that another run has taken up meanwhile; how many."""
        values = {"state": "retrying", "attempts": 0, "deferrals": 0, "retry_at": 0.0, "error": None, "reason": None}
        values["model_version"] = None
        may_begin = (item.c.run == run_id) & (item.c.state == "failed") & ~_is_taken_up(run_id)
        with self._transactions.writing() as db:
            return db.execute(sa.update(item).where(may_begin).values(**values, finished_at=None)).rowcount

    def plan_again(self, run_id: str, fence: int, planned: Sequence[PlannedItem]) -> int:
        """Let items that are tried again begin as they are planned now; how many: none under a former fence."""
        changed = 0
        with self._transactions.writing() as db:
            for one in planned if _holds(db, run_id, fence) else ():
                kept = ("image", "queries", "state", "error", "reason", "finished_at")
                row = make_row(run_id, one, "new")
                is_meant = (item.c.run == run_id) & (item.c.task == one.task) & (item.c.state == "retrying")
                values = {**{name: row[name] for name in kept}, "before": None}
                changed += db.execute(sa.update(item).where(is_meant).values(values)).rowcount
        return changed

    # Workers

    def claim(self, run_id: str, worker: str) -> RunItem | None:
        """Take the next item into work; None if there is none that may begin now."""
        now = time.time()
        may_begin = (
            (item.c.run == run_id)
            & (item.c.state == "new")
            & (item.c.retry_at <= now)
            & run.c.state.in_(("running", "preview"))
            & (run.c.hold_until <= now)
        )
        with self._transactions.writing() as db:
            row = db.execute(
                sa.select(item)
                .join(run, run.c.id == item.c.run)
                .where(may_begin)
                .order_by(item.c.retry_at, item.c.task)
                .limit(1)
                .with_for_update(skip_locked=True, of=item)
            ).first()
            if row is None:
                return None
            begun = {"state": "running", "attempts": row.attempts + 1, "worker": worker, "started_at": now}
            db.execute(sa.update(item).where(item.c.run == run_id, item.c.task == row.task).values(begun))
        return read_item({**row._mapping, **begun})

    def finish(
        self,
        done: RunItem,
        answers: Sequence[Mapping[str, Any]],
        image_sha256: str,
        encode_fp: str,
        model_version: str,
        seconds: Mapping[str, float],
    ) -> bool:
        """Record what was found; False, and nothing is recorded, if the item was given to another worker meanwhile."""
        does_push = sa.select(run.c.does_push).where(run.c.id == done.run).scalar_subquery()
        values = {
            "state": sa.case((does_push, "ready"), else_="done"),
            "answers": list(answers),
            "image_sha256": image_sha256,
            "encode_fp": encode_fp,
            "model_version": model_version,
            "seconds": dict(seconds),
            "unfound": sum(not answer["selected"] and "repeats" not in answer for answer in answers),
            "unsure": sum(bool(answer["selected"]) and answer["decision"] == "ambiguous" for answer in answers),
            "finished_at": time.time(),
            "error": None,
            "reason": None,
        }
        return self._end_attempt(done, values)

    def fail(self, failed: RunItem, error: str, reason: str) -> bool:
        """Record why an item cannot be answered; False if it was given to another worker meanwhile."""
        values = {"state": "failed", "error": error, "reason": reason, "finished_at": time.time()}
        return self._end_attempt(failed, values)

    def defer(self, late: RunItem, error: str, wait_s: float) -> bool:
        """Begin an item again later, since its image cannot be had now; False, and it failed, if that happened too often."""
        if late.deferrals + 1 >= MAX_DEFERRALS:
            self.fail(late, error, "image unreachable")
            return False
        values = {
            "state": "new",
            "attempts": late.attempt - 1,
            "deferrals": late.deferrals + 1,
            "retry_at": time.time() + wait_s,
            "error": error,
        }
        return self._end_attempt(late, values)

    def put_back(self, begun: RunItem) -> bool:
        """Let somebody else begin an item, as if it had not been begun here."""
        return self._end_attempt(begun, {"state": "new", "attempts": begun.attempt - 1})

    def running(self) -> list[tuple[str, int, str, float]]:
        """Run, task, worker and time of beginning of everything at work."""
        wanted = sa.select(item.c.run, item.c.task, item.c.worker, item.c.started_at).where(item.c.state == "running")
        with self._transactions.reading() as db:
            return [tuple(row) for row in db.execute(wanted)]

    def take_from(self, run_id: str, task: int, worker: str) -> str | None:
        """Take an item from a worker that died over it; its new state, None if it is not that worker's any more.

        One that `MAX_ATTEMPTS` workers died over failed.
        """
        is_its = (item.c.run == run_id) & (item.c.task == task)
        is_its &= (item.c.state == "running") & (item.c.worker == worker)
        error = f"{MAX_ATTEMPTS} workers died over it. Look at the image and the workers' log, then `ris run retry`"
        gave_up = item.c.attempts >= MAX_ATTEMPTS
        values = {
            "state": sa.case((gave_up, "failed"), else_="new"),
            "error": sa.case((gave_up, error), else_="a worker died over it"),
            "reason": sa.case((gave_up, "worker died"), else_=None),
            "finished_at": sa.case((gave_up, time.time()), else_=None),
        }
        with self._transactions.writing() as db:
            return cast(str | None, db.scalar(sa.update(item).where(is_its).values(values).returning(item.c.state)))

    # The steward

    def take_ready(self, run_id: str, fence: int, limit: int, among: Collection[int] | None = None) -> list[RunItem]:
        """Announce that the next items are written now, and take them; none if the fence is not the run's any more.

        Args:
            among: Only these tasks.
        """
        with self._transactions.writing() as db:
            if not _holds(db, run_id, fence):
                return []
            is_ready = (item.c.run == run_id) & (item.c.state == "ready")
            if among is not None:
                is_ready &= item.c.task.in_(list(among))
            rows = db.execute(sa.select(item).where(is_ready).order_by(item.c.task).limit(limit)).mappings().all()
            taken = item.c.task.in_([row["task"] for row in rows])
            db.execute(sa.update(item).where(is_ready, taken).values(state="writing"))
        return [read_item({**row, "state": "writing"}) for row in rows]

    def note_before(self, run_id: str, fence: int, task: int, predictions: Collection[int]) -> bool:
        """Note which predictions a task has before its item's is sent, unless that is noted; False under a former fence."""
        is_meant = (item.c.run == run_id) & (item.c.task == task) & item.c.before.is_(None)
        with self._transactions.writing() as db:
            if not _holds(db, run_id, fence):
                return False
            db.execute(sa.update(item).where(is_meant).values(before=sorted(predictions)))
        return True

    def list_standing(self, run_id: str, after: int = -1, limit: int = INSERTED_AT_ONCE) -> list[RunItem]:
        """Items whose predictions must be in Label Studio, by task id: done, and no other's takes their place, or is about to."""
        later = item.alias()
        is_overtaken = sa.exists(
            sa.select(later.c.task).where(
                later.c.task == item.c.task,
                later.c.replaces == item.c.run,
                later.c.state.in_(("writing", "replacing", "done")),
            )
        )
        is_done = (item.c.run == run_id) & (item.c.state == "done") & (item.c.task > after)
        wanted = is_done & item.c.replaced_by.is_(None) & ~is_overtaken
        with self._transactions.reading() as db:
            rows = db.execute(sa.select(item).where(wanted).order_by(item.c.task).limit(limit)).mappings()
            return [read_item(row) for row in rows]

    def in_state(self, run_id: str, state: ItemState, limit: int = INSERTED_AT_ONCE, after: int = -1) -> list[RunItem]:
        """Items in a state, by task id."""
        wanted = (item.c.run == run_id) & (item.c.state == state) & (item.c.task > after)
        with self._transactions.reading() as db:
            rows = db.execute(sa.select(item).where(wanted).order_by(item.c.task).limit(limit)).mappings()
            return [read_item(row) for row in rows]

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
        """Put items of the steward's into a state; how many: none under a fence that is not the run's any more.

        Args:
            replaced: What their prediction takes the place of; kept if it is not given.
        """
        values: dict[str, Any] = {"state": state, "error": error, "reason": reason}
        if replaced is not None:
            values["replaced"] = dict(replaced)
        is_meant = (item.c.run == run_id) & item.c.task.in_(list(tasks))
        with self._transactions.writing() as db:
            if not _holds(db, run_id, fence):
                return 0
            moved = db.execute(sa.update(item).where(is_meant, item.c.state.in_((*OPEN, "done"))).values(values))
            if state == "done":
                _retire_replaced(db, run_id, is_meant)
            return moved.rowcount

    def get(self, run_id: str, task: int) -> RunItem | None:
        """One item."""
        with self._transactions.reading() as db:
            row = db.execute(sa.select(item).where(item.c.run == run_id, item.c.task == task)).mappings().first()
        return read_item(row) if row else None

    def count_beginnable(self, run_id: str, limit: int) -> int:
        """How many items may begin now; `limit` if there are more."""
        may_begin = (item.c.run == run_id) & (item.c.state == "new") & (item.c.retry_at <= time.time())
        some = sa.select(item.c.task).where(may_begin).limit(limit).subquery()
        with self._transactions.reading() as db:
            return int(db.scalar(sa.select(sa.func.count()).select_from(some)) or 0)

    def has_open(self, run_id: str) -> bool:
        """Whether any item of a run is not over."""
        wanted = sa.select(item.c.task).where(item.c.run == run_id, item.c.state.in_(OPEN)).limit(1)
        with self._transactions.reading() as db:
            return db.execute(wanted).first() is not None

    def _change(self, run_id: str, states: tuple[ItemState, ...], values: Mapping[str, Any]) -> int:
        is_meant = (item.c.run == run_id) & item.c.state.in_(states)
        with self._transactions.writing() as db:
            return db.execute(sa.update(item).where(is_meant).values(values)).rowcount

    def _end_attempt(self, at_work: RunItem, values: Mapping[str, Any]) -> bool:
        is_mine = (
            (item.c.run == at_work.run)
            & (item.c.task == at_work.task)
            & (item.c.state == "running")
            & (item.c.attempts == at_work.attempt)
            & (item.c.worker == at_work.worker)
        )
        with self._transactions.writing() as db:
            return db.execute(sa.update(item).where(is_mine).values(values)).rowcount == 1


def _is_taken_up(run_id: str) -> sa.ColumnElement[bool]:
    """Whether another run that writes answers the same task at the same version, but the one that is to be replaced."""
    this, other, theirs = run.alias(), run.alias(), item.alias()
    same = (
        (this.c.id == run_id)
        & this.c.does_push
        & other.c.does_push
        & (other.c.id != run_id)
        & (other.c.project == this.c.project)
        & (sa.func.coalesce(theirs.c.model_version, other.c.model_version) == this.c.model_version)
        & (theirs.c.run == other.c.id)
        & (theirs.c.task == item.c.task)
        & theirs.c.replaced_by.is_(None)
        & (theirs.c.run != sa.func.coalesce(item.c.replaces, ""))
        & theirs.c.state.not_in(("failed", "cancelled", "unchanged"))
    )
    return sa.exists(sa.select(theirs.c.task).where(same).correlate(item))


def _holds(db: sa.Connection, run_id: str, fence: int) -> bool:
    """Whether the fence is the run's; keeps it so until the transaction ends."""
    return db.scalar(sa.select(run.c.fence).where(run.c.id == run_id).with_for_update()) == fence


def _retire_replaced(db: sa.Connection, run_id: str, is_meant: sa.ColumnElement[bool]) -> None:
    """Note with the former items of these tasks that this run's stand in their place."""
    pairs = db.execute(sa.select(item.c.task, item.c.replaces).where(is_meant, item.c.replaces.is_not(None))).all()
    for task, former in pairs:
        db.execute(sa.update(item).where(item.c.run == former, item.c.task == task).values(replaced_by=run_id))
