"""Answers of runs: found by a worker, kept in the ledger with all candidates, turned into Label Studio's regions when written.

An answer is JSON: {"expression", "label", "is_guess", "decision", "selected": indices, "candidates": as `list_candidates` has
them}. The id of a region is a digest of run, task, query and rank, so that what was written can be recognised.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backend.label_studio import protocol, regions
from backend.label_studio.protocol import Control, Json
from backend.runs.item import Item
from backend.runs.queries import Query
from ris_core import masks
from ris_core.documents import list_candidates
from ris_core.segmenter import Segmenter
from ris_core.types import EncodedImage, Prediction

SAME_INSTANCE_IOU = 0.5
"""Candidates that overlap more than this are taken for the same instance."""
SHARE_OF_BEST = 0.8
"""Of several instances those are handed out that score at least this share of the best, if no `min_score` is given."""
MANY = 20
"""Candidates that are looked at for several instances."""
_ID_LENGTH = 10


def answer(
    segmenter: Segmenter,
    encoded: EncodedImage,
    query: Query,
    control: Control,
    top_k: int,
    min_score: float | None,
) -> Json:
    """What a query finds in an image.

    Raises:
        BadExpression: If there is nothing to read in the expression.
    """
    prediction = segmenter.segment(encoded, query.expression, MANY if query.is_many else top_k)
    picked = protocol.pick_label(control, query.expression, prediction.expression.head)
    return {
        "expression": query.expression,
        "label": query.label or picked.label,
        "is_guess": query.label is None and picked.is_guess,
        "decision": prediction.decision,
        "selected": _select(prediction, query, min_score),
        "candidates": [dict(candidate) for candidate in list_candidates(prediction)],
    }


def make_regions(done: Item, control: Control) -> list[Json]:
    """An item's answers as regions of Label Studio.

    Raises:
        ValueError: If a label is none of the control's.
    """
    return [
        regions.make_region(
            masks.from_rle(found["candidates"][i]["mask"]),
            control,
            found["label"],
            region_id,
            found["candidates"][i]["score"],
            found["expression"],
            _notes(done, found),
        )
        for found, i, region_id in _handed_out(done)
    ]


def make_prediction(done: Item, control: Control, model_version: str) -> Json:
    """An item as the prediction that is imported: all its regions, and for a score the lowest of theirs."""
    made = make_regions(done, control)
    score = min((region["score"] for region in made), default=0.0)
    return {**protocol.prediction(made, score, model_version), "task": done.task}


def region_ids(done: Item) -> list[str]:
    """The ids of an item's regions, in order; none if nothing was found."""
    return [region_id for _, _, region_id in _handed_out(done)]


def is_of(done: Item, prediction: Mapping[str, Any], model_version: str) -> bool:
    """Whether a prediction that Label Studio has is the one that was written for an item.

    One without regions is known by that alone, and its version.
    """
    result = prediction.get("result") or []
    if prediction.get("model_version") != model_version:
        return False
    expected = region_ids(done)
    return bool(result) == bool(expected) and {region.get("id") for region in result} == set(expected)


def _handed_out(done: Item) -> list[tuple[Json, int, str]]:
    return [
        (found, i, _region_id(done, number, i)) for number, found in enumerate(done.answers) for i in found["selected"]
    ]


def _region_id(done: Item, query: int, index: int) -> str:
    return hashlib.sha1(f"{done.run}/{done.task}/{query}/{index}".encode()).hexdigest()[:_ID_LENGTH]


def _notes(done: Item, found: Mapping[str, Any]) -> Json:
    guess = {"label_is_guess": True} if found["is_guess"] else {}
    return {"decision": found["decision"], "task": str(done.task), "run": done.run, **guess}


def _select(prediction: Prediction, query: Query, min_score: float | None) -> list[int]:
    """The candidates that are handed out: those that answer; of a query for many, also what scores nearly as well elsewhere."""
    chosen: Sequence[int] = prediction.selected
    if query.is_many and chosen:
        floor = SHARE_OF_BEST * float(prediction.scores[list(chosen)].max()) if min_score is None else min_score
        near = [i for i in range(len(prediction.scores)) if i in chosen or prediction.scores[i] >= floor]
        priority = np.array([prediction.scores[i] + (i in chosen) for i in near])
        chosen = sorted(near[k] for k in masks.keep_distinct(prediction.masks[near], priority, SAME_INSTANCE_IOU))
    floor = min_score or 0.0
    return [int(i) for i in chosen if prediction.masks[i].any() and prediction.scores[i] >= floor]
