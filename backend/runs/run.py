"""A run as it is now."""

from dataclasses import dataclass
from typing import Any, Literal

from backend.runs.spec import RunSpec

RunState = Literal["planning", "preview", "running", "paused", "cancelling", "done", "failed", "cancelled"]

AT_WORK: tuple[RunState, ...] = ("planning", "preview", "running", "cancelling")
"""States in which a supervisor may have something to do."""
OVER: tuple[RunState, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Run:
    """A run as it is now.

    Attributes:
        note: Why it is paused, failed or waits.
        model_version: Version that answers it, pinned when it was created; only people change it.
        label_config: The project's label config when it was planned.
        planned_to: Highest task id, or last page of a view, that is recorded.
        skipped: Tasks that had been answered before.
        hold_until: No item is begun before; seconds since 1970.
        strikes: How often in a row Label Studio's images could not be fetched.
        push_at: Nothing is written before; seconds since 1970.
        push_strikes: How often in a row writing failed.
        fence: How many supervisors there were.
        supervisor: Name of the worker that is, or was last, its supervisor.
        is_told: The notification of its end was sent.
        repairs: Sweeps in a row that found predictions missing or doubled.
        is_refused: It failed because it cannot be done as it was requested; nothing was begun.
        rate: Of a run that is over: items that ended in a second while it was at work; None if none did, or version 0.2 closed it.
    """

    id: str
    created_at: float
    finished_at: float | None
    project: int
    state: RunState
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
    rate: float | None = None


def read_run(row: Any) -> Run:
    """A run from its row."""
    columns = dict(row)
    supervisor = columns.pop("steward")  # the column keeps the name that databases of version 0.1 have
    return Run(**{**columns, "supervisor": supervisor, "spec": RunSpec.from_json(row["spec"])})
