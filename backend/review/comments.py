"""What reviewers say about a task, for its annotator."""

import sqlalchemy as sa

from backend.db.review_tables import review
from backend.review.decisions import WRONG
from backend.review.regions import ReviewedRegion, read_regions


def read_sent_back(db: sa.Connection, project: int, task: str) -> list[ReviewedRegion]:
    """The regions of a task that are rejected or to fix, and whose masks are still the same; the last decision first.

    Of most tasks nothing was rejected, and one look at an index says so.
    """
    own = review.c
    is_rejected = sa.select(own.id).where((own.project == project) & (own.task == task) & own.state.in_(WRONG)).limit(1)
    if db.scalar(is_rejected) is None:
        return []
    regions = [one for one in read_regions(db, project, task) if one.state in WRONG]
    return sorted(regions, key=lambda one: -one.decision.id if one.decision else 0)
