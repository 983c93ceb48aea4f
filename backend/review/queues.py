"""Queues: regions in the order in which they are worth a look, each by a formula that is said with it."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from backend.review.bound import ErrorBound, bound_errors
from backend.review.decisions import STATES, WRONG
from backend.review.regions import ReviewedRegion
from ris_core.errors import UnknownName

CONFIDENT = 0.8
"""Probability from which a proposal counts as confident."""
LIGHTLY_EDITED = 0.85
"""IoU below which a confident proposal was edited noticeably."""

Key = tuple[float | str, ...]


@dataclass(frozen=True)
class Queue:
    """A queue.

    Attributes:
        formula: Which regions it has, and in which order, in words.
        has: Whether a region stands in it.
        order: Sort key.
    """

    formula: str
    has: Callable[[ReviewedRegion], bool]
    order: Callable[[ReviewedRegion], Key]


def order_randomly(region: ReviewedRegion) -> Key:
    """Place of a region in the audit: a hash of its name, so the same at each look, and nobody's choice."""
    return hashlib.sha256(f"audit {region.project} {region.key}".encode()).hexdigest(), region.annotation or 0


def _doubt(region: ReviewedRegion) -> float:
    return abs((region.probability or 0.0) - 0.5)


QUEUES: Mapping[str, Queue] = {
    "uncertain": Queue(
        f"not decided, probability below {CONFIDENT:g}; those nearest to 0.5 first",
        lambda one: (
            one.state in ("unseen", "second look") and one.probability is not None and one.probability < CONFIDENT
        ),
        lambda one: (_doubt(one), one.key),
    ),
    "confident but edited": Queue(
        f"not decided, probability at least {CONFIDENT:g}, IoU with what was saved below {LIGHTLY_EDITED:g}; the lowest IoU first",
        lambda one: (
            one.state in ("unseen", "second look")
            and (one.probability or 0.0) >= CONFIDENT
            and one.iou is not None
            and one.iou < LIGHTLY_EDITED
        ),
        lambda one: (one.iou or 0.0, one.key),
    ),
    "audit": Queue(
        "proposals that nobody looked at yet, in an order that is random and always the same",
        lambda one: one.first_look is None and one.probability is not None,
        order_randomly,
    ),
    "to correct": Queue(
        "rejected or to fix, and the mask is still the same; the longest ago first",
        lambda one: one.state in WRONG,
        lambda one: (one.decision.at if one.decision else 0.0, one.key),
    ),
}


def bound_queue(regions: Iterable[ReviewedRegion], overlooked: float = 0.0) -> list[ErrorBound]:
    """What the audit says about a project's proposals, for each threshold.

    Args:
        overlooked: Share of the wrong regions that reviewers take for right, in [0, 1).
    """
    audit = sorted((one for one in regions if one.probability is not None), key=order_randomly)
    found = [np.nan if one.first_look is None else float(one.first_look in WRONG) for one in audit]
    return bound_errors(np.array([one.probability for one in audit], float), np.array(found, float), overlooked)


def count_states(regions: Iterable[ReviewedRegion]) -> dict[str, int]:
    """How many regions are in each state, in the order of `STATES`."""
    counts = Counter(one.state for one in regions)
    return {state: counts[state] for state in STATES}


def find_queue(name: str) -> Queue:
    """The queue of a name.

    Raises:
        UnknownName: If there is none.
    """
    if name not in QUEUES:
        raise UnknownName(f"No queue named {name!r}. Available: {', '.join(QUEUES)}.")
    return QUEUES[name]


def list_queue(regions: Iterable[ReviewedRegion], queue: Queue) -> list[ReviewedRegion]:
    """The regions that stand in a queue, in its order."""
    return sorted(filter(queue.has, regions), key=queue.order)
