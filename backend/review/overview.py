"""How good the proposals of a project are, and what they save: counted in SQL, in statements that do not grow with the project."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from backend.corrections.outcome_kinds import VERDICTS
from backend.corrections.queries import is_newest
from backend.corrections.statistics import RIGHT_IOU
from backend.db.correction_tables import annotation_version, outcome

BINS = 10
"""Of the reliability diagram, equally wide."""
_Z = 1.959963984540054
"""Of a normal distribution, for intervals of 95 %."""


class Share(NamedTuple):
    """A share with its Wilson interval of 95 %; `low` and `high` are 0 and 1 if there is nothing.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """

    number: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share, in [0, 1]; 0 of nothing."""
        return self.number / self.of if self.of else 0.0


@dataclass(frozen=True)
class VersionQuality:
    """How a model version's proposals did.

    Attributes:
        shares: Share of each outcome in `VERDICTS` among the proposals that were answered.
        is_worse: Fewer were accepted than of the version before, and the intervals do not overlap.
    """

    model_version: str
    shares: Mapping[str, Share]
    is_worse: bool


class ReliabilityBin(NamedTuple):
    """Proposals with a score in [low, high), of the last bin up to 1: how many, their mean score, and the share that was right."""

    low: float
    high: float
    number: int
    score: float
    right: Share


class SecondsPerRegion(NamedTuple):
    """Annotations with a lead time, their regions, and the seconds of all of them."""

    annotations: int
    regions: int
    seconds: float

    @property
    def each(self) -> float | None:
        """Seconds a region; None without regions."""
        return self.seconds / self.regions if self.regions else None


def wilson(number: int, of: int) -> Share:
    """A share with its interval.

    Args:
        number: How many of them, at most `of`.
    """
    if not of:
        return Share(0, 0, 0.0, 1.0)
    share, weight = number / of, _Z**2 / of
    middle = share + weight / 2
    width = _Z * math.sqrt(share * (1 - share) / of + weight / (4 * of))
    return Share(number, of, max(0.0, (middle - width) / (1 + weight)), min(1.0, (middle + width) / (1 + weight)))


def read_versions(db: sa.Connection, project: int) -> tuple[Counter[str], list[VersionQuality]]:
    """How many regions have each outcome, and how each model version did, the newest first: that whose proposals were saved last."""
    own = outcome.c
    rows = db.execute(
        sa.select(
            own.model_version,
            own.outcome,
            sa.func.count().label("number"),
            sa.func.min(annotation_version.c.updated_at).label("since"),
        )
        .join(annotation_version, annotation_version.c.id == own.version_id)
        .where((annotation_version.c.project == project) & is_newest())
        .group_by(own.model_version, own.outcome)
    ).all()
    totals, by_version, since = Counter[str](), dict[str, Counter[str]](), dict[str, float]()
    for row in rows:
        totals[row.outcome] += row.number
        if row.model_version and row.outcome in VERDICTS:
            by_version.setdefault(row.model_version, Counter())[row.outcome] += row.number
            since[row.model_version] = min(row.since, since.get(row.model_version, math.inf))
    versions, before = list[VersionQuality](), None
    for name in sorted(by_version, key=lambda one: since[one]):
        shares = share_verdicts(by_version[name])
        is_worse = before is not None and shares["accepted"].high < before["accepted"].low
        versions.append(VersionQuality(name, shares, is_worse))
        before = shares
    return totals, versions[::-1]


def share_verdicts(counts: Mapping[str, int]) -> dict[str, Share]:
    """Share of each outcome in `VERDICTS` among the proposals that were answered."""
    answered = sum(counts.get(name, 0) for name in VERDICTS)
    return {name: wilson(counts.get(name, 0), answered) for name in VERDICTS}


def read_reliability(db: sa.Connection, project: int) -> Sequence[ReliabilityBin]:
    """How often proposals are right, by their score; bins without any are left out. As the report counts them."""
    own = outcome.c
    edges = [number / BINS for number in range(1, BINS)]
    place = sum((sa.case((own.score >= edge, 1), else_=0) for edge in edges), sa.literal(0))
    is_right = own.outcome.in_(("accepted", "edited")) & (own.iou >= RIGHT_IOU)
    inner = (
        sa.select(place.label("place"), own.score, sa.case((is_right, 1), else_=0).label("right"))
        .join(annotation_version, annotation_version.c.id == own.version_id)
        .where((annotation_version.c.project == project) & is_newest())
        .where(own.score.is_not(None) & own.outcome.in_(VERDICTS) & ~own.is_refined)
        .subquery()
    )
    rows = db.execute(
        sa.select(inner.c.place, sa.func.count(), sa.func.avg(inner.c.score), sa.func.sum(inner.c.right))
        .group_by(inner.c.place)
        .order_by(inner.c.place)
    )
    return [
        ReliabilityBin(place / BINS, (place + 1) / BINS, number, min(1.0, max(0.0, score)), wilson(int(right), number))
        for place, number, score, right in rows
    ]


def read_seconds(db: sa.Connection, project: int) -> dict[bool, SecondsPerRegion]:
    """Seconds a region, of annotations with (True) and without (False) something that was offered."""
    own = outcome.c
    regions = (
        sa.select(
            annotation_version.c.id,
            annotation_version.c.lead_time_s,
            sa.func.count(own.mask).label("regions"),
            sa.func.max(sa.case((own.offered_region.is_not(None), 1), else_=0)).label("has_offer"),
        )
        .join(own.version_id.table, own.version_id == annotation_version.c.id)
        .where((annotation_version.c.project == project) & is_newest())
        .where(annotation_version.c.lead_time_s.is_not(None))
        .group_by(annotation_version.c.id, annotation_version.c.lead_time_s)
        .subquery()
    )
    sums = (sa.func.count(), sa.func.sum(regions.c.regions), sa.func.sum(regions.c.lead_time_s))
    rows = db.execute(sa.select(regions.c.has_offer, *sums).group_by(regions.c.has_offer)).all()
    found = {bool(row[0]): SecondsPerRegion(row[1], int(row[2]), row[3]) for row in rows}
    return {has_offer: found.get(has_offer, SecondsPerRegion(0, 0, 0.0)) for has_offer in (True, False)}
