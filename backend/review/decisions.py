"""Decisions about regions, in SQL: each is a row that is only ever added.

A decision is about one mask of a region. The present state is the last row about the mask that the region has now: a changed mask
is unseen, and one that is changed back is what it was. An undo is one more row, with the state from before the decision it takes back.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import sqlalchemy as sa

from backend.db.correction_tables import annotation_version
from backend.db.review_tables import listed_region, review
from ris_core.errors import BadInput
from ris_core.geometry.masks import Rle
from ris_core.output.plain_text import one_line

State = Literal["unseen", "approved", "rejected", "to fix", "second look"]
STATES: tuple[State, ...] = get_args(State)
WRONG: tuple[State, ...] = ("rejected", "to fix")
"""States of regions that somebody has to correct."""
REASONS = ("wrong thing", "wrong outline", "part missing", "wrong label", "wrong words")
"""Why a region is rejected, in the order of the keys 1 to 5."""
BULK = "bulk"
"""Queue of what was approved without being looked at, one by one."""
LONGEST_COMMENT = 1000
"""Characters of a comment."""


_IDS_AT_ONCE = 500
"""The number of parameters of one statement is limited."""


class RegionMask(NamedTuple):
    """What a decision is about: a region with the mask that was seen."""

    task: str
    region: str
    mask_sha256: str


@dataclass(frozen=True)
class Verdict:
    """What a reviewer says of regions.

    Attributes:
        reason: One of `REASONS`; None without one.
        reviewer: Label Studio's number of the user; None if nobody says who it was.
        queue: Name of the queue in which the regions stood; None outside a queue.
    """

    state: State
    reviewer: int | None
    reason: str | None = None
    comment: str | None = None
    queue: str | None = None

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise BadInput(f"The state is {self.state!r}. Available: {', '.join(STATES)}.")
        if self.reason is not None and self.reason not in REASONS:
            raise BadInput(f"The reason is {self.reason!r}. Available: {', '.join(REASONS)}.")
        if self.comment is not None and len(self.comment) > LONGEST_COMMENT:
            raise BadInput(
                f"The comment has {len(self.comment):,} characters. Shorten it to {LONGEST_COMMENT:,}; it is told in one line."
            )


@dataclass(frozen=True)
class Decision:
    """A row: what was decided, about what, and when.

    Attributes:
        annotation, version_id: The annotation, and the row of its version, that was seen; None of a prediction.
        at: Seconds since 1970.
        probability: Score of the proposal in [0, 1]; None without one.
        model_version: What proposed it; None without a proposal.
        undoes: Id of the decision that this one takes back; None if it is no undo.
    """

    id: int
    project: int
    task: str
    region: str
    mask_sha256: str
    annotation: int | None
    version_id: int | None
    state: State
    reason: str | None
    comment: str | None
    reviewer: int | None
    at: float
    queue: str | None
    probability: float | None
    model_version: str | None
    undoes: int | None


def read_states(option: str, text: str) -> tuple[State, ...]:
    """The states in "approved,to fix".

    Args:
        option: Where they were written.

    Raises:
        BadInput: If one is not a state.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in STATES]:
        raise BadInput(f"{option} has {unknown[0]!r}. Available: {', '.join(STATES)}.")
    return tuple(state for state in STATES if state in names)


def digest_mask(mask: Rle) -> str:
    """sha256 of a mask, in hex: equal for equal masks of images of the same size."""
    height, width = mask["size"]
    return hashlib.sha256(f"{height}x{width} {mask['counts']}".encode()).hexdigest()


def read_present(db: sa.Connection, project: int, task: str | None = None) -> dict[RegionMask, Decision]:
    """The last decision about each mask of a project's regions, those of former masks included.

    Args:
        task: Only of this task; of all if None.
    """
    chosen = review.c.project == project
    if task is not None:
        chosen &= review.c.task == task
    last = (
        sa.select(sa.func.max(review.c.id)).where(chosen).group_by(review.c.task, review.c.region, review.c.mask_sha256)
    )
    rows = db.execute(sa.select(review).where(review.c.id.in_(last)).order_by(review.c.id)).mappings()
    return {RegionMask(one.task, one.region, one.mask_sha256): one for one in map(_decision, rows)}


def read_decisions(db: sa.Connection, ids: Sequence[int]) -> dict[int, Decision]:
    """Decisions by their ids."""
    found: dict[int, Decision] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        chosen = sa.select(review).where(review.c.id.in_(ids[start : start + _IDS_AT_ONCE]))
        found |= {row["id"]: _decision(row) for row in db.execute(chosen).mappings()}
    return found


