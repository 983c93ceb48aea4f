"""Notes of tasks whose regions changed, for the list of regions that quality review reads."""

from collections.abc import Iterable

import sqlalchemy as sa

from backend.db.review_tables import to_list
from backend.db.run_tables import item, run


def note_tasks(db: sa.Connection, tasks: Iterable[tuple[int | None, str]]) -> None:
    """Note that regions of tasks changed.

    Args:
        tasks: Project and task of each; without a project there is nothing to review.
    """
    rows = [{"project": project, "task": task} for project, task in tasks if project is not None]
    if rows:
        db.execute(sa.insert(to_list), rows)


def note_items(db: sa.Connection, is_meant: sa.ColumnElement[bool]) -> None:
    """Note the tasks of items of runs, by a condition on their table."""
    tasks = sa.select(run.c.project, sa.cast(item.c.task, sa.Text)).join(run, run.c.id == item.c.run)
    db.execute(sa.insert(to_list).from_select(["project", "task"], tasks.where(is_meant)))
