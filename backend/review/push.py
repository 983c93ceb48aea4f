"""Writes approvals to Label Studio, each exactly once: an annotation made of an approved prediction, or the ground-truth flag.

Before anything is sent it is recorded. An annotation carries a `unique_id` that follows from the project, the task, the prediction
and its masks, and Label Studio takes each only once: a process that was killed anywhere sends it again, and nothing is doubled. What
is done is never done again, so what a person deletes or unmarks later stays so. Nothing is written over somebody's work.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import sqlalchemy as sa

from backend.corrections.store import CorrectionStore
from backend.db.correction_tables import annotation_version
from backend.db.review_tables import review_push
from backend.db.upsert import insert_if_absent
from backend.label_studio.reviews_api import Drawing, ReviewClient
from backend.review.decisions import digest_mask
from backend.review.regions import ReviewedRegion, read_regions

Kind = Literal["annotation", "ground truth"]
KINDS: tuple[Kind, ...] = ("annotation", "ground truth")
_NAMESPACE = uuid.UUID("5d0c5a0f-3a0e-4f2f-9c38-2d1f3f9c7a11")
"""Of `unique_id`s; any, as long as it is always the same."""
WRITTEN_BEFORE = "was written before"


@dataclass(frozen=True)
class Approval:
    """An annotation or a prediction whose regions are all approved.

    Attributes:
        annotation: Its number; None of a prediction.
        masks: Digest of each region's mask, by the region's id.
    """

    project: int
    task: int
    annotation: int | None
    masks: Mapping[str, str]

    @property
    def kind(self) -> Kind:
        """What is written for it."""
        return "annotation" if self.annotation is None else "ground truth"


@dataclass(frozen=True)
class PushStep:
    """What is to be done for an approval, or was.

    Attributes:
        state: "write": to be written; "done": nothing is left to do; "left": it cannot be written.
        why: In words; empty of what is to be written.
        target: Number of the prediction or annotation that it is about; None if there is none.
        id: Of its record; empty without a target.
        prediction: What the annotation is made of.
    """

    approval: Approval
    state: Literal["write", "done", "left"]
    why: str = ""
    target: int | None = None
    id: str = ""
    prediction: Drawing | None = None


def list_approvals(regions: Iterator[ReviewedRegion], kinds: Sequence[Kind]) -> list[Approval]:
    """The annotations and predictions whose regions are all approved.

    Args:
        regions: In the order of `read_regions`.
        kinds: Only what is written like this.
    """
    approvals = []
    for (task, annotation), group in groupby(regions, key=lambda one: (one.task, one.annotation)):
        own = list(group)
        if task.isdecimal() and all(one.state == "approved" for one in own):
            masks = {one.region: one.mask_sha256 for one in own}
            approvals.append(Approval(own[0].project, int(task), annotation, masks))
    return [one for one in approvals if one.kind in kinds]


class ApprovalWriter:
    """Writes the approvals of a project. Any number of processes may do so at once."""

    def __init__(self, correction_store: CorrectionStore, studio: ReviewClient) -> None:
        self._store, self._studio = correction_store, studio

    def plan(self, project: int, kinds: Sequence[Kind]) -> list[PushStep]:
        """What is to be done for each approval, as records and Label Studio say; changes nothing.

        Raises:
            Unreachable: If Label Studio or the database does not answer.
        """
        with self._store.reading() as db:
            approvals = list_approvals(read_regions(db, project), kinds)
        return [self._look(one) for one in approvals]

    def write(self, approval: Approval) -> PushStep:
        """Write an approval if it still stands and is still to be written; returns what became of it.

        Raises:
            Unreachable: If Label Studio or the database does not answer: what was sent then is found out the next time.
        """
        with self._store.reading() as db:
            standing = list_approvals(read_regions(db, approval.project, str(approval.task)), [approval.kind])
        if approval not in standing:
            return PushStep(approval, "left", "it is not approved any more")
        step = self._look(approval)
        if step.state == "done":  # by a process that was killed before it could say so
            self._record_done(step.id, step.why)
        if step.state != "write" or step.target is None:
            return step
        self._record_sent(step)
        if step.prediction is not None:
            self._studio.annotate(approval.task, step.prediction, step.id)
        else:
            self._studio.mark_ground_truth(step.target)
        self._record_done(step.id, "written")
        return PushStep(approval, "done", "is written", step.target, step.id)

    def _look(self, approval: Approval) -> PushStep:
        annotations = self._studio.read_annotations(approval.task)
        if annotations is None:
            return PushStep(approval, "left", "the task is not in Label Studio any more")
        look = self._look_at_prediction if approval.annotation is None else self._look_at_annotation
        return look(approval, annotations)

    def _look_at_prediction(self, approval: Approval, annotations: Sequence[Drawing]) -> PushStep:
        predictions = self._studio.read_predictions(approval.task)
        own = [one for one in predictions if _digest(one) == approval.masks]
        if not own:
            return PushStep(approval, "left", "no prediction in Label Studio has these masks")
        target = own[-1].id
        id = _make_id(approval, target)
        record = self._read_record(id)
        if record and record["done_at"] is not None:
            return PushStep(approval, "done", WRITTEN_BEFORE, target, id)
        if record and self._was_annotated(approval.project, target, annotations):
            return PushStep(approval, "done", WRITTEN_BEFORE, target, id)
        if annotations:
            return PushStep(approval, "left", "somebody has annotated the task meanwhile", target)
        return PushStep(approval, "write", "", target, id, own[-1])

    def _look_at_annotation(self, approval: Approval, annotations: Sequence[Drawing]) -> PushStep:
        target = approval.annotation
        assert target is not None
        own = next((one for one in annotations if one.id == target), None)
        if own is None:
            return PushStep(approval, "left", "the annotation is not in Label Studio any more", target)
        if _digest(own) != approval.masks:
            return PushStep(approval, "left", "the annotation was changed meanwhile", target)
        id = _make_id(approval, target)
        record = self._read_record(id)
        if own.is_ground_truth:
            return PushStep(approval, "done", "is the ground truth", target, id)
        if record and record["done_at"] is not None:
            return PushStep(approval, "done", WRITTEN_BEFORE, target, id)
        other = next((one.id for one in annotations if one.is_ground_truth), None)
        if other is not None:
            return PushStep(approval, "left", f"annotation {other} is the ground truth of this task", target)
        return PushStep(approval, "write", "", target, id)

    def _was_annotated(self, project: int, prediction: int, annotations: Sequence[Drawing]) -> bool:
        """Whether an annotation was made of a prediction, also one that is deleted since."""
        if any(one.prediction == prediction for one in annotations):
            return True
        own = annotation_version.c
        recorded = sa.select(own.id).where((own.project == project) & (own.parent_prediction == prediction)).limit(1)
        with self._store.reading() as db:
            return db.scalar(recorded) is not None

    def _read_record(self, id: str) -> Mapping[str, Any] | None:
        with self._store.reading() as db:
            row = db.execute(sa.select(review_push).where(review_push.c.id == id)).mappings().one_or_none()
            return dict(row) if row else None

    def _record_sent(self, step: PushStep) -> None:
        approval = step.approval
        row = {
            "id": step.id,
            "project": approval.project,
            "task": str(approval.task),
            "kind": approval.kind,
            "target": step.target,
            "sent_at": time.time(),
        }
        with self._store.writing() as db:
            db.execute(insert_if_absent(db.dialect.name, review_push), row)

    def _record_done(self, id: str, became: str) -> None:
        is_open = (review_push.c.id == id) & review_push.c.done_at.is_(None)
        with self._store.writing() as db:
            db.execute(sa.update(review_push).where(is_open).values(done_at=time.time(), result=became))


def _make_id(approval: Approval, target: int) -> str:
    masks = " ".join(f"{region}={mask}" for region, mask in sorted(approval.masks.items()))
    return str(uuid.uuid5(_NAMESPACE, f"{approval.kind} {approval.project} {approval.task} {target} {masks}"))


def _digest(drawing: Drawing) -> dict[str, str]:
    """Digest of each mask, by the region's id."""
    return {id: digest_mask(region.mask) for id, region in drawing.regions.items()}
