"""One task of a run, from "new" to "done" or "failed" with its reason.

    held -> new -> running -> ready -> writing (-> replacing) -> done
             ^-------+        | ^--------+
             |                |          it turned out that it was not written
             |                +-> unchanged: the prediction that it was to be added to has all of it
             a worker died, or the image could not be fetched yet

    failed -> retrying -> new      its task is read again first

A worker owns an item while it is "running", under the number of its attempt; the run's supervisor owns it from "writing" on,
under the run's fence. What a worker or supervisor reports after it was replaced changes nothing.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import sqlalchemy as sa

from backend.db.answer_rows import read_run_answers
from backend.db.records import Answer
from backend.runs.queries import Query

ItemState = Literal[
    "held", "retrying", "new", "running", "ready", "writing", "replacing", "done", "unchanged", "failed", "cancelled"
]

OPEN: tuple[ItemState, ...] = ("held", "retrying", "new", "running", "ready", "writing", "replacing")
"""States of items that are not over."""
MAX_ATTEMPTS = 3
"""An item that was begun so often and never finished killed its workers."""
MAX_DEFERRALS = 4
"""An image that could not be fetched so often is given up."""


@dataclass(frozen=True)
class PlannedItem:
    """A task that is to become an item.

    Attributes:
        image: Address of its image.
        replaces: Id of the run whose prediction this one's replaces.
        error: Why it cannot be answered.
    """

    task: int
    image: str
    queries: tuple[Query, ...]
    replaces: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class RunItem:
    """A task of a run.

    Attributes:
        attempt: How often it was begun: which attempt this is, from 1, of an item that is at work.
        deferrals: How often its image could not be fetched.
        worker: Name of the worker that works on it, or did last.
        answers: One for each query, where they were read with it; `selected` of each is what is handed out.
        model_version: Version that answered it; None until then.
        replaced: What its prediction replaced: {"run": id, "predictions": [ids], "annotations": [ids]}.
        before: Ids of the predictions that its task had before this item's was first sent; None if that was not looked up.
        was_answered: It has answers, as one that is tried again after it could not be written.
    """

    run: str
    task: int
    image: str
    queries: tuple[Query, ...]
    state: ItemState
    attempt: int
    deferrals: int
    worker: str | None = None
    answers: tuple[Answer, ...] = ()
    replaces: str | None = None
    replaced: Mapping[str, Any] | None = None
    model_version: str | None = None
    before: tuple[int, ...] | None = None
    was_answered: bool = False

    def begun(self) -> "RunItem":
        """As it is once a worker that claimed it begins it."""
        return replace(self, attempt=self.attempt + 1)


@dataclass(frozen=True)
class AnsweredTask:
    """A task that a run answers, or has answered, at a model version: the run and its queries."""

    run: str
    queries: tuple[Query, ...]
    is_done: bool


def make_row(run_id: str, planned: PlannedItem, state: ItemState) -> dict[str, Any]:
    """The row of a task that is to become an item."""
    is_wrong = planned.error is not None
    return {
        "run": run_id,
        "task": planned.task,
        "image": planned.image,
        "queries": [query.to_json() for query in planned.queries],
        "state": "failed" if is_wrong else state,
        "attempts": 0,
        "deferrals": 0,
        "retry_at": 0.0,
        "error": planned.error,
        "reason": "task data" if is_wrong else None,
        "finished_at": time.time() if is_wrong else None,
        "replaces": planned.replaces,
    }


def count_answers(answers: Sequence[Answer]) -> dict[str, int]:
    """Of how many answers an item's row says that nothing was found, or that they are unsure."""
    return {
        "unfound": sum(not answer.selected and answer.repeats is None for answer in answers),
        "unsure": sum(bool(answer.selected) and answer.decision == "ambiguous" for answer in answers),
    }


def read_item(row: Any, answers: tuple[Answer, ...] = ()) -> RunItem:
    """An item from its row, with its answers if they were read too."""
    return RunItem(
        run=row["run"],
        task=int(row["task"]),
        image=row["image"],
        queries=read_queries(row["queries"]),
        state=row["state"],
        attempt=row["attempts"],
        deferrals=row["deferrals"],
        worker=row["worker"],
        answers=answers,
        replaces=row["replaces"],
        replaced=row["replaced"],
        model_version=row["model_version"],
        before=None if row["before"] is None else tuple(row["before"]),
        was_answered=row["encode_fp"] is not None,
    )


def read_answered(db: sa.Connection, rows: Sequence[Any]) -> list[RunItem]:
    """Items from their rows, with their answers, which are read at once."""
    answers = read_run_answers(db, [(row["run"], int(row["task"])) for row in rows])
    return [read_item(row, answers.get((row["run"], int(row["task"])), ())) for row in rows]


def read_queries(values: Sequence[Mapping[str, Any]]) -> tuple[Query, ...]:
    """Queries from a column's JSON."""
    return tuple(Query.from_json(value) for value in values)
