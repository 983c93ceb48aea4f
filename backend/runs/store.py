"""The ledger of runs: what is true about them, whatever Redis, workers and Label Studio do. `items` holds their tasks.

A run has one steward at a time, who plans it, writes its predictions and closes it: whoever holds its lease. With every
change of hands the run's fence goes up by one, and what a former steward still tries under the old fence comes to nothing.
Times are seconds since 1970, UTC.
"""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from backend.db.database import Transactions, open_database
from backend.db.run_tables import run
from backend.runs.counts import RunCounts
from backend.runs.items import RunItems
from backend.runs.spec import BadRun, RunSpec
from ris_core.errors import RisError

State = Literal["planning", "preview", "running", "paused", "cancelling", "done", "failed", "cancelled"]

AT_WORK: tuple[State, ...] = ("planning", "preview", "running", "cancelling")
"""States in which a steward may have something to do."""
OVER: tuple[State, ...] = ("done", "failed", "cancelled")
LEASE_S = 60.0
"""How long a steward holds a run without a word; longer than one request to Label Studio may take."""
_ID_LENGTH = 8
_SHOWN_RUNS = 5
"""Runs that are listed where several are meant."""


class LeaseLost(RisError):
    """Somebody else is the run's steward now."""


@dataclass(frozen=True)
class Run:
    """A run as it stands.

    Attributes:
        note: Why it is paused, failed or waits.
        model_version: Version that answers it, pinned when it was made; another one only by hand.
        label_config: The project's label config when it was planned.
        planned_to: Highest task id, or last page of a view, that is in the ledger.
        skipped: Tasks that had been answered before.
        hold_until: No item is begun before.
        strikes: How often in a row Label Studio's images could not be had.
        push_at: Nothing is written before.
        push_strikes: How often in a row writing failed.
        fence: How many stewards there were.
        is_told: Whether `spec.notify` knows how it ended.
        repairs: Sweeps in a row that found something to mend.
        is_refused: It failed since it cannot be as it was asked for; nothing was begun.
    """

    id: str
    created_at: float
    finished_at: float | None
    project: int
    state: State
    note: str | None
    spec: RunSpec
    does_push: bool
    model_version: str | None
    label_config: str | None
    planned_to: int
    skipped: int
    hold_until: float
    strikes: int
    push_at: float
    push_strikes: int
    fence: int
    supervisor: str | None
    lease_until: float
    is_told: bool
    repairs: int = 0
    is_refused: bool = False


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
        items: The runs' tasks.
        tallies: Their numbers.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._transactions = Transactions(engine)
        self.items = RunItems(self._transactions)
        self.counts = RunCounts(self._transactions)

    def close(self) -> None:
        """Close the connections of this process."""
        self._engine.dispose()

    def add_run(
        self,
        spec: RunSpec,
        model_version: str | None = None,
        state: State = "planning",
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
        }
        with self._transactions.writing() as db:
            db.execute(sa.insert(run).values(row))
        return _read(row)

    def get(self, run_id: str) -> Run:
        """A run by its id, else by its name, else by the beginning of its id.

        Raises:
            BadRun: If there is none, or several are meant.
        """
        begins = run.c.id.startswith(run_id, autoescape=True)
        ways = (run.c.id == run_id, run.c.spec["name"].as_string() == run_id, begins)
        with self._transactions.reading() as db:
            for way in ways if run_id.isprintable() and run_id else ():
                newest = sa.select(run).where(way).order_by(run.c.created_at.desc()).limit(_SHOWN_RUNS + 1)
                if found := db.execute(newest).mappings().all():
                    break
            else:
                raise BadRun(f"{run_id[:80]!r} names no run.", "`ris run list` shows them.")
        if len(found) > 1:
            listed = "; ".join(_introduce(_read(row)) for row in found[:_SHOWN_RUNS])
            more = "; and others" if len(found) > _SHOWN_RUNS else ""
            raise BadRun(f"{run_id!r} names several runs: {listed}{more}.", "Give the id of one.")
        return _read(found[0])

    def list_runs(self, states: Iterable[State] | None = None, project: int | None = None) -> list[Run]:
        """Runs, newest first."""
        wanted = sa.select(run).order_by(run.c.created_at.desc(), run.c.id.desc())
        if states is not None:
            wanted = wanted.where(run.c.state.in_(tuple(states)))
        if project is not None:
            wanted = wanted.where(run.c.project == project)
        with self._transactions.reading() as db:
            return [_read(row) for row in db.execute(wanted).mappings()]

    def change(
        self,
        run_id: str,
        state: State,
        note: str | None,
        only_from: Iterable[State] | None = None,
        model_version: str | None = None,
        is_refused: bool = False,
    ) -> bool:
        """Put a run into a state; False, and nothing changes, if it is in none of `only_from`.

        Args:
            is_refused: It cannot be as it was asked for.
            model_version: What answers it from now on; the same as before if it is not given.
        """
        is_meant = run.c.id == run_id
        if only_from is not None:
            is_meant &= run.c.state.in_(tuple(only_from))
        now = time.time()
        values: dict[str, Any] = {
            "state": state,
            "note": note,
            "finished_at": now if state in OVER else None,
            "is_told": False,
            "is_refused": is_refused,
        }
        if state in ("running", "preview"):
            values |= {"hold_until": 0.0, "strikes": 0, "push_at": 0.0, "push_strikes": 0, "repairs": 0}
        if model_version is not None:
            values["model_version"] = model_version
        with self._transactions.writing() as db:
            return db.execute(sa.update(run).where(is_meant).values(values)).rowcount == 1

    def hold(self, run_id: str, note: str, first_s: float, longest_s: float) -> float:
        """Begin no further item for a while, longer each time in a row; how long, in seconds."""
        return self._strike(run_id, note, run.c.strikes, run.c.hold_until, first_s, longest_s)

    def hold_writing(self, run_id: str, note: str, first_s: float, longest_s: float) -> float:
        """Write nothing for a while, longer each time in a row; how long, in seconds."""
        return self._strike(run_id, note, run.c.push_strikes, run.c.push_at, first_s, longest_s)

    def rest(self, run_id: str, seconds: float) -> None:
        """Writing went well: the next may come after this time."""
        values: dict[str, Any] = {"push_at": time.time() + seconds, "push_strikes": 0}
        with self._transactions.writing() as db:
            db.execute(sa.update(run).where(run.c.id == run_id, run.c.push_strikes > 0).values(note=None))
            db.execute(sa.update(run).where(run.c.id == run_id).values(values))

    def let_go(self, run_id: str) -> None:
        """Images can be had again."""
        with self._transactions.writing() as db:
            is_held = (run.c.id == run_id) & (run.c.strikes > 0)
            db.execute(sa.update(run).where(is_held).values(strikes=0, hold_until=0.0, note=None))

    # Stewards

    def take_lease(self, run_id: str, supervisor: str) -> int | None:
        """Become, or stay, a run's steward; its fence, or None if somebody else is."""
        now = time.time()
        renewed = {"lease_until": now + LEASE_S}
        with self._transactions.writing() as db:
            row = db.execute(
                sa.select(run.c.steward, run.c.fence, run.c.lease_until).where(run.c.id == run_id).with_for_update()
            ).first()
            if row is None or (row.steward != supervisor and row.lease_until > now):
                return None
            # one whose lease ran out cannot know who had it meanwhile
            fence = int(row.fence) + (row.steward != supervisor or row.lease_until <= now)
            values = {**renewed, "steward": supervisor, "fence": fence}
            db.execute(sa.update(run).where(run.c.id == run_id).values(values))
        return fence

    def renew(self, run_id: str, fence: int) -> None:
        """Stay the steward.

        Raises:
            LeaseLost: If somebody else is.
        """
        with self._transactions.writing() as db:
            is_mine = (run.c.id == run_id) & (run.c.fence == fence)
            values = {"lease_until": time.time() + LEASE_S}
            if db.execute(sa.update(run).where(is_mine).values(values)).rowcount != 1:
                raise LeaseLost(f"The run {run_id} has another steward.")

    def drop_lease(self, run_id: str, fence: int) -> None:
        """Leave a run to whoever comes next."""
        with self._transactions.writing() as db:
            db.execute(sa.update(run).where(run.c.id == run_id, run.c.fence == fence).values(lease_until=0.0))

    def note_plan(self, run_id: str, fence: int, **values: Any) -> None:
        """Record how far a run is planned: `planned_to`, `skipped`, `label_config`, `model_version`.

        Raises:
            LeaseLost: If somebody else is its steward.
        """
        with self._transactions.writing() as db:
            is_mine = (run.c.id == run_id) & (run.c.fence == fence)
            if db.execute(sa.update(run).where(is_mine).values(values)).rowcount != 1:
                raise LeaseLost(f"The run {run_id} has another steward.")

    def note_repair(self, run_id: str, fence: int) -> int:
        """One more sweep found something to mend; how many in a row did.

        Raises:
            LeaseLost: If somebody else is its steward.
        """
        is_mine = (run.c.id == run_id) & (run.c.fence == fence)
        with self._transactions.writing() as db:
            changed = sa.update(run).where(is_mine).values(repairs=run.c.repairs + 1).returning(run.c.repairs)
            repairs = db.scalar(changed)
        if repairs is None:
            raise LeaseLost(f"The run {run_id} has another steward.")
        return int(repairs)

    def note_told(self, run_id: str) -> None:
        """Whoever wanted to know how a run ended was told."""
        with self._transactions.writing() as db:
            db.execute(sa.update(run).where(run.c.id == run_id).values(is_told=True))

    def list_untold(self) -> list[Run]:
        """Runs that ended or paused without word to whoever wanted it."""
        is_due = run.c.state.in_((*OVER, "paused")) & run.c.is_told.is_(False)
        with self._transactions.reading() as db:
            return [_read(row) for row in db.execute(sa.select(run).where(is_due)).mappings()]

    def _strike(
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
                return left_s  # another worker has seen it too
            pause_s = min(longest_s, first_s * 2 ** min(int(row[0]), 30))
            values = {strikes.name: int(row[0]) + 1, until.name: time.time() + pause_s, "note": note}
            db.execute(sa.update(run).where(run.c.id == run_id).values(values))
        return pause_s


def _read(row: Any) -> Run:
    columns = dict(row)
    supervisor = columns.pop("steward")  # the column keeps the name that databases of version 0.1 have
    return Run(**{**columns, "supervisor": supervisor, "spec": RunSpec.from_json(row["spec"])})


def _introduce(found: Run) -> str:
    name = f" ({found.spec.name})" if found.spec.name else ""
    return f"{found.id}{name}, project {found.project}, {found.state}"
