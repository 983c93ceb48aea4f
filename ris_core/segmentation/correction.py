"""A mask corrected by clicks and boxes: a click outside adds, a negative one inside takes away, a box frames the thing anew."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array
from ris_core.geometry import boxes, masks
from ris_core.types import Proposals
from ris_core.types.components import Promptable
from ris_core.types.prompts import PromptEmbedding, Prompts

SAME_MASK_IOU = 0.95
"""Candidates that overlap more than this are one."""
SAME_FRAME_IOU = 0.3
"""A box that overlaps the box of a mask more than this is drawn around what the mask shows."""
KEPT_SHARE = 0.9
"""A mask that a click adds to keeps at least this share of itself; one that a click takes from adds as little."""
APART_SHARE = 0.1
"""A thing of which less than this share is in a mask is another one than the mask shows."""
RIM_SHARE = 0.1
"""What is left of a mask, once the thing at a negative click is gone, is only its rim if it is less than this share of it."""
MAX_CANDIDATES = 5


def correct(proposer: Promptable, embedding: PromptEmbedding, prompts: Prompts) -> Proposals:
    """What the clicks and the box make of the mask that comes with them: candidates, best first; none if nothing is left.

    The clicks are taken one after the other. The proposer is shown the mask and all clicks so far; where its answer does not
    do what they say, or leaves the mask for something else, the thing that it sees at the click alone is added or taken away.
    The thing by itself is a candidate of a positive click too: the mask may be of another instance.

    Args:
        prompts: With a mask.

    Raises:
        BadInput: As `proposer.mask` does.
    """
    assert prompts.mask is not None
    candidates = [_Candidate(prompts.mask, 1.0, 1.0)]
    if prompts.box_xyxy is not None:
        candidates = _frame(proposer, embedding, prompts.mask, prompts.box_xyxy) or candidates
    for n in range(1, len(prompts.points_xy) + 1):
        clicks = (
            Prompts(prompts.points_xy[:n], prompts.is_positive[:n], mask=candidates[0].mask)
            if candidates[0].mask.any()
            else None
        )
        candidates = _apply_click(
            proposer, embedding, candidates[0], prompts.points_xy[:n], prompts.is_positive[:n], clicks
        )
    return _to_proposals(candidates if candidates[0].mask.any() else [], embedding.size_hw)


def is_reframing(mask: Bool[Array, "h w"], box_xyxy: Float[Array, "4"]) -> bool:
    """Whether a box is drawn around what a mask shows, rather than around something else or a small part of it."""
    corner, far_corner = box_xyxy[:2], box_xyxy[2:]
    box_xywh = np.concatenate([corner, far_corner - corner])[None].astype(np.float32)
    return bool(boxes.iou(boxes.from_masks(mask[None]), box_xywh)[0, 0] >= SAME_FRAME_IOU)


def obeys(mask: Bool[Array, "h w"], points_xy: Float[Array, "p 2"], is_positive: Bool[Array, "p"]) -> bool:
    """Whether a mask has every positive click in it, and no negative one.

    Args:
        points_xy: In pixels.
    """
    limits = np.array(mask.shape[::-1]) - 1
    columns, rows = np.clip(points_xy.astype(int), 0, limits).T
    return bool((mask[rows, columns] == is_positive).all())


class _Candidate(NamedTuple):
    """A mask, and what the proposer says of its own part in it, both in [0, 1]."""

    mask: Array
    predicted_iou: float
    stability: float


def _frame(
    proposer: Promptable, embedding: PromptEmbedding, mask: Bool[Array, "h w"], box_xyxy: Float[Array, "4"]
) -> list[_Candidate]:
    """What the proposer sees in the box, and what it makes of what of the mask is in it."""
    nothing = np.zeros((0, 2)), np.zeros(0, bool)
    inside = np.zeros_like(mask)
    left, upper, right, lower = np.round(box_xyxy).astype(int)
    inside[upper:lower, left:right] = mask[upper:lower, left:right]
    candidates = _list(proposer.mask(embedding, Prompts(*nothing, box_xyxy)))
    if inside.any():
        candidates += _list(proposer.mask(embedding, Prompts(*nothing, box_xyxy, inside)))
    return _keep_distinct(candidates)


def _apply_click(
    proposer: Promptable,
    embedding: PromptEmbedding,
    before: _Candidate,
    points_xy: Float[Array, "p 2"],
    is_positive: Bool[Array, "p"],
    clicks: Prompts | None,
) -> list[_Candidate]:
    """Candidates after the last click, at least one: those that do what all clicks say come before those that do not.

    Another thing is added, or taken away, as a whole; else the proposer's own correction of the mask comes first.
    """
    things = _list(proposer.mask(embedding, Prompts(points_xy[-1:], np.ones(1, bool))))
    whole = _list(proposer.mask(embedding, clicks)) if clicks else []
    is_added = bool(is_positive[-1])
    gradual = [one for one in whole if _is_gradual(before.mask, one.mask, is_added)]
    if is_added:
        joined = [thing._replace(mask=before.mask | thing.mask) for thing in things]
        apart = [one for one, thing in zip(joined, things, strict=True) if _is_apart(thing.mask, before.mask)]
        candidates = [*apart, *gradual, *joined, *things, *whole]
    else:
        parted = [thing._replace(mask=_take_away(before.mask, thing.mask)) for thing in things]
        candidates = [*(one for one in parted if one.mask.any()), *gradual, *parted, *whole]
    candidates.sort(key=lambda one: not obeys(one.mask, points_xy, is_positive))  # stable
    return _keep_distinct(candidates) or [before]


def _is_apart(thing: Bool[Array, "h w"], mask: Bool[Array, "h w"]) -> bool:
    """Whether a thing is another one than the mask shows, and not more of the same."""
    return bool((thing & mask).sum() < APART_SHARE * thing.sum())


def _is_gradual(before: Bool[Array, "h w"], after: Bool[Array, "h w"], is_added: bool) -> bool:
    """Whether a mask grew or shrank as it was told, instead of being about something else altogether."""
    larger, smaller = (after, before) if is_added else (before, after)
    return bool((larger & smaller).sum() >= KEPT_SHARE * smaller.sum())


def _take_away(mask: Bool[Array, "h w"], thing: Bool[Array, "h w"]) -> Bool[Array, "h w"]:
    remainder = mask & ~thing
    return remainder if remainder.sum() >= RIM_SHARE * mask.sum() else np.zeros_like(mask)


def _keep_distinct(candidates: list[_Candidate]) -> list[_Candidate]:
    """In their order, without those that were there before; one that is empty is like no other."""
    kept: list[_Candidate] = []
    for one in candidates:
        if not any(masks.iou(one.mask[None], other.mask[None])[0, 0] > SAME_MASK_IOU for other in kept):
            kept.append(one)
    return kept


def _list(proposals: Proposals) -> list[_Candidate]:
    return [_Candidate(*one) for one in zip(proposals.masks, proposals.predicted_iou, proposals.stability, strict=True)]


def _to_proposals(candidates: list[_Candidate], size_hw: tuple[int, int]) -> Proposals:
    kept = [one for one in candidates if one.mask.any()][:MAX_CANDIDATES]
    stack = np.stack([one.mask for one in kept]) if kept else np.zeros((0, *size_hw), bool)
    return Proposals(
        masks=stack,
        boxes_xywh=boxes.from_masks(stack),
        predicted_iou=np.array([one.predicted_iou for one in kept], np.float32),
        stability=np.array([one.stability for one in kept], np.float32),
    )
