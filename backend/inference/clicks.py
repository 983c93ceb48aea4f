"""From clicks and boxes on an image to what is handed out: one region, its record, and what is told about it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from backend.db.records import Answer, Region
from backend.inference.expressions import ExpressionAnswer, keep_label
from backend.label_studio import messages, protocol, regions
from backend.label_studio.gestures import Gesture
from backend.label_studio.label_config import Control
from backend.label_studio.messages import Message
from ris_core.geometry import boxes, mask_cleaning, masks
from ris_core.output.documents import Candidate
from ris_core.segmentation.correction import correct, obeys
from ris_core.types import Proposals
from ris_core.types.components import Promptable
from ris_core.types.prompts import PromptEmbedding, Prompts


@dataclass(frozen=True)
class ClickContext:
    """A gesture, and where its mask goes.

    Attributes:
        gesture: What was drawn.
        control: Where regions go.
        task: The task they are for: noted in each, since a page may put them on the task that it shows by then.
        model_version: Kept with the record.
        smooth_px: How much the rims of masks are smoothed.
    """

    gesture: Gesture
    control: Control
    task: str
    model_version: str
    smooth_px: float = 0.0


def answer_gesture(proposer: Promptable, embedding: PromptEmbedding, click: ClickContext) -> ExpressionAnswer:
    """Find what is pointed at: the candidate that the proposer trusts most.

    Its region gets the label of the click or box if the control has that, else its first.
    """
    gesture, control = click.gesture, click.control
    proposals = _find_pointed_at(proposer, embedding, gesture.to_prompts(embedding.size_hw))
    match = control.names.find(gesture.label)
    likely = match.labels if match else control.labels
    is_guess = len(likely) > 1
    blank = make_blank("", likely[0], embedding, click.model_version)
    answer = hand_out(proposals, blank, click, is_guess)
    return replace(answer, told=tuple(_tell(gesture, answer.record.label, is_guess, is_empty=not answer.regions)))


def _find_pointed_at(proposer: Promptable, embedding: PromptEmbedding, prompts: Prompts) -> Proposals:
    """What all clicks mean together; where that leaves a positive one out, what the first means, and the others add or take away."""
    proposals = proposer.mask(embedding, prompts)
    points, is_positive = prompts.points_xy, prompts.is_positive
    meant = points[is_positive]
    if (
        len(meant) < 2
        or not is_positive[0]
        or not len(proposals)
        or obeys(proposals.masks[0], meant, is_positive[is_positive])
    ):
        return proposals
    first = proposer.mask(embedding, replace(prompts, points_xy=points[:1], is_positive=is_positive[:1]))
    if not len(first):
        return proposals
    rest = Prompts(points[1:], is_positive[1:], mask=first.masks[0])
    corrected = correct(proposer, embedding, rest)
    return corrected if len(corrected) else proposals


def hand_out(
    found: Proposals, blank: Answer, click: ClickContext, is_guess: bool, own_id: str | None = None
) -> ExpressionAnswer:
    """The first of what was found as a region, and all of it as a record.

    Args:
        blank: A record without candidates (`make_blank`).
        is_guess: Its label was guessed.
        own_id: Id of a region whose place it takes; without one it gets a fresh one.
    """
    masks_made = mask_cleaning.clean_all(np.asarray(found.masks), click.smooth_px)
    found = replace(found, masks=masks_made, boxes_xywh=boxes.from_masks(masks_made))
    control = click.control
    label, is_lost = keep_label(blank.label, control)
    is_guess = is_guess or is_lost
    notes = {"by": click.gesture.kind, "task": click.task, **({"label_is_guess": True} if is_guess else {})}
    results = [
        regions.make_region(
            mask, control, label, own_id or protocol.new_region_id(), float(score), blank.expression, notes
        )
        for mask, score in zip(found.masks[:1], found.predicted_iou[:1], strict=True)
    ]
    record = replace(
        blank,
        label=label,
        decision="match" if results else "no_match",
        candidates=[dict(candidate) for candidate in _list_candidates(found)],
        selected=[i for i, _ in enumerate(results)],
        regions=[
            Region(region["id"], candidate_rank=1, from_name=control.name, label=label, is_reused=own_id is not None)
            for region in results
        ],
    )
    return ExpressionAnswer(record, tuple(results), (), is_guess)


def make_blank(expression: str, label: str, embedding: PromptEmbedding, model_version: str) -> Answer:
    """The record of an answer that nothing was found for yet."""
    height, width = embedding.size_hw
    return Answer(
        expression=expression,
        label=label,
        decision="no_match",
        model_version=model_version,
        encode_fp=embedding.embed_fp,
        image_sha256=embedding.image_sha256,
        height=height,
        width=width,
        candidates=[],
        selected=[],
    )


def _list_candidates(proposals: Proposals) -> Iterator[Candidate]:
    for i, mask in enumerate(proposals.masks):
        yield {
            "rank": i + 1,
            "score": float(proposals.predicted_iou[i]),
            "bbox_xywh": [float(side) for side in proposals.boxes_xywh[i]],
            "mask": masks.to_rle(mask),
            "parts": {"predicted_iou": float(proposals.predicted_iou[i]), "stability": float(proposals.stability[i])},
        }


def _tell(gesture: Gesture, label: str, is_guess: bool, is_empty: bool) -> Iterator[Message]:
    if is_empty:
        yield messages.about_nothing(gesture.kind)
        return
    if is_guess:
        yield messages.about_guess(label)
    yield messages.say("accept_first")
