"""`ris bench annotators`: simulated annotators on the synthetic scenes, with and without each way of mending a mask.

One accepts a mask whose IoU with the truth is at least `ACCEPTED_IOU`. Else, as far as the feature is there: the next candidates are
looked through if one of them is right; the middle of the largest error is clicked on, up to `MAX_CLICKS` times, and what
else a click can mean is looked through if that is right; and in the end the mask is repainted.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

import cv2
import numpy as np
from jaxtyping import Bool
from label_studio_sdk.converter.brush import mask2rle
from numpy import ndarray

from ris_core import cleaning, masks
from ris_core.components import Promptable
from ris_core.correcting import correct
from ris_core.errors import BadInput
from ris_core.evaluation.dataset import Dataset
from ris_core.prompts import PromptEmbedding, Prompts
from ris_core.segmenter import Segmenter
from ris_core.types import EncodedImage, Image, Prediction

ACCEPTED_IOU = 0.85
"""An annotator accepts a mask that overlaps the true one at least so much."""
MAX_CLICKS = 5
REPAINT_ACTIONS = 10
"""What repainting is taken to cost: taking the brush and its size, strokes along the outline, filling."""
SMOOTH_PX = (0.0, 1.0, 2.0)
"""Smoothings whose run lengths are weighed."""
FEATURES: Mapping[str, frozenset[str]] = {
    "accept or repaint": frozenset(),
    "next": frozenset({"next"}),
    "clicks": frozenset({"clicks"}),
    "next and clicks": frozenset({"next", "clicks"}),
}
"""What annotators may do, by the name in the report."""

Mask = Bool[ndarray, "h w"]


@dataclass(frozen=True)
class Mended:
    """How one mask was reached.

    Attributes:
        nexts: Candidates that were looked through.
        clicks: Clicks that were made.
        is_repainted: None of it helped.
        iou: Of the mask that was accepted with the truth, or of the last one that was not.
    """

    nexts: int
    clicks: int
    is_repainted: bool
    iou: float

    @property
    def actions(self) -> int:
        """Everything the annotator did, accepting or repainting included."""
        return self.nexts + self.clicks + (REPAINT_ACTIONS if self.is_repainted else 1)


@dataclass(frozen=True)
class Outcome:
    """One expression.

    Attributes:
        kind: What kind of expression it is.
        is_allowed: The proposals have a mask that would be accepted.
        by: How its mask was reached, by the name of what the annotator may do.
    """

    kind: str
    is_allowed: bool
    by: Mapping[str, Mended]


@dataclass(frozen=True)
class Weight:
    """Mean bytes of a brush in Label Studio's JSON."""

    smooth_px: float | None
    rle_bytes: float
    iou: float


