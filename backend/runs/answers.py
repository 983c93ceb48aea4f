"""Answers of runs: made by a worker, recorded with all candidates, turned into Label Studio's regions when they are written.

The id of a region is a digest of run, task, query and candidate, so that written regions can be recognised, and need no record.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backend.db.records import Answer
from backend.inference.expressions import AnswerOptions, ExpressionQuery, make_answer
from backend.label_studio import protocol, regions
from backend.label_studio.label_config import Control
from backend.label_studio.label_names import read_aloud
from backend.label_studio.protocol import Json
from backend.runs.item import RunItem
from backend.runs.queries import Query
from backend.runs.spec import MAX_TOP_K
from ris_core.geometry import masks
from ris_core.types import EncodedImage, Prediction

_ID_LENGTH = 10


def read_query(query: Query) -> ExpressionQuery:
    """What is looked for in an image by a query of a run."""
    # a label that stands for its own expression may be a name such as "traffic_light"
    text = read_aloud(query.expression) if query.expression == query.label else query.expression
    return ExpressionQuery(text, query.expression, query.label, query.is_many)


def make_item_answer(
    prediction: Prediction, encoded: EncodedImage, query: Query, control: Control, options: AnswerOptions
) -> Answer:
    """The answer to a query of a run from its candidates. Needs no model.

    `selected` is what is handed out; the candidates that answer are marked, so that another threshold can be applied later
    (`thresholds`).
    """
    answer = make_answer(prediction, encoded, read_query(query), control, options)
    marked = [{**one, "answers": i in answer.record.selected} for i, one in enumerate(answer.record.candidates)]
    return replace(answer.record, expression=query.expression, selected=answer.handed_out, candidates=marked)


def drop_repeated(answers: Sequence[Answer]) -> list[Answer]:
    """A task's answers, so that no two hand out the same mask for the same words and label.

    Of a label that the query named and one that was guessed for the same mask, the named one stays; two that were named both stay.
    """
    queries: dict[tuple[str, str], list[int]] = {}  # words and mask to the numbers of the queries that hand it out
    order = sorted(range(len(answers)), key=lambda number: bool(answers[number].is_guess))
    selected: list[list[int]] = [[] for _ in answers]
    repeats: dict[int, int] = {}
    for number in order:
        one = answers[number]
        for index in one.selected:
            earlier = queries.setdefault((_fold(one.expression), one.candidates[index]["mask"]["counts"]), [])
            same = [of for of in earlier if of != number and _is_same_label(answers[of], one)]
            if same:
                repeats[number] = same[0]
            else:
                selected[number].append(index)
                earlier.append(number)
    return [
        replace(one, selected=chosen, others=one.others if chosen else (), repeats=repeats[number])
        if number in repeats
        else one
        for number, (one, chosen) in enumerate(zip(answers, selected, strict=True))
    ]


def list_contents(item: RunItem) -> frozenset[tuple[str, str, str]]:
    """What an item's own prediction holds: words, label and mask of each region."""
    handed_out = ((item.answers[region.query], region.candidate) for region in list_handed_out(item))
    return frozenset(
        (_fold(answer.expression), answer.label, answer.candidates[i]["mask"]["counts"]) for answer, i in handed_out
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
    own = [_hand_out(item, number, i) for number, answer in enumerate(item.answers) for i in answer.selected]
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
        candidate = answer.candidates[one.candidate]
        mask, score, notes = masks.from_rle(candidate["mask"]), candidate["score"], _notes(item, answer)
        results.append(regions.make_region(mask, control, answer.label, one.region, score, answer.expression, notes))
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
    others = [answer.others for answer in item.answers]
    last = min(top_k, 1 + max(map(len, others), default=0))
    return [
        [_hand_out(item, number, of[rank - 2], rank) for number, of in enumerate(others) if len(of) > rank - 2]
        for rank in range(2, last + 1)
    ]


def _hand_out(item: RunItem, query: int, candidate: int, rank: int = 1) -> HandedOutRegion:
    return HandedOutRegion(region_id(item.run, item.task, query, candidate), query, candidate, rank)


def region_id(run: str, task: int, query: int, index: int) -> str:
    """The id of the region of a run's candidate."""
    return hashlib.sha1(f"{run}/{task}/{query}/{index}".encode()).hexdigest()[:_ID_LENGTH]


def _is_same_label(one: Answer, other: Answer) -> bool:
    return bool(one.label == other.label or one.is_guess or other.is_guess)


def _fold(expression: str) -> str:
    return " ".join(expression.casefold().split())


def _notes(item: RunItem, answer: Answer) -> Json:
    guess = {"label_is_guess": True} if answer.is_guess else {}
    return {"decision": answer.decision, "task": str(item.task), "run": item.run, **guess}