def read_first_looks(db: sa.Connection, project: int, task: str | None = None) -> dict[tuple[str, str], State]:
    """What was said of each region, by task and id, when somebody first looked at it, whichever mask it had then.

    An audit counts these: a region that was found wrong is one of the wrong ones, also after it was corrected.
    """
    own = review.c
    chosen = (own.project == project) & (sa.true() if task is None else own.task == task)
    rows = db.execute(
        sa.select(own.id, own.task, own.region, own.state, own.queue, own.undoes).where(chosen).order_by(own.id)
    ).all()
    undone = {row.undoes for row in rows}
    looks: dict[tuple[str, str], State] = {}
    for row in rows:
        if row.undoes is None and row.id not in undone and row.queue != BULK and row.state in ("approved", *WRONG):
            looks.setdefault((row.task, row.region), row.state)
    return looks


def read_history(db: sa.Connection, project: int, about: RegionMask) -> list[Decision]:
    """Every decision about a region's mask, oldest first."""
    rows = db.execute(sa.select(review).where(_is_about(project, about)).order_by(review.c.id)).mappings()
    return list(map(_decision, rows))


def read_region_history(db: sa.Connection, project: int, task: str, region: str) -> list[Decision]:
    """Every decision about a region, whichever mask it had, oldest first."""
    own = review.c
    chosen = (own.project == project) & (own.task == task) & (own.region == region)
    return list(map(_decision, db.execute(sa.select(review).where(chosen).order_by(own.id)).mappings()))


def add_decision(
    db: sa.Connection,
    project: int,
    about: RegionMask,
    verdict: Verdict,
    *,
    annotation: int | None = None,
    saved_at: float | None = None,
    probability: float | None = None,
    model_version: str | None = None,
) -> None:
    """Add what a reviewer decided about a region's mask.

    Args:
        annotation, saved_at: The annotation that was seen and when that version was saved; None of a prediction.
    """
    own = annotation_version.c
    version = sa.select(own.id).where(
        (own.annotation == annotation) & (own.updated_at == saved_at) & (own.project == project)
    )
    row = {
        "annotation": annotation,
        "version_id": None if annotation is None else db.scalar(version),
        "probability": probability,
        "model_version": model_version,
    }
    _add(db, project, about, verdict, row)


def undo(db: sa.Connection, project: int, about: RegionMask, reviewer: int | None) -> State:
    """Take back the last decision about a region's mask that was not taken back yet; returns the state from before it.

    Raises:
        BadInput: If there is none.
    """
    decisions = read_history(db, project, about)
    undone = {one.undoes for one in decisions}
    standing = [one for one in decisions if one.undoes is None and one.id not in undone]
    if not standing:
        raise BadInput(
            f"Nothing is decided about the region {about.region} of task {about.task}, so there is nothing to undo."
        )
    last = standing[-1]
    before = standing[-2] if len(standing) > 1 else None
    verdict = Verdict("unseen", reviewer)
    if before:
        verdict = Verdict(before.state, reviewer, before.reason, before.comment, before.queue)
    kept = ("annotation", "version_id", "probability", "model_version")
    _add(db, project, about, verdict, {**{name: getattr(before or last, name) for name in kept}, "undoes": last.id})
    return verdict.state


def _add(db: sa.Connection, project: int, about: RegionMask, verdict: Verdict, row: dict[str, Any]) -> None:
    comment = one_line(verdict.comment) if verdict.comment else None
    values = {**about._asdict(), **vars(verdict), "comment": comment, "project": project, "at": time.time(), **row}
    added = db.scalar(sa.insert(review).values(values).returning(review.c.id))
    first_look = read_first_looks(db, project, about.task).get((about.task, about.region))
    own = listed_region.c
    is_region = (own.project == project) & (own.task == about.task) & (own.region == about.region)
    db.execute(sa.update(listed_region).where(is_region).values(first_look=first_look))
    is_mask = is_region & (own.mask_sha256 == about.mask_sha256)
    db.execute(sa.update(listed_region).where(is_mask).values(state=verdict.state, decision=added))


def _is_about(project: int, about: RegionMask) -> sa.ColumnElement[bool]:
    own = review.c
    is_region = (own.project == project) & (own.task == about.task) & (own.region == about.region)
    return is_region & (own.mask_sha256 == about.mask_sha256)


def _decision(row: Any) -> Decision:
    return Decision(**row)
