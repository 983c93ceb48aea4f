"""Approving many regions at once: only where an audit says how many of them are wrong at most."""

import time
from typing import Any

import sqlalchemy as sa

from backend.db.correction_tables import annotation_version
from backend.db.review_tables import listed_region, review
from backend.review.actions import note_action
from backend.review.bound import THRESHOLDS, ErrorBound
from backend.review.decisions import BULK
from backend.review.listing import RegionFilter, bound_listed, count_regions
from ris_core.errors import BadInput

_own = listed_region.c


def find_bound(db: sa.Connection, project: int, threshold: float, overlooked: float = 0.0) -> ErrorBound:
    """What the audit says of the proposals from a threshold on.

    Args:
        threshold: One of `THRESHOLDS`.
        overlooked: As `bound_listed` takes it.

    Raises:
        BadInput: If there is no such threshold.
    """
    bounds = {one.threshold: one for one in bound_listed(db, project, overlooked)}
    if threshold not in bounds:
        raise BadInput(f"The threshold is {threshold:g}. Available: {', '.join(f'{one:g}' for one in THRESHOLDS)}.")
    return bounds[threshold]


def approve_above(
    db: sa.Connection, project: int, threshold: float, most_wrong: float, overlooked: float, reviewer: int | None
) -> tuple[ErrorBound, int]:
    """Approve all proposals from a threshold on about which nothing was decided; returns what is known of them, and how many those were.

    Args:
        threshold: One of `THRESHOLDS`.
        most_wrong: Largest share of them that may be wrong, in [0, 1].
        overlooked: As `bound_listed` takes it.

    Raises:
        BadInput: If there is no such threshold, or the audit does not say that so few are wrong.
    """
    bound = find_bound(db, project, threshold, overlooked)
    if bound.most > most_wrong:
        raise BadInput(
            f"Nothing was approved: that at most {100 * most_wrong:.1f} % are wrong is not known. {bound.text}",
            "Decide more regions of `ris review list --queue audit`, from the top.",
        )
    unseen = RegionFilter(states=("unseen",), at_least=threshold)
    number = count_regions(db, project, unseen)
    at = time.time()
    values = {"state": "approved", "reviewer": reviewer, "at": at, "queue": BULK}
    copied = ("project", "task", "region", "mask_sha256", "annotation", "probability", "model_version")
    columns: list[sa.ColumnElement[Any]] = [_own[name] for name in copied]
    columns += [sa.literal(value, review.c[name].type) for name, value in values.items()]
    chosen = sa.select(*columns, _version().label("version_id")).where(unseen.matches(project))
    db.execute(sa.insert(review).from_select([*copied, *values, "version_id"], chosen))
    approval = _approval(at)
    is_approved = (_own.project == project) & (_own.state == "unseen") & approval.is_not(None)
    db.execute(sa.update(listed_region).where(is_approved).values(state="approved", decision=approval))
    detail = f"p >= {threshold:g}, at most {100 * most_wrong:g} % wrong accepted: {number} regions. {bound.text}"
    note_action(db, project, reviewer, "approved in bulk", detail=detail)
    return bound, number


def _version() -> sa.ScalarSelect[int]:
    """The row of the version of an annotation that is listed."""
    version = annotation_version.c
    is_same = (version.annotation == _own.annotation) & (version.updated_at == _own.saved_at)
    return sa.select(version.id).where(is_same & (version.project == _own.project)).scalar_subquery()


def _approval(at: float) -> sa.ScalarSelect[int]:
    """The decision about a listed mask that was added just now."""
    is_about = (review.c.project == _own.project) & (review.c.task == _own.task) & (review.c.region == _own.region)
    is_new = (review.c.queue == BULK) & (review.c.at == at) & (review.c.mask_sha256 == _own.mask_sha256)
    return sa.select(sa.func.max(review.c.id)).where(is_about & is_new).correlate(listed_region).scalar_subquery()
