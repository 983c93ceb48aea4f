"""Answers of runs: found by a worker, kept in the ledger with all candidates, turned into Label Studio's regions when written.

An answer is JSON: {"expression", "label", "is_guess", "decision", "selected": indices, "others": indices of what could have been
meant instead, "candidates": as `list_candidates` has them, "repeats": number of the query that has the same masks for the
same words, if one has}. The id of a region is a digest of run, task, query and rank, so that what was written can be recognised.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backend.label_studio import protocol, regions
from backend.label_studio.label_config import Control
from backend.label_studio.label_names import read_aloud
from backend.label_studio.prompt import pick_label
from backend.label_studio.protocol import Json
from backend.runs.item import RunItem
from backend.runs.queries import Query
from backend.runs.spec import MAX_TOP_K
from ris_core.geometry import boxes, mask_cleaning, masks
from ris_core.output.documents import list_candidates
from ris_core.segmentation.segmenter import Segmenter
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
    smooth_px: float = 0.0,
) -> Json:
    """What a query finds in an image.

    Args:
        smooth_px: How much the rims of masks are smoothed, as those of interactive answers are.

    Raises:
        BadExpression: If there is nothing to read in the expression.
    """
    asked = read_aloud(query.expression) if query.expression == query.label else query.expression
    prediction = segmenter.segment(encoded, asked, MANY if query.is_many else top_k)
    light = mask_cleaning.clean_all(prediction.masks, smooth_px)
    prediction = replace(prediction, masks=light, boxes_xywh=boxes.from_masks(light))
    selected = _select(prediction, query, min_score)
    picked = pick_label(control, query.expression, *prediction.expression.meant)
    return {
        "expression": query.expression,
        "label": query.label or picked.label,
        "is_guess": query.label is None and picked.is_guess,
        "decision": prediction.decision,
        "selected": selected,
        "others": [] if query.is_many else _list_others(prediction, selected, min_score),
        "candidates": [dict(candidate) for candidate in list_candidates(prediction)],
    }


def drop_repeated(found: Sequence[Json]) -> list[Json]:
    """The answers of a task, of which none hands out a mask that another hands out for the same words and label.

    Of a label that was given and one that was guessed for the same mask, the given one stays; two that were given both stay.
    """
    kept: dict[tuple[str, str], list[int]] = {}  # words and mask to the queries that hand it out
    order = sorted(range(len(found)), key=lambda number: bool(found[number]["is_guess"]))
    selected: list[list[int]] = [[] for _ in found]
    repeats: dict[int, int] = {}
    for number in order:
        one = found[number]
        for index in one["selected"]:
            earlier = kept.setdefault((_fold(one["expression"]), one["candidates"][index]["mask"]["counts"]), [])
            same = [of for of in earlier if of != number and _is_same_label(found[of], one)]
            if same:
                repeats[number] = same[0]
            else:
                selected[number].append(index)
                earlier.append(number)
    changed = (
        {**one, "selected": chosen, "others": one["others"] if chosen else [], "repeats": repeats[number]}
        if number in repeats
        else one
        for number, (one, chosen) in enumerate(zip(found, selected, strict=True))
    )
    return list(changed)


def list_said(done: RunItem) -> frozenset[tuple[str, str, str]]:
    """What an item's own prediction says: words, label and mask of each region."""
    handed_out = ((done.answers[one.query], one.candidate) for one in list_handed_out(done))
    return frozenset(
        (_fold(found["expression"]), found["label"], found["candidates"][i]["mask"]["counts"])
        for found, i in handed_out
    )


@dataclass(frozen=True)
class HandedOutRegion:
    """A region of an item's predictions.

    Attributes:
        region: Its id.
        query: Number of the query that it answers.
        candidate: Index of its candidate.
        rank: 1 if it is of the item's own prediction, else that of the candidates that it stands among.
    """

    region: str
    query: int
    candidate: int
    rank: int = 1


