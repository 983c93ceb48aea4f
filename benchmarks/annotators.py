"""`ris bench annotators`: simulated annotators on the synthetic scenes, with and without each way of refining a mask."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from backend.inference.expressions import AnswerOptions, ExpressionQuery, answer_query, tell
from backend.label_studio import messages
from backend.label_studio.brush import encode_brush
from backend.label_studio.label_config import read_config
from benchmarks import yardstick
from benchmarks.simulated_annotator import ACCEPTED_IOU, Mask, OfferedMask, RefinementLog, measure_iou, mend
from benchmarks.yardstick import MaskEffort
from ris_core.errors import BadInput
from ris_core.evaluation.dataset import Dataset
from ris_core.geometry import mask_cleaning, masks
from ris_core.segmentation.correction import correct
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Image, Prediction
from ris_core.types.components import Promptable
from ris_core.types.prompts import PromptEmbedding, Prompts

WRONG_IOU = 0.5
"""A mask that overlaps the truth less than this shows something else."""
CONFIG = """<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image" smart="false">
<Label value="Object"/></BrushLabels></View>"""
SMOOTH_PX = (0.0, 1.0, 2.0)
"""Smoothings whose run lengths are weighed."""
FEATURES: Mapping[str, frozenset[str]] = {
    "accept or repaint": frozenset(),
    "next": frozenset({"next"}),
    "clicks": frozenset({"clicks"}),
    "next and clicks": frozenset({"next", "clicks"}),
}
"""What annotators may do, by the name in the report."""


@dataclass(frozen=True)
class SimulatedExpression:
    """One expression.

    Attributes:
        kind: What kind of expression it is.
        is_allowed: The proposals have a mask that would be accepted.
        by: How its mask was reached, by the name of what the annotator may do.
    """

    kind: str
    is_allowed: bool
    by: Mapping[str, RefinementLog]


@dataclass(frozen=True)
class BrushSize:
    """Mean bytes of a brush in Label Studio's JSON."""

    smooth_px: float | None
    rle_bytes: float
    iou: float


@dataclass(frozen=True)
class AnnotatorsReport:
    """What annotators did.

    Attributes:
        weights: Of the answers' masks as proposed (no smoothing named), and cleaned with each smoothing.
        efforts: What each mask took with "next" and clicks.
    """

    model_version: str
    scenes: int
    outcomes: tuple[SimulatedExpression, ...]
    weights: tuple[BrushSize, ...]
    efforts: tuple[MaskEffort, ...]

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
                "kinds": self._sum_up_kinds(),
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
        return "\n\n".join([about, self._ways(), yardstick.to_markdown(self.efforts), self._kinds(), self._weights()])

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
        for kind, ways in self._sum_up_kinds().items():
            number = sum(one.kind == kind for one in self.outcomes)
            cells = " | ".join(f"{way['actions']:.2f}, {way['repainted']:.0%}" for way in ways.values())
            rows.append(f"| {kind} | {number} | {cells} |")
        head = f"| actions a mask, repainted | masks | {' | '.join(FEATURES)} |"
        return "\n".join([head, "| --- | --- |" + " --- |" * len(FEATURES), *rows])

    def _sum_up_kinds(self) -> dict[str, dict[str, dict[str, float]]]:
        """Means by kind of expression, then by what annotators may do."""
        kinds = {one.kind: [other for other in self.outcomes if other.kind == one.kind] for one in self.outcomes}
        return {
            kind: {name: _sum_up([one.by[name] for one in kinds[kind]]) for name in FEATURES} for kind in sorted(kinds)
        }

    def _weights(self) -> str:
        rows = [
            f"| {'as proposed' if one.smooth_px is None else f'cleaned, smooth_px {one.smooth_px:g}'} | "
            f"{one.rle_bytes:,.0f} | {one.iou:.3f} |"
            for one in self.weights
        ]
        return "\n".join(["| brush | bytes of JSON | IoU with the truth |", "| --- | --- | --- |", *rows])


