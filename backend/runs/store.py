"""The record of runs: what Redis, workers and Label Studio may lose, this may not. Times are seconds since 1970, UTC."""

import time
import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from backend.db.database import Transactions, open_database
from backend.db.run_tables import run
from backend.runs.claims import ItemClaims
from backend.runs.counts import RunCounts
from backend.runs.item_writes import ItemWrites
from backend.runs.items import RunItems
from backend.runs.leases import RunLeases
from backend.runs.run import OVER, Run, RunState, read_run
from backend.runs.spec import BadRun, RunSpec

_ID_LENGTH = 8
_SHOWN_RUNS = 5
"""Runs that are listed where several are meant."""


def open_run_store(database_url: str) -> "RunStore":
    """Open a database and bring its tables up to date.

    Raises:
        BadSettings: If the URL is not one, or its driver is not installed.
        Unreachable: If the database cannot be opened.
    """
    return RunStore(open_database(database_url))


class RunStore:
    """Runs. Threads and processes may share it; every method is one transaction, and raises `Unreachable` if that fails.

    Attributes:
        items: The runs' tasks, as planning and people use them.
        claims: The same, as workers use them.
        writes: The same, as the writer uses them.
        leases: Who each run's supervisor is.
        counts: Numbers of runs and items.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._transactions = Transactions(engine)
        self.items = RunItems(self._transactions)
        self.claims = ItemClaims(self._transactions)
        self.writes = ItemWrites(self._transactions)
        self.leases = RunLeases(self._transactions)
        self.counts = RunCounts(self._transactions)

    def close(self) -> None:
        """Close the connections of this process."""
        self._engine.dispose()

    def add_run(
        self,
        spec: RunSpec,
        model_version: str | None = None,
        state: RunState = "planning",
        note: str | None = None,
        label_config: str | None = None,
    ) -> Run:
        """Record a run; it has no items yet."""
        now = time.time()
        row = {
            "id": uuid.uuid4().hex[:_ID_LENGTH],
            "created_at": now,
            "finished_at": now if state in OVER else None,
            "project": spec.project,
            "state": state,
            "note": note,
            "spec": spec.to_json(),
            "does_push": spec.push and spec.kind == "predict",
            "model_version": model_version,
            "label_config": label_config,
            "planned_to": 0,
            "skipped": 0,
            "hold_until": 0.0,
            "strikes": 0,
            "push_at": 0.0,
            "push_strikes": 0,
            "fence": 0,
            "steward": None,
            "lease_until": 0.0,
            "is_told": False,
            "repairs": 0,
            "is_refused": state == "failed",
            "rate": None,
        }
        with self._transactions.writing() as db:
            db.execute(sa.insert(run).values(row))
        return read_run(row)

    def get(self, run_id: str) -> Run:
        """A run by its id, else by its name, else by the beginning of its id.

        Raises:
            BadRun: If there is none, or several are meant.
        """
        has_prefix = run.c.id.startswith(run_id, autoescape=True)
        conditions = (run.c.id == run_id, run.c.spec["name"].as_string() == run_id, has_prefix)
        with self._transactions.reading() as db:
            # no id or name has characters that do not print
            for condition in conditions if run_id.isprintable() and run_id else ():
                newest = sa.select(run).where(condition).order_by(run.c.created_at.desc()).limit(_SHOWN_RUNS + 1)
                if rows := db.execute(newest).mappings().all():
                    break
            else:
                raise BadRun(f"{run_id[:80]!r} names no run.", "`ris run list` shows them.")
        if len(rows) > 1:
            runs = "; ".join(_introduce(read_run(row)) for row in rows[:_SHOWN_RUNS])
            more = "; and others" if len(rows) > _SHOWN_RUNS else ""
            raise BadRun(f"{run_id!r} names several runs: {runs}{more}.", "Give the id of one.")
        return read_run(rows[0])

    def list_runs(
        self,
        states: Iterable[RunState] | None = None,
        project: int | None = None,
        limit: int | None = None,
        start: int = 0,
    ) -> list[Run]:
        """Runs, newest first.

        Args:
            states, project: Only runs with these; all if None.
            limit, start: At most so many, after so many; all if None.
        """
        wanted = sa.select(run).order_by(run.c.created_at.desc(), run.c.id.desc())
        if states is not None:
            wanted = wanted.where(run.c.state.in_(tuple(states)))
        if project is not None:
            wanted = wanted.where(run.c.project == project)
        if limit is not None:
            wanted = wanted.limit(limit).offset(start)
        with self._transactions.reading() as db:
            return [read_run(row) for row in db.execute(wanted).mappings()]

    def change(
        self,
        run_id: str,
        state: RunState,
        note: str | None,
        only_from: Iterable[RunState] | None = None,
        model_version: str | None = None,
        is_refused: bool = False,
    ) -> bool:
        """Put a run into a state; False, and nothing changes, if it is in none of `only_from`.

        Args:
            model_version: What answers it from now on; the same as before if it is not given.
            is_refused: It failed because it cannot be done as it was requested.
        """
        is_meant = run.c.id == run_id
        if only_from is not None:
            is_meant &= run.c.state.in_(tuple(only_from))
        is_over = state in OVER
        values: dict[str, Any] = {
            "state": state,
            "note": note,
            "finished_at": time.time() if is_over else None,
            "rate": self.counts.measure_rate(run_id) if is_over else None,  # once: it reads every item of the run
            "is_told": False,
            "is_refused": is_refused,
        }
        if state in ("running", "preview"):
            values |= {"hold_until": 0.0, "strikes": 0, "push_at": 0.0, "push_strikes": 0, "repairs": 0}
        if model_version is not None:
            values["model_version"] = model_version
        with self._transactions.writing() as db:
            return db.execute(sa.update(run).where(is_meant).values(values)).rowcount == 1

    def set_min_score(self, run_id: str, min_score: float) -> bool:
        """Change the threshold of a run that waits after its first tasks; False if it does not."""
        is_meant = (run.c.id == run_id) & (run.c.state == "preview")
        with self._transactions.writing() as db:
            spec = db.scalar(sa.select(run.c.spec).where(is_meant).with_for_update())
            if spec is None:
                return False
            db.execute(sa.update(run).where(is_meant).values(spec={**spec, "min_score": min_score}))
        return True

    def stop_watching(self, run_id: str) -> bool:
        """Let no later tasks join a run; False if it watches none, or is over."""
        is_open = (run.c.id == run_id) & run.c.state.not_in(OVER)
        with self._transactions.writing() as db:
            spec = db.scalar(sa.select(run.c.spec).where(is_open).with_for_update())
            if not (spec and spec.get("watch")):
                return False
            db.execute(sa.update(run).where(is_open).values(spec={**spec, "watch": False}))
        return True

    def hold(self, run_id: str, note: str, first_s: float, longest_s: float) -> float:
        """Begin no further item for a while, longer each time in a row; how long, in seconds."""
        return self._lengthen_pause(run_id, note, run.c.strikes, run.c.hold_until, first_s, longest_s)

    def hold_writing(self, run_id: str, note: str, first_s: float, longest_s: float) -> float:
        """Write nothing for a while, longer each time in a row; how long, in seconds."""
        return self._lengthen_pause(run_id, note, run.c.push_strikes, run.c.push_at, first_s, longest_s)

    def pause_writing(self, run_id: str, seconds: float) -> None:
        """Record that writing succeeded, and write nothing more for this time."""
        values: dict[str, Any] = {"push_at": time.time() + seconds, "push_strikes": 0}
        with self._transactions.writing() as db:
            db.execute(sa.update(run).where(run.c.id == run_id, run.c.push_strikes > 0).values(note=None))
            db.execute(sa.update(run).where(run.c.id == run_id).values(values))

    def end_hold(self, run_id: str) -> None:
        """Begin items again: images can be fetched."""
        with self._transactions.writing() as db:
            is_held = (run.c.id == run_id) & (run.c.strikes > 0)
            db.execute(sa.update(run).where(is_held).values(strikes=0, hold_until=0.0, note=None))

    def note_notified(self, run_id: str) -> None:
        """Record that the notification of a run was sent."""
        with self._transactions.writing() as db:
            db.execute(sa.update(run).where(run.c.id == run_id).values(is_told=True))

    def list_unnotified(self) -> list[Run]:
        """Runs that ended or paused and whose notification is yet to be sent."""
        is_due = run.c.state.in_((*OVER, "paused")) & run.c.is_told.is_(False)
        with self._transactions.reading() as db:
            return [read_run(row) for row in db.execute(sa.select(run).where(is_due)).mappings()]

    def _lengthen_pause(
        self,
        run_id: str,
        note: str,
        strikes: sa.Column[int],
        until: sa.Column[float],
        first_s: float,
        longest_s: float,
    ) -> float:
        with self._transactions.writing() as db:
            row = db.execute(sa.select(strikes, until).where(run.c.id == run_id)).one()
            if (left_s := float(row[1]) - time.time()) > 0 and strikes is run.c.strikes:
                return left_s  # another worker saw the same failure: one pause, not one for each worker
            pause_s = min(longest_s, first_s * 2 ** min(int(row[0]), 30))
            values = {strikes.name: int(row[0]) + 1, until.name: time.time() + pause_s, "note": note}
            db.execute(sa.update(run).where(run.c.id == run_id).values(values))
        return pause_s


def _introduce(one: Run) -> str:
    name = f" ({one.spec.name})" if one.spec.name else ""
    return f"{one.id}{name}, project {one.project}, {one.state}"
