"""The regions of a project as they are now, each with what was decided about its mask.

They are the regions of annotations, as `backend.corrections.queries` lists them, and those of the newest prediction of every task that
nobody has annotated.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from backend.corrections.offered_regions import OfferedRegionsOfTask
from backend.corrections.outcomes import OfferedRegion
from backend.corrections.predicted_tasks import read_predicted_tasks
from backend.corrections.queries import Correction, is_newest, read_corrections
from backend.db.correction_tables import annotation_version
from backend.review.bound import ErrorBound, bound_errors
from backend.review.decisions import (
    STATES,
    WRONG,
    Decision,
    RegionMask,
    State,
    Verdict,
    add_decision,
    digest_mask,
    read_first_looks,
    read_present,
    undo,
)
from ris_core.errors import BadInput
from ris_core.output.plain_text import one_line

PREDICTED = "predicted"
"""In place of an outcome: nobody has annotated the task."""


@dataclass(frozen=True)
class RegionRecord:
    """What is on record of a region.

    Attributes:
        annotation, saved_at: The annotation that it is in, and when that was saved; None of a prediction.
        outcome: What the annotator did with the proposal; `PREDICTED` of a prediction.
        probability: Score of the proposal, in [0, 1]; None without one.
        iou: Of the saved and the offered mask; None without both.
        first_look: What was said of the region when somebody first looked at it; None if nobody did.
    """

    project: int
    task: str
    region: str
    mask_sha256: str
    annotation: int | None
    saved_at: float | None
    outcome: str
    label: str
    expression: str | None
    probability: float | None
    iou: float | None
    model_version: str | None
    first_look: State | None

    @property
    def about(self) -> RegionMask:
        """What a decision about it is about."""
        return RegionMask(self.task, self.region, self.mask_sha256)

    @property
    def key(self) -> str:
        """How people name it: task/region."""
        return f"{self.task}/{self.region}"


@dataclass(frozen=True)
class ReviewedRegion(RegionRecord):
    """A region as it is now.

    Attributes:
        decision: The last decision about its mask; None if there is none.
    """

    decision: Decision | None

    @property
    def audit_order(self) -> str:
        """Place of a region in the audit: a hash of its name, so the same at each look, and nobody's choice."""
        name = hashlib.sha256(f"audit {self.project} {self.key}".encode()).hexdigest()
        return f"{name} {self.annotation or 0:020}"

    @property
    def state(self) -> State:
        """What was decided about it."""
        return self.decision.state if self.decision else "unseen"


def read_regions(db: sa.Connection, project: int, task: str | None = None) -> Iterator[ReviewedRegion]:
    """The regions of a project, those of annotations first.

    Args:
        task: Only of this task; of all if None.
    """
    reviews = _Reviews(read_present(db, project, task), read_first_looks(db, project, task))
    for correction in read_corrections(db, project, task=task, with_masks=True):
        if correction.outcome.mask is not None:
            yield _from_correction(correction, reviews)
    own = annotation_version.c
    is_meant = (own.project == project) & (sa.true() if task is None else own.task == task)
    annotated = set(db.scalars(sa.select(own.task).where(is_meant & is_newest())))
    predicted = (
        [task] if task is not None else sorted(read_predicted_tasks(db, project), key=lambda one: (len(one), one))
    )
    for one in predicted:
        if one not in annotated:
            for region in OfferedRegionsOfTask(db, project, one).newest_bulk():
                yield _from_prediction(project, one, region, reviews)


def find_regions(db: sa.Connection, project: int, keys: Sequence[str]) -> list[ReviewedRegion]:
    """The regions of these names, in their order.

    Raises:
        BadInput: If a name has no region now, or several annotations have different masks for it.
    """
    regions: list[ReviewedRegion] = []
    for key in keys:
        task, _, region = key.partition("/")
        named = {one.mask_sha256: one for one in read_regions(db, project, task) if one.region == region}
        if not named:
            raise BadInput(
                f"There is no region {one_line(key)!r} in project {project}.",
                "`ris review list` prints them, as task/region.",
            )
        if len(named) > 1:
            annotations = ", ".join(str(one.annotation) for one in named.values())
            raise BadInput(
                f"The annotations {annotations} have different masks of the region {one_line(key)!r}.",
                "Delete or correct one of them in Label Studio first.",
            )
        regions += named.values()
    return regions


def decide(db: sa.Connection, regions: Sequence[ReviewedRegion], verdict: Verdict) -> None:
    """Add a decision about each region as it was read."""
    for one in regions:
        add_decision(
            db,
            one.project,
            one.about,
            verdict,
            annotation=one.annotation,
            saved_at=one.saved_at,
            probability=one.probability,
            model_version=one.model_version,
        )


def take_back(db: sa.Connection, regions: Sequence[ReviewedRegion], reviewer: int | None) -> list[State]:
    """Undo the last decision about each region; returns the states that they are in then.

    Raises:
        BadInput: If nothing is decided about one of them; then none is undone.
    """
    return [undo(db, one.project, one.about, reviewer) for one in regions]


def list_finished_tasks(regions: Iterator[ReviewedRegion], states: Sequence[str]) -> list[int]:
    """Numbers of the tasks that have regions, all of them in one of the states."""
    is_finished: dict[str, bool] = {}
    for one in regions:
        is_finished[one.task] = is_finished.get(one.task, True) and one.state in states
    return sorted(int(task) for task, finished in is_finished.items() if finished and task.isdecimal())


def bound_regions(regions: Iterable[ReviewedRegion], overlooked: float = 0.0) -> list[ErrorBound]:
    """What the audit says about a project's proposals, for each threshold.

    Args:
        overlooked: Share of the wrong regions that reviewers take for right, in [0, 1).
    """
    audit = sorted((one for one in regions if one.probability is not None), key=lambda one: one.audit_order)
    found = [np.nan if one.first_look is None else float(one.first_look in WRONG) for one in audit]
    return bound_errors(np.array([one.probability for one in audit], float), np.array(found, float), overlooked)


def count_states(regions: Iterable[ReviewedRegion]) -> dict[str, int]:
    """How many regions are in each state, in the order of `STATES`."""
    counts = Counter(one.state for one in regions)
    return {state: counts[state] for state in STATES}


class _Reviews(NamedTuple):
    """What was decided in a project."""

    present: dict[RegionMask, Decision]
    first_looks: dict[tuple[str, str], State]


def _from_correction(correction: Correction, reviews: _Reviews) -> ReviewedRegion:
    outcome = correction.outcome
    assert outcome.mask is not None
    about = RegionMask(correction.task, outcome.region, digest_mask(outcome.mask))
    return ReviewedRegion(
        project=correction.project,
        **about._asdict(),
        annotation=correction.annotation,
        saved_at=correction.updated_at,
        outcome=outcome.outcome,
        label=outcome.label,
        expression=outcome.expression,
        probability=outcome.score,
        iou=outcome.iou,
        model_version=outcome.model_version,
        decision=reviews.present.get(about),
        first_look=reviews.first_looks.get((about.task, about.region)),
    )


def _from_prediction(project: int, task: str, region: OfferedRegion, reviews: _Reviews) -> ReviewedRegion:
    about = RegionMask(task, region.region, digest_mask(region.mask))
    return ReviewedRegion(
        project=project,
        **about._asdict(),
        annotation=None,
        saved_at=None,
        outcome=PREDICTED,
        label=region.label,
        expression=region.expression or None,
        probability=region.score,
        iou=None,
        model_version=region.model_version,
        decision=reviews.present.get(about),
        first_look=reviews.first_looks.get((about.task, about.region)),
    )
