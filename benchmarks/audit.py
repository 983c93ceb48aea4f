"""`ris bench audit`: how many decisions a project needs until its error is small, and whether what is said of it then is true.

A lead audits regions above a threshold in a random order. Once the bound says that at most 2 % of them are wrong, all of them are
approved at once, and the regions below the threshold are decided one by one. Reviewers overlook a tenth of what is wrong.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from backend.review.bound import RISK, THRESHOLDS, bound_overlooked
from ris_core.arrays import Array

GOAL = 0.02
OVERLOOKED = 0.1
EVERY = 10
"""Decisions between two looks at the bounds."""
REGIONS = (1_000, 10_000)
SEED = 724


def _spread(generator: np.random.Generator, regions: int) -> Array:
    return generator.beta(4, 1, regions)


def _separated(generator: np.random.Generator, regions: int) -> Array:
    return np.where(generator.random(regions) < 0.7, generator.beta(200, 1, regions), generator.beta(2, 2, regions))


POPULATIONS: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "spread: Beta(4, 1)": _spread,
    "separated: 70 % Beta(200, 1), 30 % Beta(2, 2)": _separated,
}
"""Probabilities of proposals, which are right as often as they say."""


@dataclass(frozen=True)
class AuditCost:
    """What a kind of project costs; means over projects.

    Attributes:
        wrong: Share of the proposals that is wrong.
        decisions: Per 1,000 regions until all are decided, with bulk approval.
        in_bulk: Share of the regions that was approved unseen.
        error: Share of the regions that is approved though wrong, in the end; `error_one_by_one` if each is looked at.
        broken: Share of the projects in which a bound was wrong.
    """

    population: str
    regions: int
    wrong: float
    decisions: float
    in_bulk: float
    error: float
    error_one_by_one: float
    broken: float


def measure(projects: int) -> list[AuditCost]:
    """Simulate projects of each kind and size."""
    generator = np.random.default_rng(SEED)
    return [_measure(generator, name, regions, projects) for name in POPULATIONS for regions in REGIONS]


def to_json(costs: list[AuditCost]) -> str:
    """One JSON document."""
    return json.dumps([asdict(one) for one in costs])


def to_markdown(costs: list[AuditCost]) -> str:
    """A table."""
    lines = [
        "| probabilities | regions | wrong | decisions per 1,000 | approved in bulk | error left | one by one | bound was wrong |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in costs:
        lines.append(
            f"| {one.population} | {one.regions:,} | {one.wrong:.1%} | {one.decisions:,.0f} | {one.in_bulk:.0%} | {one.error:.2%} | "
            f"{one.error_one_by_one:.2%} | {one.broken:.1%} |"
        )
    return "\n".join(lines)


def _measure(generator: np.random.Generator, name: str, regions: int, projects: int) -> AuditCost:
    rows = np.array([_review(generator, POPULATIONS[name](generator, regions)) for _ in range(projects)])
    wrong, decisions, in_bulk, error, one_by_one, broken = rows.mean(0)
    return AuditCost(name, regions, wrong, 1000 * decisions, in_bulk, error, one_by_one, broken)


def _review(generator: np.random.Generator, probabilities: Array) -> tuple[float, ...]:
    """Shares of a project's regions: wrong, decided, approved in bulk, wrong in the end, the same one by one; whether a bound was wrong."""
    regions = len(probabilities)
    is_wrong = generator.random(regions) > probabilities
    is_overlooked = is_wrong & (generator.random(regions) < OVERLOOKED)
    one_by_one = is_overlooked.mean()
    best, in_bulk, error, is_broken = regions, 0, one_by_one, False
    for threshold in THRESHOLDS:
        above = np.flatnonzero(probabilities >= threshold)  # their order is random
        looks = np.append(np.arange(EVERY, len(above), EVERY), len(above))
        seen = (is_wrong & ~is_overlooked)[above].cumsum()[looks - 1]
        most = bound_overlooked(np.full(len(looks), len(above)), looks, seen, RISK / len(THRESHOLDS), OVERLOOKED)
        is_broken |= bool((most < is_wrong[above].sum()).any())
        reached = np.flatnonzero(most <= GOAL * len(above))
        if not len(reached):
            continue
        audited = looks[reached[0]]
        decided = audited + regions - len(above)
        if decided < best:
            unseen = above[audited:]
            best, in_bulk = decided, len(unseen)
            error = one_by_one + (is_wrong & ~is_overlooked)[unseen].sum() / regions
    return is_wrong.mean(), best / regions, in_bulk / regions, error, one_by_one, is_broken