def measure(
    segmenter: Segmenter, dataset: Dataset, scenes: int, top_k: int, tell: Callable[[str], None] = lambda _: None
) -> AnnotatorsReport:
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
    outcomes: list[SimulatedExpression] = []
    answers: list[tuple[Mask, Mask]] = []
    efforts: list[MaskEffort] = []
    for number, item in enumerate(dataset.items[:scenes]):
        case = item.load()
        bench = _Bench(segmenter, segmenter.proposer, case.image)
        for sample in case.samples:
            truth = case.truth(sample)
            if not truth.any():
                continue
            began = time.process_time()
            prediction, told = _ask(segmenter, bench.encoded, sample.text, top_k)
            wait_s = time.process_time() - began
            if prediction.answer.any():
                answers.append((prediction.answer, truth))
            is_allowed = bench.measure_oracle(case.objects[list(sample.targets)], truth) >= ACCEPTED_IOU
            by = {name: mend(_Desk(bench, _clean(prediction)), truth, may) for name, may in FEATURES.items()}
            outcomes.append(SimulatedExpression(sample.kind, is_allowed, by))
            is_wrong = measure_iou(prediction.answer, truth) < WRONG_IOU
            efforts.append(MaskEffort(sample.text, told, wait_s, by["next and clicks"], is_wrong))
        tell(f"{number + 1} scenes, {len(outcomes)} masks")
    return AnnotatorsReport(
        segmenter.model_version,
        min(scenes, len(dataset.items)),
        tuple(outcomes),
        tuple(_weigh(answers)),
        tuple(efforts),
    )


def _ask(segmenter: Segmenter, encoded: EncodedImage, text: str, top_k: int) -> tuple[Prediction, str]:
    """The answer to an expression in a project with one label, and what the annotator is told."""
    control = read_config(CONFIG).controls[0]
    answer = answer_query(segmenter, encoded, ExpressionQuery(text, text), control, AnswerOptions(top_k))
    told = messages.join(tell(segmenter, answer, control, AnswerOptions(top_k)))
    return answer.prediction, told.text if told else ""


class _Bench:
    """One image, and annotators at it."""

    def __init__(self, segmenter: Segmenter, proposer: Promptable, image: Image) -> None:
        self.proposer = proposer
        self.encoded: EncodedImage = segmenter.encode(image)
        self.embedding: PromptEmbedding = proposer.embed(image)

    def measure_oracle(self, objects: Bool[ndarray, "t h w"], truth: Mask) -> float:
        """IoU of the best that can be made of the proposals: of each object the one that fits it best."""
        proposed = np.asarray(self.encoded.proposals.masks)
        if not len(proposed):
            return 0.0
        best = masks.iou(objects, proposed).argmax(1)
        return measure_iou(np.logical_or.reduce(proposed[best]), truth)


class _Desk:
    """One expression, answered without any service."""

    def __init__(self, bench: _Bench, prediction: Prediction) -> None:
        self._bench, self._prediction = bench, prediction

    def ask(self) -> OfferedMask:
        """What answers, and all candidates from the next one on; after the last they begin again."""
        last = max(self._prediction.selected, default=-1)
        order = [*range(last + 1, len(self._prediction.masks)), *range(last + 1)]
        return OfferedMask(self._prediction.answer, self._prediction.masks[order])

    def click(self, points_xy: Float[ndarray, "p 2"], is_positive: Bool[ndarray, "p"]) -> OfferedMask:
        """Correct what was offered; where that is nothing, the clicks are about themselves."""
        base, (proposer, embedding) = self._prediction.answer, (self._bench.proposer, self._bench.embedding)
        if base.any():
            found = correct(proposer, embedding, Prompts(points_xy, is_positive, mask=base))
        else:
            found = proposer.mask(embedding, Prompts(points_xy, is_positive))
        light = mask_cleaning.clean_all(np.asarray(found.masks))
        return OfferedMask(light[0] if len(light) else np.zeros_like(base), light[1:])


def _clean(prediction: Prediction) -> Prediction:
    return replace(prediction, masks=mask_cleaning.clean_all(prediction.masks))


def _sum_up(ways: Sequence[RefinementLog]) -> dict[str, float]:
    """Means, each number by its name; of no masks, zeros."""
    numbers: dict[str, list[float]] = {
        "actions": [way.actions for way in ways],
        "nexts": [way.nexts for way in ways],
        "clicks": [way.clicks for way in ways],
        "repainted": [way.is_repainted for way in ways],
    }
    return {name: float(mean(found)) if found else 0.0 for name, found in numbers.items()}


def _weigh(answers: Sequence[tuple[Mask, Mask]]) -> Iterator[BrushSize]:
    for smooth_px in (None, *SMOOTH_PX):
        made = [(mask if smooth_px is None else mask_cleaning.clean(mask, smooth_px), truth) for mask, truth in answers]
        sizes = [len(json.dumps(encode_brush(mask))) for mask, _ in made]
        if made:
            yield BrushSize(smooth_px, mean(sizes), mean(measure_iou(mask, truth) for mask, truth in made))
