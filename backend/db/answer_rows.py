"""The rows of answers: one way to write them, for annotators' requests and for runs, and one to read them."""

import time
from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.db.records import Answer
from backend.db.tables import answer, region
from backend.db.upsert import upsert

_COLUMNS = tuple(field.name for field in fields(Answer) if field.name != "regions")


class AnswerOrigin(NamedTuple):
    """What answers belong to: a request, or a run; one of both.

    Attributes:
        task: Label Studio's task id, as text.
    """

    project: int | None
    task: str
    request_id: str | None = None
    run: str | None = None


def insert_answers(db: sa.Connection, origin: AnswerOrigin, records: Sequence[Answer]) -> None:
    """Record answers and what was handed out of them: one statement for all answers, and one for all regions that are new."""
    if not records:
        return
    about = {**origin._asdict(), "created_at": time.time()}
    rows = [
        {**about, **_to_row(record), "query": number if origin.run else None} for number, record in enumerate(records)
    ]
    statement = sa.insert(answer).returning(answer.c.id, sort_by_parameter_order=True)
    ids = db.scalars(statement, rows).all() if any(record.regions for record in records) else []
    if not ids:
        db.execute(sa.insert(answer), rows)
    new: list[dict[str, Any]] = []
    for answer_id, record in zip(ids, records, strict=bool(ids)):
        for one in record.regions:
            row = {
                "id": one.id,
                "answer_id": answer_id,
                "candidate_rank": one.candidate_rank,
                "from_name": one.from_name,
                "label": one.label,
                "task": origin.task,
            }
            if one.is_reused:
                upsert(db, region, row)
            else:  # an id that is there already would be an error of ours, so it must fail
                new.append(row)
    if new:
        db.execute(sa.insert(region), new)


def delete_run_answers(db: sa.Connection, run: str, task: str) -> None:
    """Forget the answers of a run to a task, which is answered again."""
    db.execute(sa.delete(answer).where(answer.c.run == run, answer.c.task == task))


def read_run_answers(db: sa.Connection, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], tuple[Answer, ...]]:
    """Answers of runs in the order of their queries, by run and task."""
    answers: dict[tuple[str, int], list[Answer]] = {}
    for run in {run for run, _ in keys}:
        tasks = [str(task) for of, task in keys if of == run]
        wanted = sa.select(answer).where(answer.c.run == run, answer.c.task.in_(tasks))
        for row in db.execute(wanted.order_by(answer.c.task, answer.c.query)).mappings():
            answers.setdefault((run, int(row["task"])), []).append(read_answer(row))
    return {key: tuple(of) for key, of in answers.items()}


def read_answer(row: sa.RowMapping) -> Answer:
    """An answer from its row, without its regions."""
    return Answer(**{**{name: row[name] for name in _COLUMNS}, "others": row["others"] or ()})


def _to_row(record: Answer) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in _COLUMNS}
    return {**values, **{name: list(values[name]) for name in ("candidates", "selected", "others")}}
