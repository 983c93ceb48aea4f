"""Past prompts answered again, by another profile or with other settings, and judged by what people finally saved.

What was saved often is what was offered, and then favours the answers of then: they are compared on the same images, in pairs, and the
report says so. Nothing is recorded, and nothing is written to Label Studio.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from pycocotools import mask as coco

from backend.corrections.judged_answers import PastPrompt
from backend.corrections.matching import overlaps
from backend.corrections.statistics import RIGHT_IOU
from backend.inference.expressions import AnswerOptions, ExpressionQuery, QueryAnswer, answer_query
from backend.label_studio.label_config import Control
from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.evaluation.bootstrap import Bootstrap, ConfidenceInterval
from ris_core.evaluation.metrics import Ratio
from ris_core.geometry import masks
from ris_core.geometry.masks import Rle
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage

FIGURES = {
    "right": "share of first candidates that overlap a saved mask with an IoU of at least 0.5, where something is meant",
    "mIoU": "IoU of all that is handed out with all that was saved, where something is meant; 0 if nothing is handed out",
    "T-acc": "share that is answered, where something is meant",
    "N-acc": "share that is told to match nothing, where nothing is meant",
}
"""What is compared, and what it is."""


@dataclass(frozen=True)
class Outcome:
    """How an answer compares with what was saved.

    Attributes:
        first_iou: Of the first candidate with the saved mask that is nearest; 0 without a candidate.
        iou: Of all that is handed out with all that was saved.
        is_found: Something is handed out.
    """

    first_iou: float
    iou: float
    is_found: bool


@dataclass(frozen=True)
class ReplayedPrompt:
    """A prompt as it was answered then and is answered now."""

    past: PastPrompt
    then: Outcome
    now: Outcome

    @property
    def change(self) -> int:
        """1 if a wrong answer is right now, -1 if a right one is wrong, else 0."""
        return int(_is_right(self.past, self.now)) - int(_is_right(self.past, self.then))


@dataclass(frozen=True)
class ReplayFigure:
    """A figure then and now, and the change with its interval. Numbers are None where nothing counts."""

    name: str
    then: ConfidenceInterval
    now: ConfidenceInterval
    change: ConfidenceInterval


def replay(
    prompts: Iterable[PastPrompt],
    segmenter: Segmenter,
    find_encoded: Callable[[str], EncodedImage | None],
    control: Control,
    options: AnswerOptions,
) -> Iterator[ReplayedPrompt]:
    """Answer prompts again, image by image. Prompts on images that are not encoded are left out.

    Args:
        find_encoded: The encoded image of a digest, None if it is not here.
        control: Of the project as it is now.
    """
    for image, group in groupby(sorted(prompts, key=lambda one: one.image), key=lambda one: one.image):
        encoded = find_encoded(image)
        if encoded is None:
            continue
        for past in group:
            then = _compare(past, [one["mask"] for one in past.candidates], past.handed_out)
            yield ReplayedPrompt(past, then, _answer_again(past, segmenter, encoded, control, options))


def summarise(replayed: Sequence[ReplayedPrompt]) -> list[ReplayFigure]:
    """Every figure of `FIGURES`, with 95 % intervals from drawing images anew, the same draws for all."""
    names, image = np.unique([one.past.image for one in replayed], return_inverse=True)
    bootstrap = Bootstrap(image, len(names))
    is_meant = np.array([bool(one.past.truth.has_target) for one in replayed], bool)
    sides = [[one.then for one in replayed], [one.now for one in replayed]]
    figures = []
    for name, counts in (("right", is_meant), ("mIoU", is_meant), ("T-acc", is_meant), ("N-acc", ~is_meant)):
        then, now = (_ratio(_values(name, outcomes), counts) for outcomes in sides)
        change = bootstrap.difference(now, then)
        figures.append(ReplayFigure(name, bootstrap.ratio(then), bootstrap.ratio(now), change))
    return figures


def _values(name: str, outcomes: Sequence[Outcome]) -> Float[Array, "prompts"]:
    values: dict[str, Callable[[Outcome], float]] = {
        "right": lambda one: one.first_iou >= RIGHT_IOU,
        "mIoU": lambda one: one.iou,
        "T-acc": lambda one: one.is_found,
        "N-acc": lambda one: not one.is_found,
    }
    return np.array([values[name](one) for one in outcomes], float)


def _ratio(values: Float[Array, "prompts"], counts: Bool[Array, "prompts"]) -> Ratio:
    return Ratio(values * counts, counts.astype(float))


def _is_right(past: PastPrompt, outcome: Outcome) -> bool:
    return outcome.first_iou >= RIGHT_IOU and outcome.is_found if past.truth.has_target else not outcome.is_found


def _answer_again(
    past: PastPrompt, segmenter: Segmenter, encoded: EncodedImage, control: Control, options: AnswerOptions
) -> Outcome:
    is_many = len(past.handed_out) > 1
    query = ExpressionQuery(past.expression, past.expression, label=past.label, is_many=is_many)
    try:
        answer: QueryAnswer = answer_query(segmenter, encoded, query, control, options)
    except BadInput:  # this parser or model cannot read it: nothing is handed out
        return _compare(past, [], ())
    found = masks.to_rles(answer.prediction.masks)
    return _compare(past, found, answer.handed_out)


def _compare(past: PastPrompt, found: Sequence[Rle], handed_out: Sequence[int]) -> Outcome:
    saved = past.truth.masks
    if not found or not saved:
        return Outcome(0.0, 0.0, bool(handed_out))
    first = float(overlaps(found[:1], saved).max(initial=0.0))
    given = [found[index] for index in handed_out]
    whole = float(overlaps([_unite(given)], [_unite(saved)])[0, 0]) if given else 0.0
    return Outcome(first, whole, bool(given))


def _unite(parts: Sequence[Rle]) -> Rle:
    packed: list[Any] = [{**rle, "counts": rle["counts"].encode("ascii")} for rle in parts]
    united = coco.merge(packed)
    return {"size": list(united["size"]), "counts": united["counts"].decode("ascii")}