@dataclass(frozen=True)
class Report:
    """What annotators did.

    Attributes:
        weights: Of the answers' masks as proposed (no smoothing named), and cleaned with each smoothing.
    """

    model_version: str
    scenes: int
    outcomes: tuple[Outcome, ...]
    weights: tuple[Weight, ...]

    def to_json(self) -> str:
        """As one JSON document."""
        rows = {name: _sum_up([one.by[name] for one in self.outcomes]) for name in FEATURES}
        return json.dumps(
            {
                "model_version": self.model_version,
                "scenes": self.scenes,
                "masks": len(self.outcomes),
                "ways": rows,
                "ways_where_allowed": {name: self._sum_up_allowed(name) for name in FEATURES},
                "weights": [vars(one) for one in self.weights],
            },
            indent=1,
        )

    def to_markdown(self) -> str:
        """As tables."""
        allowed = sum(one.is_allowed for one in self.outcomes)
        about = (
            f"{self.model_version}, {self.scenes} scenes, {len(self.outcomes)} masks; the proposals have one that would be "
            f"accepted for {allowed} of them."
        )
        return "\n\n".join([about, self._ways(), self._kinds(), self._weights()])

    def _sum_up_allowed(self, name: str) -> dict[str, float]:
        return _sum_up([one.by[name] for one in self.outcomes if one.is_allowed])

    def _ways(self) -> str:
        rows = []
        for name in FEATURES:
            way, allowed = _sum_up([one.by[name] for one in self.outcomes]), self._sum_up_allowed(name)
            numbers = f"{way['actions']:.2f} | {way['nexts']:.2f} | {way['clicks']:.2f} | {way['repainted']:.1%}"
            rows.append(f"| {name} | {numbers} | {allowed['actions']:.2f} | {1 - allowed['repainted']:.1%} |")
        head = (
            "| annotators may | actions a mask | nexts | clicks | repainted | actions where allowed | reached there |"
        )
        return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *rows])

    def _kinds(self) -> str:
        rows = []
        first, *_, last = FEATURES
        for kind in sorted({one.kind for one in self.outcomes}):
            found = [one for one in self.outcomes if one.kind == kind]
            ways = [_sum_up([one.by[name] for one in found]) for name in (first, last)]
            actions = " | ".join(f"{way['actions']:.2f} | {way['repainted']:.0%}" for way in ways)
            rows.append(f"| {kind} | {len(found)} | {actions} |")
        head = f"| expression | masks | actions, {first} | repainted | actions, {last} | repainted |"
        return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *rows])

    def _weights(self) -> str:
        rows = [
            f"| {'as proposed' if one.smooth_px is None else f'cleaned, smooth_px {one.smooth_px:g}'} | "
            f"{one.rle_bytes:,.0f} | {one.iou:.3f} |"
            for one in self.weights
        ]
        return "\n".join(["| brush | bytes of JSON | IoU with the truth |", "| --- | --- | --- |", *rows])


def measure(
    segmenter: Segmenter, dataset: Dataset, scenes: int, top_k: int, tell: Callable[[str], None] = lambda _: None
) -> Report:
    """Have simulated annotators mend the answers to a data set's expressions.

    Args:
        scenes: Images that are taken, the first ones.
        top_k: Candidates of an answer.
        tell: Told what is done, now and then.

    Raises:
        BadInput: If the profile's proposer answers no clicks.
    """
    if not isinstance(segmenter.proposer, Promptable):
        raise BadInput(f"The proposer of the profile {segmenter.profile!r} answers no clicks. Choose another profile.")
    outcomes: list[Outcome] = []
    answers: list[tuple[Mask, Mask]] = []
    for number, item in enumerate(dataset.items[:scenes]):
        case = item.load()
        bench = _Bench(segmenter, segmenter.proposer, case.image)
        for sample in case.samples:
            truth = case.truth(sample)
            if not truth.any():
                continue
            prediction = segmenter.segment(bench.encoded, sample.text, top_k)
            if prediction.answer.any():
                answers.append((prediction.answer, truth))
            is_allowed = bench.measure_oracle(case.objects[list(sample.targets)], truth) >= ACCEPTED_IOU
            by = {name: bench.mend(_clean(prediction), truth, may) for name, may in FEATURES.items()}
            outcomes.append(Outcome(sample.kind, is_allowed, by))
        tell(f"{number + 1} scenes, {len(outcomes)} masks")
    return Report(segmenter.model_version, min(scenes, len(dataset.items)), tuple(outcomes), tuple(_weigh(answers)))


