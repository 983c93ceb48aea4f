"""Queues: regions in the order in which they are worth a look, each by a formula that is said with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from backend.db.review_tables import listed_region, review
from backend.review.decisions import WRONG
from ris_core.errors import UnknownName

CONFIDENT = 0.8
"""Probability from which a proposal counts as confident."""
LIGHTLY_EDITED = 0.85
"""IoU below which a confident proposal was edited noticeably."""

SUSPICIOUS = "suspicious"
"""Name of the queue whose order is that of scores that need the whole project; `backend.review.suspects` keeps them in the list."""

_own = listed_region.c
IS_OPEN = _own.state.in_(("unseen", "second look"))
"""Condition on the list of regions: nothing is decided."""


@dataclass(frozen=True)
class Queue:
    """A queue.

    Attributes:
        formula: Which regions it has, and in which order, in words.
        has: Condition on the list of regions.
        order: Sort keys, of the list and of each region's last decision; regions that are equal in them are in the order of tasks.
    """

    formula: str
    has: sa.ColumnElement[bool]
    order: tuple[sa.ColumnElement[Any], ...]


QUEUES: Mapping[str, Queue] = {
    "uncertain": Queue(
        f"not decided, probability below {CONFIDENT:g}; those nearest to 0.5 first",
        IS_OPEN & (_own.probability < CONFIDENT),
        (sa.func.abs(_own.probability - 0.5),),
    ),
    "confident but edited": Queue(
        f"not decided, probability at least {CONFIDENT:g}, IoU with what was saved below {LIGHTLY_EDITED:g}; the lowest IoU first",
        IS_OPEN & (_own.probability >= CONFIDENT) & (_own.iou < LIGHTLY_EDITED),
        (_own.iou,),
    ),
    SUSPICIOUS: Queue(
        "not decided, a score of suspicion above 0; the highest of each of the four scores in turn",
        IS_OPEN & (_own.suspicion > 0),
        (_own.suspicion_place, _own.suspicion.desc()),
    ),
    "audit": Queue(
        "proposals that nobody approved or rejected yet, in an order that is random and always the same",
        _own.first_look.is_(None) & _own.probability.is_not(None),
        (_own.audit_order,),
    ),
    "to correct": Queue(
        "rejected or to fix, and the mask is still the same; the longest ago first",
        _own.state.in_(WRONG),
        (review.c.at,),
    ),
}


def find_queue(name: str) -> Queue:
    """The queue of a name.

    Raises:
        UnknownName: If there is none.
    """
    if name not in QUEUES:
        raise UnknownName(f"No queue named {name!r}. Available: {', '.join(QUEUES)}.")
    return QUEUES[name]
