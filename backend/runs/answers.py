"""Answers of runs: made by a worker, stored with all candidates, turned into Label Studio's regions when they are written.

An answer is JSON: {"expression", "label", "is_guess", "decision", "selected": indices, "others": indices of what could have been
meant instead, "candidates": as `list_candidates` returns them, "repeats": number of the query that has the same masks for the
same words, if there is one}. The id of a region is a digest of run, task, query and rank, so that written regions can be recognised.
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
"""Of several instances, those are handed out that score at least this share of the best, unless the run has a `min_score`."""
MANY = 20
"""Candidates that are considered where several instances may be meant."""
_ID_LENGTH = 10


def answer_query(
    segmenter: Segmenter,
    encoded: EncodedImage,
    query: Query,
    control: Control,
    top_k: int,
    min_score: float | None,
    smooth_px: float = 0.0,
) -> Json:
    """Answer a query about an image.

    Args:
        min_score: In [0, 1]: candidates that score less are not handed out; None for no limit.
        smooth_px: How much the outlines of masks are smoothed, in pixels; as for interactive answers.

    Raises:
        BadExpression: If the expression has no words that can be read.
    """
    # a label that stands for its own expression may be a name such as "traffic_light"
    text = read_aloud(query.expression) if query.expression == query.label else query.expression
    prediction = segmenter.segment(encoded, text, MANY if query.is_many else top_k)
    clean_masks = mask_cleaning.clean_all(prediction.masks, smooth_px)
    prediction = replace(prediction, masks=clean_masks, boxes_xywh=boxes.from_masks(clean_masks))
    selected = _select(prediction, query, min_score)
    label = pick_label(control, query.expression, *prediction.expression.meant)
    return {
        "expression": query.expression,
        "label": query.label or label.label,
        "is_guess": query.label is None and label.is_guess,
        "decision": prediction.decision,
        "selected": selected,
        "others": [] if query.is_many else _list_others(prediction, selected, min_score),
        "candidates": [dict(candidate) for candidate in list_candidates(prediction)],
    }


def drop_repeated(answers: Sequence[Json]) -> list[Json]:
    """A task's answers, so that no two hand out the same mask for the same words and label.

    Of a label that the query named and one that was guessed for the same mask, the named one stays; two that were named both stay.
    """
    queries: dict[tuple[str, str], list[int]] = {}  # words and mask to the numbers of the queries that hand it out
    order = sorted(range(len(answers)), key=lambda number: bool(answers[number]["is_guess"]))
    selected: list[list[int]] = [[] for _ in answers]
    repeats: dict[int, int] = {}
    for number in order:
        one = answers[number]
        for index in one["selected"]:
            earlier = queries.setdefault((_fold(one["expression"]), one["candidates"][index]["mask"]["counts"]), [])
            same = [of for of in earlier if of != number and _is_same_label(answers[of], one)]
            if same:
                repeats[number] = same[0]
            else:
                selected[number].append(index)
                earlier.append(number)
    changed = (
        {**one, "selected": chosen, "others": one["others"] if chosen else [], "repeats": repeats[number]}
        if number in repeats
        else one
        for number, (one, chosen) in enumerate(zip(answers, selected, strict=True))
    )
    return list(changed)


def list_contents(item: RunItem) -> frozenset[tuple[str, str, str]]:
    """What an item's own prediction holds: words, label and mask of each region."""
    handed_out = ((item.answers[region.query], region.candidate) for region in list_handed_out(item))
    return frozenset(
        (_fold(answer["expression"]), answer["label"], answer["candidates"][i]["mask"]["counts"])
        for answer, i in handed_out
    )


@dataclass(frozen=True)
class HandedOutRegion:
    """A region of an item's predictions.

    Attributes:
        region: Its id.
        query: Number of the query that it answers.
        candidate: Index of its candidate.
        rank: 1 in the item's own prediction; from 2 in those that hold other candidates.
    """

    region: str
    query: int
    candidate: int
    rank: int = 1


def list_handed_out(item: RunItem, top_k: int = 1) -> list[HandedOutRegion]:
    """The regions of an item's own prediction, in order; none if nothing was found.

    Args:
        top_k: If more than 1, also those of `make_candidate_predictions`, rank after rank.
    """
    own = [_hand_out(item, number, i) for number, answer in enumerate(item.answers) for i in answer["selected"]]
    return own + [region for ranked in _rank_others(item, top_k) for region in ranked]