class _Bench:
    """One image, and annotators at it."""

    def __init__(self, segmenter: Segmenter, proposer: Promptable, image: Image) -> None:
        self.proposer = proposer
        self.encoded: EncodedImage = segmenter.encode(image)
        self.embedding: PromptEmbedding = proposer.embed(image)

    def measure_oracle(self, objects: Bool[ndarray, "t h w"], truth: Mask) -> float:
        """IoU of the best that can be made of the proposals: of each object the one that fits it best."""
        proposed = self.encoded.proposals.masks
        if not len(proposed):
            return 0.0
        best = masks.iou(objects, proposed).argmax(1)
        return _iou(np.logical_or.reduce(proposed[best]), truth)

    def mend(self, prediction: Prediction, truth: Mask, may: frozenset[str]) -> Mended:
        """What an annotator does about an answer."""
        mask, nexts, clicks = prediction.answer, 0, 0
        if _iou(mask, truth) >= ACCEPTED_IOU:
            return Mended(0, 0, False, _iou(mask, truth))
        if "next" in may:
            last = max(prediction.selected, default=-1)
            order = [*range(last + 1, len(prediction.masks)), *range(last + 1)]  # after the last it begins again
            if found := _look_through(prediction.masks[order], truth):
                return Mended(found[0], 0, False, found[1])
        if "clicks" in may:
            points_xy: ndarray = np.zeros((0, 2))
            is_positive: ndarray = np.zeros(0, bool)
            for clicks in range(1, MAX_CLICKS + 1):
                at, adds = _find_error(mask, truth)
                points_xy, is_positive = np.vstack([points_xy, at]), np.append(is_positive, adds)
                offered = self._click(prediction.answer, points_xy, is_positive)
                mask = offered[0] if len(offered) else np.zeros_like(truth)
                if _iou(mask, truth) >= ACCEPTED_IOU:
                    return Mended(nexts, clicks, False, _iou(mask, truth))
                if "next" in may and (found := _look_through(offered[1:], truth)):
                    return Mended(nexts + found[0], clicks, False, found[1])
        return Mended(nexts, clicks, True, _iou(mask, truth))

    def _click(self, base: Mask, points_xy: ndarray, is_positive: Bool[ndarray, "p"]) -> Bool[ndarray, "k h w"]:
        """What is offered after these clicks; none of them says where the thing is if there was nothing yet and all take away."""
        if base.any():
            found = correct(self.proposer, self.embedding, Prompts(points_xy, is_positive, mask=base))
        else:
            found = self.proposer.mask(self.embedding, Prompts(points_xy, is_positive))
        return cleaning.clean_all(found.masks)


def _clean(prediction: Prediction) -> Prediction:
    return replace(prediction, masks=cleaning.clean_all(prediction.masks))


def _look_through(offered: Bool[ndarray, "k h w"], truth: Mask) -> tuple[int, float] | None:
    """How many candidates an annotator looks at until the right one, and its IoU; None if there is none, which is seen at once."""
    overlaps = [_iou(mask, truth) for mask in offered]
    right = next((i for i, overlap in enumerate(overlaps) if overlap >= ACCEPTED_IOU), None)
    return None if right is None else (right + 1, overlaps[right])


def _find_error(mask: Mask, truth: Mask) -> tuple[ndarray, bool]:
    """The middle of the largest connected error, x and y in pixels, and whether it is missing from the mask."""
    largest = max(_list_errors(mask, truth), key=lambda found: found[1].sum())
    is_missing, error = largest
    depth = cv2.distanceTransform(np.pad(error, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return np.array([x + 0.5, y + 0.5]), is_missing


def _list_errors(mask: Mask, truth: Mask) -> Iterator[tuple[bool, Mask]]:
    for is_missing, wrong in ((True, truth & ~mask), (False, mask & ~truth)):
        count, labels = cv2.connectedComponents(wrong.astype(np.uint8))
        for i in range(1, count):
            yield is_missing, labels == i


def _sum_up(ways: Sequence[Mended]) -> dict[str, float]:
    """Means, each number by its name; of no masks, zeros."""
    numbers: dict[str, list[float]] = {
        "actions": [way.actions for way in ways],
        "nexts": [way.nexts for way in ways],
        "clicks": [way.clicks for way in ways],
        "repainted": [way.is_repainted for way in ways],
    }
    return {name: float(mean(found)) if found else 0.0 for name, found in numbers.items()}


def _weigh(answers: Sequence[tuple[Mask, Mask]]) -> Iterator[Weight]:
    for smooth_px in (None, *SMOOTH_PX):
        made = [(mask if smooth_px is None else cleaning.clean(mask, smooth_px), truth) for mask, truth in answers]
        sizes = [len(json.dumps(mask2rle(mask.astype(np.uint8) * 255))) for mask, _ in made]
        if made:
            yield Weight(smooth_px, mean(sizes), mean(_iou(mask, truth) for mask, truth in made))


def _iou(one: Mask, two: Mask) -> float:
    return float(masks.iou(one[None], two[None])[0, 0])
