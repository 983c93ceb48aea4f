"""The regions of recorded answers of one task, interactive ones and those of opened tasks, as `OfferedRegion`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from backend.corrections.outcomes import OfferedRegion
from backend.db.tables import answer, region, request
from backend.label_studio.drawn_regions import GESTURES, DrawnRegion, read_drawn
from backend.label_studio.protocol import has_run_lengths, list_regions
from ris_core.geometry.masks import Rle

Rows = Sequence[Mapping[str, Any]]

# Module constants: each query runs for every event, and building it takes longer than running it.
_TASK: sa.BindParameter[Any] = sa.bindparam("task")
_PROJECT: sa.BindParameter[Any] = sa.bindparam("project")
_ANSWERS = (
    sa.select(
        region.c.id.label("region"),
        region.c.candidate_rank,
        region.c.label,
        answer.c.id.label("answer_id"),
        answer.c.created_at,
        answer.c.expression,
        answer.c.model_version,
        answer.c.candidates,
        request.c.id.label("request_id"),
        request.c.kind,
        request.c.user,
        request.c.prompt_id,
        request.c.answer.label("response"),
    )
    .join(answer, answer.c.id == region.c.answer_id)
    .join(request, request.c.id == answer.c.request_id)
    .where((region.c.task == _TASK) & (answer.c.project == _PROJECT))
    .order_by(answer.c.id, region.c.candidate_rank, region.c.id)
)
_REGION_COUNTS = (
    sa.select(answer.c.id, answer.c.selected, sa.func.count(region.c.id).label("regions"))
    .outerjoin(region, region.c.answer_id == answer.c.id)
    .where((answer.c.project == _PROJECT) & (answer.c.task == _TASK) & answer.c.request_id.is_not(None))
    .group_by(answer.c.id)
)
_RECORDED_IDS = sa.select(region.c.id).where(region.c.id.in_(sa.bindparam("ids", expanding=True)))


class RecordedAnswers(NamedTuple):
    """What annotators were offered for a task.

    Attributes:
        regions: By id, in the order in which they were offered.
        requests: The request of each.
        chosen: Ids of those that show a candidate which somebody asked for.
    """

    regions: dict[str, OfferedRegion]
    requests: dict[str, str]
    chosen: frozenset[str]


def read_answers(db: sa.Connection, project: int, task: str) -> RecordedAnswers:
    """The newest answers of each region."""
    rows = [dict(row) for row in db.execute(_ANSWERS, {"project": project, "task": task}).mappings()]
    first_choices = _first_choices(rows)
    regions = {row["region"]: _offered_region(row, first_choices) for row in rows}
    return RecordedAnswers(regions, {row["region"]: row["request_id"] for row in rows}, _list_chosen(rows))


def read_former_versions(
    db: sa.Connection, project: int, task: str, regions: Mapping[str, OfferedRegion]
) -> list[OfferedRegion]:
    """Earlier versions of regions that were refined under the same id, oldest first.

    The table `region` has each id once, with its newest answer. An answer with fewer rows there than it selected has lost some
    to a later one; its regions are then read from the recorded response.

    Args:
        regions: The newest versions, by id.
    """
    rows = db.execute(_REGION_COUNTS, {"project": project, "task": task})
    overtaken = [row.id for row in rows if row.regions < len(row.selected)]
    if not overtaken:
        return []
    responses = (
        sa.select(answer.c.created_at, answer.c.model_version, request.c.answer)
        .join(request, request.c.id == answer.c.request_id)
        .where(answer.c.id.in_(overtaken))
        .order_by(answer.c.id)
    )
    return [
        replace(regions[id], mask=region.mask, at=at, score=region.score, model_version=version, candidates=())
        for at, version, response in db.execute(responses)
        for id, region in read_regions(list_regions(response)).items()
        if id in regions
    ]


def read_recorded_ids(db: sa.Connection, ids: Sequence[str]) -> frozenset[str]:
    """Those of the ids that were offered for any task."""
    return frozenset(db.scalars(_RECORDED_IDS, {"ids": list(ids)}))


def read_regions(results: object) -> dict[str, DrawnRegion]:
    """The regions of a response to Label Studio, by id."""
    return {region.id: region for region in read_drawn(results if isinstance(results, list) else [])[0]}


def _first_choices(rows: Rows) -> dict[tuple[Any, ...], list[tuple[int, str]]]:
    """Rank and id of the regions of each query's first request.

    The same query asked again, with "#2" or "next", offers other candidates: they count as candidates in place of these.
    """
    firsts: dict[tuple[Any, ...], tuple[str, list[tuple[int, str]]]] = {}
    for row in rows:
        request_id, regions = firsts.setdefault(_query(row), (row["request_id"], []))
        if request_id == row["request_id"]:
            regions.append((row["candidate_rank"], row["region"]))
    return {query: regions for query, (_, regions) in firsts.items()}


def _query(row: Mapping[str, Any]) -> tuple[Any, ...]:
    wording = " ".join(row["expression"].casefold().split())
    # The id of the prompt comes before the user: a prompt belongs to one annotator, and its first request may come without a user.
    user = row["prompt_id"] or row["user"]
    # A click or a box has no words: each is a query of its own.
    return (row["kind"], user, row["model_version"], wording or row["answer_id"])


def _offered_region(
    row: Mapping[str, Any], first_choices: Mapping[tuple[Any, ...], list[tuple[int, str]]]
) -> OfferedRegion:
    candidates = {int(candidate["rank"]): candidate for candidate in row["candidates"]}
    own = candidates.get(row["candidate_rank"])
    query = _query(row)
    ranks = [rank for rank, _ in first_choices[query]]
    by: Literal["interactive", "bulk"] = "interactive" if row["kind"] == "interactive" else "bulk"
    return OfferedRegion(
        region=row["region"],
        by=by,
        query=str(query),
        label=row["label"],
        expression=row["expression"],
        score=float(own["score"]) if own else None,
        model_version=row["model_version"],
        mask=_offered_mask(row, own),
        at=row["created_at"],
        user=row["user"],
        prompt=None if _is_pointed(row) else row["prompt_id"],
        candidates=tuple(other["mask"] for rank, other in candidates.items() if rank not in ranks and other is not own),
        instead_of=None if row["candidate_rank"] in ranks else first_choices[query][0][1],
    )


def add_first_versions(
    regions: dict[str, OfferedRegion], former: Sequence[OfferedRegion], chosen: Collection[str]
) -> None:
    """Note with each candidate that took the place of another one under the same id what was offered first there.

    Args:
        former: Earlier versions, oldest first.
        chosen: Ids of regions that show a candidate which somebody asked for ("#2", "next").
    """
    firsts = {version.region: version for version in reversed(former)}
    for id in chosen:
        if id in firsts and regions[id].instead_of is None:
            regions[id] = replace(regions[id], first=firsts[id])


def _list_chosen(rows: Rows) -> frozenset[str]:
    """Ids of the regions whose newest answer is a candidate that was asked for."""
    listed = (
        (row["region"], result.get("meta", {}).get("ris", {}))
        for row in rows
        for result in list_regions(row["response"])
        if result.get("id") == row["region"]
    )
    return frozenset(id for id, notes in listed if "rank" in notes)


def _is_pointed(row: Mapping[str, Any]) -> bool:
    """Whether clicks or a box asked: then `prompt_id` is the id of the first of them, which no annotation has as a text."""
    notes = (result.get("meta", {}).get("ris", {}) for result in list_regions(row["response"]))
    return any(of.get("by") in GESTURES for of in notes)


def _offered_mask(row: Mapping[str, Any], candidate: Mapping[str, Any] | None) -> Rle:
    """The mask as Label Studio received it: of a brush exactly the candidate's; a polygon or a box is an approximation of it."""
    results = [result for result in list_regions(row["response"]) if result.get("id") == row["region"]]
    is_brush = any(map(has_run_lengths, results))
    if candidate and (is_brush or not results):
        return candidate["mask"]
    return read_regions(results)[row["region"]].mask
