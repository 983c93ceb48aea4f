"""Approving many regions at once: only where an audit says how many of them are wrong at most."""

import sqlalchemy as sa

from backend.review.bound import THRESHOLDS, ErrorBound
from backend.review.decisions import BULK, Verdict
from backend.review.queues import bound_queue
from backend.review.regions import decide, read_regions
from ris_core.errors import BadInput


def approve_above(
    db: sa.Connection, project: int, threshold: float, most_wrong: float, overlooked: float, reviewer: int | None
) -> tuple[ErrorBound, int]:
    """Approve all proposals from a threshold on about which nothing was decided; returns what is known of them, and how many those were.

    Args:
        threshold: One of `THRESHOLDS`.
        most_wrong: Largest share of them that may be wrong, in [0, 1].
        overlooked: As `bound_queue` takes it.

    Raises:
        BadInput: If there is no such threshold, or the audit does not say that so few are wrong.
    """
    regions = list(read_regions(db, project))
    bounds = {one.threshold: one for one in bound_queue(regions, overlooked)}
    if threshold not in bounds:
        raise BadInput(f"The threshold is {threshold:g}. Available: {', '.join(f'{one:g}' for one in THRESHOLDS)}.")
    bound = bounds[threshold]
    if bound.most > most_wrong:
        raise BadInput(
            f"Nothing was approved: that at most {most_wrong:.1%} are wrong is not known. {bound.text}",
            "Decide more regions of `ris review list --queue audit`, from the top.",
        )
    chosen = [
        one
        for one in regions
        if one.state == "unseen" and (one.probability or 0.0) >= threshold and one.probability is not None
    ]
    decide(db, chosen, Verdict("approved", reviewer, queue=BULK))
    return bound, len(chosen)
