"""The items of runs: planning them, what people do with them, and looking at them. One transaction a method."""

import random
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from backend.db.answer_rows import AnswerOrigin, delete_run_answers, insert_answers
from backend.db.database import Transactions
from backend.db.records import Answer
from backend.db.run_tables import answered_by, is_in, item, run
from backend.db.upsert import insert_if_absent
from backend.runs.item import (
    OPEN,
    AnsweredTask,
    ItemState,
    PlannedItem,
    RunItem,
    count_answers,
    make_row,
    read_answered,
    read_queries,
)
from backend.runs.leases import holds_fence
from backend.runs.queries import merge

PAGE = 500
"""Rows of one statement: SQLite allows 32,766 parameters, and a row has 12."""


class RunItems:
    """The part of `RunStore` that planning and people use."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, run_id: str, planned: Sequence[PlannedItem], state: ItemState = "new") -> int:
        """Record tasks that are not recorded yet; how many."""
        rows = [make_row(run_id, one, state) for one in planned]
        added = 0
        with self._transactions.writing() as db:
            statement = insert_if_absent(db.dialect.name, item)
            for start in range(0, len(rows), PAGE):
                added += len(db.execute(statement.values(rows[start : start + PAGE])).all())
        return added

    def list_answered(
        self, project: int, model_version: str, tasks: Collection[int], but: str
    ) -> dict[int, AnsweredTask]:
        """Those of these tasks that another run than `but` answers, or has answered, at a model version; by task id."""
        is_current = (
            (run.c.project == project)
            & (answered_by() == model_version)
            & run.c.does_push
            & (run.c.id != but)
            & item.c.task.in_(tasks)
            & item.c.state.not_in(("failed", "cancelled"))
        )
        columns = (item.c.task, item.c.run, item.c.queries, item.c.state, item.c.replaces, item.c.replaced_by)
        query = sa.select(*columns, run.c.created_at).join(run, run.c.id == item.c.run)
        with self._transactions.reading() as db:
            rows = sorted(db.execute(query.where(is_current)), key=lambda row: row.created_at)
        answered: dict[int, AnsweredTask] = {}
        for row in rows:
            if row.state != "unchanged" and row.replaced_by is None:
                answered[int(row.task)] = AnsweredTask(row.run, read_queries(row.queries), row.state == "done")
        for row in rows:  # added queries whose regions the former prediction already had
            former = answered.get(int(row.task))
            if row.state == "unchanged" and former and former.run == row.replaces:
                both = merge(former.queries, read_queries(row.queries))
                answered[int(row.task)] = AnsweredTask(former.run, both, former.is_done)
        return answered

    def list_known(self, run_id: str, tasks: Collection[int]) -> set[int]:
        """Those of these tasks that are recorded."""
        wanted = sa.select(item.c.task).where(item.c.run == run_id, item.c.task.in_(tasks))
        with self._transactions.reading() as db:
            return set(db.scalars(wanted))

    def release_sample(self, run_id: str, number: int) -> None:
        """Let so many of the items that are held back begin, drawn at random; none if some were let begin before."""
        with self._transactions.writing() as db:
            tasks = db.scalars(sa.select(item.c.task).where(item.c.run == run_id, item.c.state == "held")).all()
            total = db.scalar(
                sa.select(sa.func.count(item.c.task)).where(item.c.run == run_id, item.c.state != "failed")
            )
            drawn = random.Random(run_id).sample(sorted(tasks), min(number, len(tasks))) if total == len(tasks) else []
            for start in range(0, len(drawn), PAGE):
                is_drawn = (item.c.run == run_id) & item.c.task.in_(drawn[start : start + PAGE])
                db.execute(sa.update(item).where(is_drawn).values(state="new"))

    def replace_answers(self, run_id: str, project: int, answers_by_task: Mapping[int, Sequence[Answer]]) -> None:
        """Put other answers in the place of those of items that are answered and not yet written, or not to be written."""
        with self._transactions.writing() as db:
            for task, answers in answers_by_task.items():
                is_meant = (item.c.run == run_id) & (item.c.task == task) & item.c.state.in_(("ready", "done"))
                if db.execute(sa.update(item).where(is_meant).values(count_answers(answers))).rowcount:
                    delete_run_answers(db, run_id, str(task))
                    insert_answers(db, AnswerOrigin(project, str(task), run=run_id), answers)

    def release_held(self, run_id: str) -> int:
        """Let the items begin that were held back for a preview; how many."""
        return self._change(run_id, ("held",), {"state": "new"})

    def cancel(self, run_id: str) -> int:
        """Cancel the items that are not written or being written; how many."""
        values = {"state": "cancelled", "finished_at": time.time(), "error": "cancelled", "reason": "cancelled"}
        return self._change(run_id, ("held", "retrying", "new", "running", "ready"), values)

    def leave_taken_up(self, run_id: str) -> int:
        """Cancel the items that are yet to be answered and that another run answers at the same version; how many."""
        values = {"state": "cancelled", "finished_at": time.time(), "error": "another run answers it"}
        is_open = item.c.state.in_(("held", "retrying", "new"))
        with self._transactions.writing() as db:
            is_meant = (item.c.run == run_id) & is_open & _is_taken_up(run_id)
            return db.execute(sa.update(item).where(is_meant).values(**values, reason="answered elsewhere")).rowcount

    def retry(self, run_id: str) -> int:
        """Have the failed items planned again, except those that another run answers meanwhile; how many."""
        values = {"state": "retrying", "attempts": 0, "deferrals": 0, "retry_at": 0.0, "error": None, "reason": None}
        values["model_version"] = None
        may_begin = (item.c.run == run_id) & (item.c.state == "failed") & ~_is_taken_up(run_id)
        with self._transactions.writing() as db:
            return db.execute(sa.update(item).where(may_begin).values(**values, finished_at=None)).rowcount

    def plan_again(self, run_id: str, fence: int, planned: Sequence[PlannedItem]) -> int:
        """Let items that are tried again begin, as they are planned now; how many: none under a former fence."""
        changed = 0
        with self._transactions.writing() as db:
            for one in planned if holds_fence(db, run_id, fence) else ():
                names = ("image", "queries", "state", "error", "reason", "finished_at")
                row = make_row(run_id, one, "new")
                is_meant = (item.c.run == run_id) & (item.c.task == one.task) & (item.c.state == "retrying")
                values = {**{name: row[name] for name in names}, "before": None}
                changed += db.execute(sa.update(item).where(is_meant).values(values)).rowcount
        return changed

    def get(self, run_id: str, task: int) -> RunItem | None:
        """One item."""
        with self._transactions.reading() as db:
            rows = db.execute(sa.select(item).where(item.c.run == run_id, item.c.task == task)).mappings().all()
            return next(iter(read_answered(db, rows)), None)

    def in_state(self, run_id: str, state: ItemState, limit: int = PAGE, after: int = -1) -> list[RunItem]:
        """Items in a state, by task id."""
        wanted = (item.c.run == run_id) & (item.c.state == state) & (item.c.task > after)
        with self._transactions.reading() as db:
            return read_answered(
                db, db.execute(sa.select(item).where(wanted).order_by(item.c.task).limit(limit)).mappings().all()
            )

    def count_beginnable(self, run_id: str, limit: int) -> int:
        """How many items may begin now; `limit` if there are more."""
        may_begin = (item.c.run == run_id) & is_in("new") & (item.c.retry_at <= time.time())
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


def _is_taken_up(run_id: str) -> sa.ColumnElement[bool]:
    """Whether another run that writes answers the same task at the same version; not the run whose prediction is replaced."""
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