def make_regions(item: RunItem, control: Control, selection: Sequence[HandedOutRegion] | None = None) -> list[Json]:
    """Regions of an item in Label Studio's JSON.

    Args:
        selection: Which; None for those of the item's own prediction.

    Raises:
        ValueError: If the control does not have one of the labels.
    """
    results = []
    for one in list_handed_out(item) if selection is None else selection:
        answer = item.answers[one.query]
        candidate = answer["candidates"][one.candidate]
        mask, score, notes = masks.from_rle(candidate["mask"]), candidate["score"], _notes(item, answer)
        results.append(
            regions.make_region(mask, control, answer["label"], one.region, score, answer["expression"], notes)
        )
    return results


def make_prediction(
    item: RunItem, control: Control, model_version: str, selection: Sequence[HandedOutRegion] | None = None
) -> Json:
    """An item as the prediction that is imported: its regions, and the lowest of their scores. Args: as for `make_regions`."""
    results = make_regions(item, control, selection)
    score = min((region["score"] for region in results), default=0.0)
    return {**protocol.prediction(results, score, model_version), "task": item.task}


def make_candidate_predictions(item: RunItem, control: Control, model_version: str, top_k: int) -> list[Json]:
    """An item's other candidates as predictions beside its own: one for each rank from 2, each with a version of its own.

    Label Studio takes scores, and the predictions of its label stream, from one version, so these appear in neither.

    Args:
        top_k: The last rank.
    """
    return [
        make_prediction(item, control, version_of(model_version, ranked[0].rank), ranked)
        for ranked in _rank_others(item, top_k)
    ]


def version_of(model_version: str, rank: int) -> str:
    """The version of the predictions that hold candidates of a rank."""
    return model_version if rank == 1 else f"{model_version}.candidate-{rank}"


def read_rank(item: RunItem, prediction: Mapping[str, Any], model_version: str) -> int | None:
    """Which of an item's predictions one in Label Studio is: 1 for its own, else the rank of its candidates; None if it is not the item's.

    Of one without regions only the version is known, so it may be another's: `own_predictions` tells them apart.
    """
    ids = {region.get("id") for region in protocol.list_regions(prediction)}
    for expected in (list_handed_out(item), *_rank_others(item, MAX_TOP_K)):
        rank = expected[0].rank if expected else 1
        has_version = prediction.get("model_version") == version_of(model_version, rank)
        if has_version and ids == {region.region for region in expected}:
            return rank
    return None


def _rank_others(item: RunItem, top_k: int) -> list[list[HandedOutRegion]]:
    """From rank 2 on, the next candidate of each query that has one."""
    others = [answer.get("others", ()) for answer in item.answers]
    last = min(top_k, 1 + max(map(len, others), default=0))
    return [
        [_hand_out(item, number, of[rank - 2], rank) for number, of in enumerate(others) if len(of) > rank - 2]
        for rank in range(2, last + 1)
    ]


def _hand_out(item: RunItem, query: int, candidate: int, rank: int = 1) -> HandedOutRegion:
    return HandedOutRegion(_region_id(item, query, candidate), query, candidate, rank)


def _region_id(item: RunItem, query: int, index: int) -> str:
    return hashlib.sha1(f"{item.run}/{item.task}/{query}/{index}".encode()).hexdigest()[:_ID_LENGTH]


def _is_same_label(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one["label"] == other["label"] or one["is_guess"] or other["is_guess"])


def _fold(expression: str) -> str:
    return " ".join(expression.casefold().split())


def _notes(item: RunItem, answer: Mapping[str, Any]) -> Json:
    guess = {"label_is_guess": True} if answer["is_guess"] else {}
    return {"decision": answer["decision"], "task": str(item.task), "run": item.run, **guess}


def _select(prediction: Prediction, query: Query, min_score: float | None) -> list[int]:
    """The candidates that are handed out: those that answer; of a query for many, also those elsewhere that score nearly as well."""
    chosen: Sequence[int] = prediction.selected
    if query.is_many and chosen:
        floor = SHARE_OF_BEST * float(prediction.scores[list(chosen)].max()) if min_score is None else min_score
        near = [i for i in range(len(prediction.scores)) if i in chosen or prediction.scores[i] >= floor]
        # scores are at most 1, so what answers always comes before what only scores well
        priority = np.array([prediction.scores[i] + (i in chosen) for i in near])
        chosen = sorted(near[k] for k in masks.keep_distinct(prediction.masks[near], priority, SAME_INSTANCE_IOU))
    floor = min_score or 0.0
    return [int(i) for i in chosen if prediction.masks[i].any() and prediction.scores[i] >= floor]


def _list_others(prediction: Prediction, selected: Sequence[int], min_score: float | None) -> list[int]:
    """The candidates that could be meant instead of the selected ones, best first; none where nothing was selected."""
    floor = min_score or 0.0
    return [i for i in prediction.others if i not in selected and prediction.scores[i] >= floor] if selected else []
