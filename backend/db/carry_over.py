"""What a migration of tables cannot do in one statement: answers are copied into their new form, batch by batch.

Each batch is a transaction of its own, so a process that is killed loses one batch, and the next one goes on from there. Nothing else
uses the database meanwhile: the lock of migrations is held.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from backend.base.errors import Unreachable
from backend.db.candidates import Candidates

BATCH = 500
"""Rows of one transaction."""
AFTER = "0012"
"""The version of the tables from which answers are copied: it has the old tables and the new ones."""

_former = sa.table(
    "answer",
    sa.column("candidates", sa.JSON),
    sa.column("selected", sa.JSON),
    *map(
        sa.column,
        ["id", "request_id", "created_at", "project", "task", "expression", "label", "decision", "model_version"],
    ),
    *map(sa.column, ["encode_fp", "image_sha256", "height", "width"]),
)
_new = sa.table(
    "answer_new",
    *(sa.column(column.name, column.type) for column in _former.c if column.name != "candidates"),
    sa.column("candidates", Candidates),
    sa.column("others", sa.JSON),
    *map(sa.column, ["run", "query", "is_guess", "is_calibrated", "repeats"]),
)
_item = sa.table(
    "item",
    sa.column("answers", sa.JSON(none_as_null=True)),
    *map(sa.column, ["run", "task", "image_sha256", "encode_fp", "model_version", "finished_at", "started_at"]),
)
_run = sa.table("run", *map(sa.column, ("id", "project", "model_version")))


def carry_over(engine: sa.Engine, report: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Copy all answers; goes on where an earlier call ended. Returns how many rows it copied.

    Args:
        report: Is told how many rows are copied, and of how many.
    """
    with engine.connect() as db:
        left = sa.select(sa.func.count()).select_from(_item).where(_item.c.answers.is_not(None))
        total = int(db.scalar(left) or 0) + int(db.scalar(sa.select(sa.func.count()).select_from(_former)) or 0)
    if total:
        check_room(engine)
    done, last = 0, 0
    while ids := _copy_answers(engine, last):
        done, last = done + len(ids), ids[-1]
        report(done, total)
    after: tuple[str, int] = ("", -1)
    while keys := _copy_items(engine, after):
        done, after = done + len(keys), keys[-1]
        report(done, total)
    with engine.begin() as db:
        columns = "id, answer_id, candidate_rank, from_name, label, task"
        left_over = "id NOT IN (SELECT id FROM region_new)"
        db.execute(sa.text(f"INSERT INTO region_new ({columns}) SELECT {columns} FROM region WHERE {left_over}"))
    return done


def check_room(engine: sa.Engine) -> None:
    """Refuse to copy where a disk may become full on the way. Of a server's disk nothing is known.

    Raises:
        Unreachable: If the disk of a SQLite file has less free space than the file has bytes.
    """
    file = engine.url.database
    if engine.dialect.name != "sqlite" or not file or not Path(file).is_file():
        return
    needed, free = Path(file).stat().st_size, shutil.disk_usage(Path(file).parent).free
    if free < needed:
        raise Unreachable(
            f"The upgrade of the database {file} needs {needed >> 20} MiB of free disk space, but only {free >> 20} MiB are free.",
            "Free some space, or move RIS_STATE_DIR to another disk, then start again. Nothing is lost: the upgrade goes on where it was.",
        )


def _copy_answers(engine: sa.Engine, last: int) -> list[int]:
    """Copy the next answers to annotators, under the same ids, which are returned."""
    is_copied = sa.exists(sa.select(_new.c.id).where(_new.c.id == _former.c.id, _new.c.run.is_(None)))
    with engine.begin() as db:
        wanted = sa.select(_former).where(_former.c.id > last, ~is_copied).order_by(_former.c.id).limit(BATCH)
        rows = [dict(row) for row in db.execute(wanted).mappings()]
        if rows:
            db.execute(sa.insert(_new), [{**row, "is_calibrated": _is_calibrated(row["candidates"])} for row in rows])
    return [row["id"] for row in rows]


def _copy_items(engine: sa.Engine, after: tuple[str, int]) -> list[tuple[str, int]]:
    """Copy the answers of the next items, and take them from the items: what is left there is yet to be copied."""
    key = sa.tuple_(_item.c.run, _item.c.task)
    query = sa.select(_item, _run.c.project, _run.c.model_version.label("run_version")).join(
        _run, _run.c.id == _item.c.run
    )
    wanted = query.where(_item.c.answers.is_not(None), key > after).order_by(_item.c.run, _item.c.task).limit(BATCH)
    with engine.begin() as db:
        rows = db.execute(wanted).mappings().all()
        first_id = (db.scalar(sa.select(sa.func.max(_new.c.id))) or 0) + 1
        first_id = max(first_id, (db.scalar(sa.select(sa.func.max(_former.c.id))) or 0) + 1)
        copies = [copy for row in rows for copy in _renew_item(row)]
        if copies:
            db.execute(sa.insert(_new), [{"id": first_id + i, **copy} for i, copy in enumerate(copies)])
        if rows:
            is_it = (_item.c.run == sa.bindparam("of_run")) & (_item.c.task == sa.bindparam("of_task"))
            of = [{"of_run": row["run"], "of_task": row["task"]} for row in rows]
            db.execute(sa.update(_item).where(is_it).values(answers=None), of)
    return [(row["run"], row["task"]) for row in rows]


def _renew_item(row: Any) -> list[dict[str, Any]]:
    copies = []
    for number, answer in enumerate(row["answers"] or ()):
        candidates = answer.get("candidates", [])
        height, width = candidates[0]["mask"]["size"] if candidates else (0, 0)
        copies.append(
            {
                "run": row["run"],
                "query": number,
                "created_at": row["finished_at"] or row["started_at"] or 0.0,
                "project": row["project"],
                "task": str(row["task"]),
                "expression": answer.get("expression", ""),
                "label": answer.get("label", ""),
                "is_guess": bool(answer.get("is_guess", False)),
                "decision": answer.get("decision", "no_match"),
                "model_version": row["model_version"] or row["run_version"] or "",
                "is_calibrated": _is_calibrated(candidates),
                "encode_fp": row["encode_fp"] or "",
                "image_sha256": row["image_sha256"] or "",
                "height": height,
                "width": width,
                "candidates": candidates,
                "selected": answer.get("selected", []),
                "others": answer.get("others", []),
                "repeats": answer.get("repeats"),
            }
        )
    return copies


def _is_calibrated(candidates: Sequence[Any]) -> bool | None:
    """Whether scores are probabilities; None where no candidate tells."""
    return "probability" in candidates[0].get("parts", {}) if candidates else None
