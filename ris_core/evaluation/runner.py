"""A run: every method on every expression, each image encoded once for all of them."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ris_core.arrays import Array
from ris_core.errors import BadExpression, BadInput
from ris_core.evaluation.dataset import Dataset, DatasetItem, EvaluationImage, EvaluationSample
from ris_core.evaluation.journal import Journal
from ris_core.evaluation.kinds import kind_of
from ris_core.evaluation.record import (
    EvaluatedExpression,
    EvaluatedImage,
    ScoredAnswer,
    judge,
    judge_oracle,
    judge_silence,
    overlap,
)
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Image

TOP_K = 5
"""Candidates that are looked at."""
ORACLE = "oracle"
"""Name of the best choice among the proposals, beside the methods' names."""


class EvaluationProgress(NamedTuple):
    """How far a run is: images done and in all, expressions done now, seconds so far and still to go, by the clock."""

    done: int
    total: int
    asked: int
    elapsed_s: float
    remaining_s: float


def run(
    dataset: Dataset,
    segmenters: Mapping[str, Segmenter],
    journal: Journal,
    *,
    encode: Callable[[Image], EncodedImage],
    quirks: frozenset[str] = frozenset(),
    report: Callable[[EvaluationProgress], None] = lambda progress: None,
) -> None:
    """Do what the journal does not have yet; may be stopped at any moment and called again.

    Args:
        dataset: What is asked.
        segmenters: The methods by name; all of them answer from the same encoded image.
        journal: Where the records go.
        encode: Encodes an image for all of the segmenters, or takes the encoded image from somewhere.
        quirks: Q-EMPTY-HY or nothing, see `ris_core.evaluation.protocol`.
        report: Told after each image.

    Raises:
        BadInput: If an image cannot be read; with Q-EMPTY-HY, if nothing is proposed for one.
    """
    remaining = [item for item in dataset.items if item.image_id not in journal.records]
    before = len(dataset.items) - len(remaining)
    started, expressions = time.monotonic(), 0
    for number, item in enumerate(remaining, 1):
        record = examine(item, segmenters, encode, quirks)
        journal.append(record)
        expressions += len(record.asked)
        elapsed_s = time.monotonic() - started
        remaining_s = elapsed_s / number * (len(remaining) - number)
        report(EvaluationProgress(before + number, len(dataset.items), expressions, elapsed_s, remaining_s))


def examine(
    item: DatasetItem,
    segmenters: Mapping[str, Segmenter],
    encode: Callable[[Image], EncodedImage],
    quirks: frozenset[str] = frozenset(),
) -> EvaluatedImage:
    """Ask everything about one image; an image without expressions is not encoded."""
    case = item.load()
    image_px = int(np.prod(case.image.size_hw))
    if not case.samples:
        return EvaluatedImage(item.image_id, item.part, image_px, 0, 0.0, [], [], [])
    started = time.monotonic()
    encoded = encode(case.image)
    encode_s = time.monotonic() - started
    if "Q-EMPTY-HY" in quirks and not len(encoded.proposals):
        raise BadInput(
            f"Nothing is proposed for the image {item.image_id}, and the released code of HybridGL stops there "
            "(Q-EMPTY-HY). Use the protocol fixed, or paper, to go on."
        )
    overlaps = overlap(case.objects, np.asarray(encoded.proposals.masks))  # (T, N)
    return EvaluatedImage(
        image_id=item.image_id,
        part=item.part,
        image_px=image_px,
        proposals=len(encoded.proposals),
        encode_s=round(encode_s, 4),
        object_px=[int(px) for px in case.objects.sum(axis=(1, 2))],
        object_iou=[round(float(best), 6) for best in overlaps.max(axis=1, initial=0)],
        asked=[_ask(case, sample, encoded, overlaps, segmenters) for sample in case.samples],
    )


def _ask(
    case: EvaluationImage,
    sample: EvaluationSample,
    encoded: EncodedImage,
    overlaps: Array,
    segmenters: Mapping[str, Segmenter],
) -> EvaluatedExpression:
    truth, rows = case.truth(sample), list(sample.targets)
    targets = case.objects[rows]
    outcomes: dict[str, ScoredAnswer] = {}
    kind = sample.kind
    for name, segmenter in segmenters.items():
        try:
            prediction = segmenter.segment(encoded, sample.text, TOP_K)
        except BadExpression:  # annotators typed "." too
            outcomes[name], kind = judge_silence(truth), kind or "unreadable"
            continue
        outcomes[name], kind = judge(prediction, truth, targets), kind or kind_of(prediction.expression)
    outcomes[ORACLE] = judge_oracle(np.asarray(encoded.proposals.masks), overlaps[rows], truth, targets)
    return EvaluatedExpression(
        id=sample.id,
        text=sample.text,
        kind=kind,
        same_class=sample.same_class,
        targets=len(rows),
        truth_px=int(np.count_nonzero(truth)),
        outcomes=outcomes,
    )
