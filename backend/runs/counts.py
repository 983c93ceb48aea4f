"""Counts of runs and items, for people, for Prometheus and for the supervisor."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from backend.db.database import Transactions
from backend.db.run_tables import is_in, item, item_count, run
from backend.db.tables import answer
from backend.runs.item import OPEN, RunItem, read_answered

STAGES_OF = 200
"""Items that ended last, failed ones too: of those that were answered, the seconds of stages are averaged."""
_NUMBER = sa.func.sum(item_count.c.number)


REST_S = 600.0
"""A run in which nothing ended for longer rested: paused, or done and tried again later."""
MIN_S = 0.001


@dataclass(frozen=True)
class Failure:
    """An item that failed.

    Attributes:
        reason: Of which kind: what /metrics counts by.
        error: What is wrong, and what to do.
    """

    task: int
    reason: str
    error: str


class RunCounts:
    """Counts. Made by `RunStore`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def by_state(self, run_id: str) -> dict[str, int]:
        """How many items are in each state."""
        wanted = sa.select(item_count.c.state, _NUMBER).where(item_count.c.run == run_id).group_by(item_count.c.state)
        with self._transactions.reading() as db:
            return {state: int(number) for state, number in db.execute(wanted) if number}

    def by_run(self, run_ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """How many items of each run are in each state; runs without items are left out."""
        keys = (item_count.c.run, item_count.c.state)
        counts: dict[str, dict[str, int]] = {}
        with self._transactions.reading() as db:
            for id, state, number in db.execute(sa.select(*keys, _NUMBER).where(keys[0].in_(run_ids)).group_by(*keys)):
                if number:
                    counts.setdefault(id, {})[state] = int(number)
        return counts

    def count_all(self) -> dict[tuple[str, str], int]:
        """How many items there are, by state and reason of failure."""
        keys = (item_count.c.state, item_count.c.reason)
        with self._transactions.reading() as db:
            rows = db.execute(sa.select(*keys, _NUMBER).group_by(*keys))
            return {(state, reason): int(number) for state, reason, number in rows if number}

    def count_runs(self) -> dict[str, int]:
        """How many runs are in each state."""
        with self._transactions.reading() as db:
            rows = db.execute(sa.select(run.c.state, sa.func.count()).group_by(run.c.state))
            return {state: int(number) for state, number in rows}

    def count_written(self, project: int, model_version: str) -> int:
        """Predictions of a version that runs have written to a project and that stand."""
        is_of_version = (item_count.c.model_version == model_version) | (
            (item_count.c.model_version == "") & (run.c.model_version == model_version)
        )
        is_written = (
            (run.c.project == project)
            & is_of_version
            & run.c.does_push
            & (item_count.c.state == "done")
            & (item_count.c.is_replaced == 0)
        )
        counted = sa.select(_NUMBER).select_from(run.join(item_count, run.c.id == item_count.c.run)).where(is_written)
        with self._transactions.reading() as db:
            return int(db.scalar(counted) or 0)

    def versions(self, run_id: str) -> dict[str, int]:
        """How many items each version has answered."""
        version = item_count.c.model_version
        wanted = sa.select(version, _NUMBER).where(item_count.c.run == run_id, version != "").group_by(version)
        with self._transactions.reading() as db:
            return {version: int(number) for version, number in db.execute(wanted) if number}

    def answered_since(self, run_id: str | None, began: float) -> int:
        """Items, of a run or of all, that workers ended since then."""
        ended = item.c.finished_at >= began
        if run_id is not None:
            ended &= item.c.run == run_id
        with self._transactions.reading() as db:
            return int(db.scalar(sa.select(sa.func.count()).select_from(item).where(ended)) or 0)

    def found(self, run_id: str) -> tuple[int, int]:
        """Items for which a query found nothing, and those with an answer that is unsure; an item may be both."""
        is_answered = (item_count.c.run == run_id) & item_count.c.state.in_((*OPEN, "done", "unchanged"))
        nothing = _NUMBER.filter(item_count.c.is_unfound > 0)
        unsure = _NUMBER.filter(item_count.c.is_unsure > 0)
        with self._transactions.reading() as db:
            totals = db.execute(sa.select(nothing, unsure).select_from(item_count).where(is_answered)).one()
        return int(totals[0] or 0), int(totals[1] or 0)

    def has_uncalibrated(self, run_id: str) -> bool:
        """Whether scores of its answers are no probabilities; one answer that tells speaks for all."""
        tells = (answer.c.run == run_id) & answer.c.is_calibrated.is_not(None)
        with self._transactions.reading() as db:
            return db.scalar(sa.select(answer.c.is_calibrated).where(tells).limit(1)) is False

    def measure_rate(self, run_id: str) -> float | None:
        """Items that workers ended in a second while they were at a run; None if none was. Rests are left out. Reads all its items."""
        ended_at = item.c.finished_at
        gap = ended_at - sa.func.coalesce(sa.func.lag(ended_at).over(order_by=ended_at), item.c.started_at)
        is_ended = (item.c.run == run_id) & ended_at.is_not(None) & item.c.started_at.is_not(None)
        gaps = sa.select(sa.case((gap > REST_S, 0.0), else_=gap).label("s")).where(is_ended).subquery()
        with self._transactions.reading() as db:
            number, seconds = db.execute(sa.select(sa.func.count(), sa.func.sum(gaps.c.s)).select_from(gaps)).one()
        return number / max(float(seconds), MIN_S) if number else None

    def first_begun(self, run_id: str) -> float | None:
        """When the first item of a run was begun."""
        with self._transactions.reading() as db:
            return db.scalar(
                sa.select(item.c.started_at)
                .where(item.c.run == run_id, item.c.started_at.is_not(None))
                .order_by(item.c.started_at)
                .limit(1)
            )

    def failures(self, run_id: str, limit: int | None = None) -> list[Failure]:
        """A run's failed items, the latest first."""
        columns = (item.c.task, item.c.reason, item.c.error)
        wanted = sa.select(*columns).where(item.c.run == run_id, is_in("failed"))
        with self._transactions.reading() as db:
            rows = db.execute(wanted.order_by(item.c.finished_at.desc(), item.c.task.desc()).limit(limit))
            return [Failure(int(task), reason or "", error or "") for task, reason, error in rows]

    def stage_seconds(self) -> dict[str, float]:
        """Mean seconds of each stage over the items that finished last, by its name."""
        return {name: sum(values) / len(values) for name, values in self._stages().items()}

    def stage_counts(self) -> dict[str, int]:
        """How many of the items that finished last went through each stage: "cache" or "fetch" and "encode", …."""
        return {name: len(values) for name, values in self._stages().items()}

    def answered(self, run_id: str, limit: int, after: int = -1) -> list[RunItem]:
        """Items of a run that have answers, by task id: those of tasks with ids above `after`."""
        wanted = sa.select(item).where(
            item.c.run == run_id,
            item.c.task > after,
            item.c.encode_fp.is_not(None),
            item.c.state.in_((*OPEN, "done")),
        )
        with self._transactions.reading() as db:
            return read_answered(db, db.execute(wanted.order_by(item.c.task).limit(limit)).mappings().all())

    def _stages(self) -> dict[str, list[float]]:
        wanted = sa.select(item.c.seconds).where(item.c.finished_at.is_not(None))
        with self._transactions.reading() as db:
            rows = list(db.scalars(wanted.order_by(item.c.finished_at.desc()).limit(STAGES_OF)))
        stages: dict[str, list[float]] = {}
        for row in rows:
            for name, seconds in (row or {}).items():
                stages.setdefault(name.removesuffix("_s"), []).append(seconds)
        return stages
