"""The record of what people did with more than a region: approvals in bulk, and runs. Rows are only ever added."""

import time
from dataclasses import dataclass

import sqlalchemy as sa

from backend.db.review_tables import review_action
from ris_core.output.plain_text import one_line

LONGEST_DETAIL = 1000
"""Characters."""


@dataclass(frozen=True)
class ReviewAction:
    """A row.

    Attributes:
        reviewer: Label Studio's number of the user; None if nobody says who it was.
        at: Seconds since 1970.
        target: Id of the run; None of what is about the project.
    """

    id: int
    project: int
    reviewer: int | None
    at: float
    action: str
    target: str | None
    detail: str | None


def note_action(
    db: sa.Connection,
    project: int,
    reviewer: int | None,
    action: str,
    target: str | None = None,
    detail: str | None = None,
) -> None:
    """Add what somebody does."""
    row = {"project": project, "reviewer": reviewer, "at": time.time(), "action": action, "target": target}
    text = one_line(detail)[:LONGEST_DETAIL] if detail else None
    db.execute(sa.insert(review_action).values({**row, "detail": text}))


def read_actions(db: sa.Connection, project: int, target: str | None = None, limit: int = 50) -> list[ReviewAction]:
    """The latest actions, newest first.

    Args:
        target: Id of the run that they are about; those about the project if None.
    """
    own = review_action.c
    chosen = (own.project == project) & (own.target.is_(None) if target is None else own.target == target)
    rows = db.execute(sa.select(review_action).where(chosen).order_by(own.id.desc()).limit(limit)).mappings()
    return [ReviewAction(**row) for row in rows]
