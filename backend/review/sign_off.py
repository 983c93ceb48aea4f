"""What the approvals of a project rest on: who gave them, when, how many nobody looked at, and what an audit says of them.

The card of a data set and the page of its project say so with the same words.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from backend.db.review_tables import listed_region, review
from backend.review.bound import ErrorBound
from backend.review.decisions import BULK
from backend.review.listing import bound_listed
from backend.review.regions import ReviewedRegion, bound_regions

NOBODY = "None"
"""In place of a user's number: nothing says who it was."""


@dataclass(frozen=True)
class ApprovalBasis:
    """What approvals rest on.

    Attributes:
        approvers: By number of the user in Label Studio, how many regions each approved; who takes a rejection back approves.
        approved_at: When the first and the last of the approvals were given, seconds since 1970; empty without any.
        in_bulk: How many of the regions nobody looked at.
        sample: What is known of the errors, for each threshold.
        model_versions: Of what was approved, sorted.
    """

    approvers: Mapping[str, int]
    approved_at: tuple[float, ...]
    in_bulk: int
    sample: Sequence[ErrorBound]
    model_versions: Sequence[str]

    @property
    def sentences(self) -> list[str]:
        """All of it in words; `bounds` follow the last one."""
        if not self.approvers:
            return ["Nothing is approved."]
        users = ", ".join(
            f"{'somebody who is not named' if user == NOBODY else f'user {user}'} ({number:,})"
            for user, number in sorted(self.approvers.items())
        )
        first, last = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}" for at in self.approved_at)
        when = f"on {first}" if first == last else f"from {first} to {last}"
        total = sum(self.approvers.values())
        return [
            f"Approved by {users}, {when} (UTC).",
            f"Of these {total:,} regions {total - self.in_bulk:,} were looked at one by one, and {self.in_bulk:,} were approved in bulk.",
            f"Model versions: {', '.join(self.model_versions) or '-'}.",
            "How many proposals are wrong, by an audit of all of them in random order and by the judgement of whoever audited; what "
            "these people overlooked is not counted:",
        ]

    @property
    def bounds(self) -> list[str]:
        """What is known of the errors in words, for each threshold above which there are proposals; none if nothing is approved."""
        return [one.text for one in self.sample if one.regions and self.approvers]


def sum_up_approvals(regions: Iterable[ReviewedRegion]) -> ApprovalBasis:
    """What the approvals rest on.

    Args:
        regions: All regions of a project.
    """
    everything = list(regions)
    approved = [one for one in everything if one.state == "approved"]
    decisions = [one.decision for one in approved if one.decision]
    times = [one.at for one in decisions]
    return ApprovalBasis(
        approvers=dict(Counter(str(one.reviewer) for one in decisions)),
        approved_at=(min(times), max(times)) if times else (),
        in_bulk=sum(one.queue == BULK for one in decisions),
        sample=bound_regions(everything),
        model_versions=sorted({one.model_version for one in approved if one.model_version}),
    )


def read_approvals(db: sa.Connection, project: int) -> ApprovalBasis:
    """The same of the list of a project's regions, in statements that do not grow with the project."""
    own = listed_region.c
    is_approved = (own.project == project) & (own.state == "approved")
    is_bulk = sa.case((review.c.queue == BULK, 1), else_=0)
    numbers = (sa.func.count(), sa.func.min(review.c.at), sa.func.max(review.c.at), sa.func.sum(is_bulk))
    rows = db.execute(
        sa.select(review.c.reviewer, *numbers)
        .join(review, review.c.id == own.decision)
        .where(is_approved)
        .group_by(review.c.reviewer)
    ).all()
    versions = sa.select(own.model_version).distinct().where(is_approved & own.model_version.is_not(None))
    return ApprovalBasis(
        approvers={str(row[0]): row[1] for row in rows},
        approved_at=(min(row[2] for row in rows), max(row[3] for row in rows)) if rows else (),
        in_bulk=sum(int(row[4]) for row in rows),
        sample=bound_listed(db, project),
        model_versions=sorted(one for one in db.scalars(versions) if one),
    )