def list_handed_out(done: RunItem, top_k: int = 1) -> list[HandedOutRegion]:
    """The regions of an item's own prediction, in order; none if nothing was found.

    Args:
        top_k: If more than 1, also those of the predictions that `make_others` makes, rank after rank.
    """
    own = [_hand_out(done, number, i) for number, found in enumerate(done.answers) for i in found["selected"]]
    return own + [one for ranked in _rank_others(done, top_k) for one in ranked]


def make_regions(done: RunItem, control: Control, wanted: Sequence[HandedOutRegion] | None = None) -> list[Json]:
    """Regions of an item as Label Studio takes them.

    Args:
        wanted: Which; None for those of the item's own prediction.

    Raises:
        ValueError: If a label is none of the control's.
    """
    made = []
    for one in list_handed_out(done) if wanted is None else wanted:
        found = done.answers[one.query]
        candidate = found["candidates"][one.candidate]
        mask, score, notes = masks.from_rle(candidate["mask"]), candidate["score"], _notes(done, found)
        made.append(regions.make_region(mask, control, found["label"], one.region, score, found["expression"], notes))
    return made


def make_prediction(
    done: RunItem, control: Control, model_version: str, wanted: Sequence[HandedOutRegion] | None = None
) -> Json:
    """An item as the prediction that is imported: its regions, and for a score the lowest of theirs. Args: as of `make_regions`."""
    made = make_regions(done, control, wanted)
    score = min((region["score"] for region in made), default=0.0)
    return {**protocol.prediction(made, score, model_version), "task": done.task}


def make_others(done: RunItem, control: Control, model_version: str, top_k: int) -> list[Json]:
    """An item's other candidates as predictions beside its own: one for each rank from 2, each of a version of its own.

    Scores and the label stream go by one version, so these take no part in either.

    Args:
        top_k: The last rank.
    """
    return [
        make_prediction(done, control, version_of(model_version, ranked[0].rank), ranked)
        for ranked in _rank_others(done, top_k)
    ]


def version_of(model_version: str, rank: int) -> str:
    """The version of the predictions that hold candidates of a rank."""
    return model_version if rank == 1 else f"{model_version}.candidate-{rank}"


def read_rank(done: RunItem, prediction: Mapping[str, Any], model_version: str) -> int | None:
    """Which of the predictions that were written for an item one is that Label Studio has: 1 for its own; None if it is none.

    Of one without regions that alone and its version are known, so it may be another's: `standing` tells them apart.
    """
    ids = {region.get("id") for region in protocol.list_regions(prediction)}
    for wanted in (list_handed_out(done), *_rank_others(done, MAX_TOP_K)):
        rank = wanted[0].rank if wanted else 1
        if prediction.get("model_version") == version_of(model_version, rank) and ids == {one.region for one in wanted}:
            return rank
    return None


def _rank_others(done: RunItem, top_k: int) -> list[list[HandedOutRegion]]:
    """From rank 2 on, the next candidate of each query that has one."""
    others = [found.get("others", ()) for found in done.answers]
    last = min(top_k, 1 + max(map(len, others), default=0))
    return [
        [_hand_out(done, number, of[rank - 2], rank) for number, of in enumerate(others) if len(of) > rank - 2]
        for rank in range(2, last + 1)
    ]


def _hand_out(done: RunItem, query: int, candidate: int, rank: int = 1) -> HandedOutRegion:
    return HandedOutRegion(_region_id(done, query, candidate), query, candidate, rank)


def _region_id(done: RunItem, query: int, index: int) -> str:
    return hashlib.sha1(f"{done.run}/{done.task}/{query}/{index}".encode()).hexdigest()[:_ID_LENGTH]


def _is_same_label(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one["label"] == other["label"] or one["is_guess"] or other["is_guess"])


def _fold(expression: str) -> str:
    return " ".join(expression.casefold().split())


def _notes(done: RunItem, found: Mapping[str, Any]) -> Json:
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


def _list_others(prediction: Prediction, selected: Sequence[int], min_score: float | None) -> list[int]:
    """The candidates that could be meant instead of the selected ones, best first; none where nothing was selected."""
    floor = min_score or 0.0
    return [i for i in prediction.others if i not in selected and prediction.scores[i] >= floor] if selected else []
