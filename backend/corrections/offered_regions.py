"""What was handed out for a task, from the record of answers and of predictions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from backend.corrections.outcomes import OfferedRegion, OfferedRegions
from backend.db.correction_tables import offered_prediction
from backend.db.run_tables import answered_by, item, run
from backend.db.tables import answer, region, request
from backend.label_studio.annotations import AnnotationVersion
from backend.label_studio.drawn_regions import DrawnRegion, read_drawn
from backend.label_studio.label_config import read_config
from backend.runs.answers import list_handed_out, make_regions, version_of
from backend.runs.item import read_item
from backend.runs.spec import MAX_TOP_K
from ris_core.geometry.masks import Rle

Rows = Sequence[Mapping[str, Any]]

# Made once: each is asked for every event, and making a query takes longer than answering it.
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
        request.c.answer.label("handed_out"),
    )
    .join(answer, answer.c.id == region.c.answer_id)
    .join(request, request.c.id == answer.c.request_id)
    .where((region.c.task == _TASK) & (answer.c.project == _PROJECT))
    .order_by(answer.c.id, region.c.candidate_rank, region.c.id)
)
_ITEMS = (
    sa.select(item, answered_by().label("answered_by"), run.c.label_config)
    .join(run, run.c.id == item.c.run)
    .where((run.c.project == _PROJECT) & (item.c.task == _TASK) & (item.c.state == "done"))
    .order_by(item.c.finished_at, item.c.run)
)
_KEPT = (
    sa.select(answer.c.id, answer.c.selected, sa.func.count(region.c.id).label("kept"))
    .outerjoin(region, region.c.answer_id == answer.c.id)
    .where((answer.c.project == _PROJECT) & (answer.c.task == _TASK))
    .group_by(answer.c.id)
)
_PREDICTIONS = sa.select(offered_prediction).where(
    (offered_prediction.c.project == _PROJECT) & (offered_prediction.c.task == _TASK)
)
_RECORDED = sa.select(region.c.id).where(region.c.id.in_(sa.bindparam("ids", expanding=True)))


class OfferedRegionsOfTask:
    """Everything that was handed out for one task. Its rows are read once and serve all annotations of the task."""

    def __init__(self, db: sa.Connection, project: int, task: str) -> None:
        self._db, self._project, self._task = db, project, task
        self._offers, self._made_by = _read_answers(db, project, task)
        self._former = _read_former(db, project, task, self._offers)
        for offer, made_by in _read_items(db, project, task):
            self._offers[offer.region], self._made_by[offer.region] = offer, made_by
        self._predictions = _read_predictions(db, project, task)
        for offers in self._predictions.values():
            for offer in offers:
                self._offers.setdefault(offer.region, offer)

    def offered_for(self, version: AnnotationVersion, others: Sequence[AnnotationVersion]) -> OfferedRegions:
        """What was offered for an annotation.

        Args:
            others: The other versions of the task's annotations, of any annotator.
        """
        bulk = self._find_bulk(version)
        before = [
            v.updated_at for v in others if v.annotator == version.annotator and v.updated_at < version.updated_at
        ]
        own, theirs = _traces(version, others)
        interactive = [
            offer
            for offer in self._offers.values()
            if offer.by == "interactive"
            and max(before, default=0.0) < offer.at <= version.updated_at
            and _is_for(offer, version.annotator, own, theirs)
        ]
        strangers = [drawn for drawn in version.regions if drawn.id not in self._offers]
        return OfferedRegions(bulk, interactive, self._known_at(version.updated_at), self._find_foreign(strangers))

    def newest_bulk(self) -> list[OfferedRegion]:
        """The prediction that was made last, whether or not anybody has looked at it."""
        bulk = [offer for offer in self._offers.values() if offer.by == "bulk" and offer.instead_of is None]
        if not bulk:
            return []
        groups = {id: {offer.region for offer in offers} for id, offers in self._predictions.items()}
        newest = max(bulk, key=lambda offer: (offer.at, offer.region))
        made_by = self._made_by.get(newest.region)
        same = next((ids for _, ids in sorted(groups.items(), reverse=True) if newest.region in ids), set())
        return [
            offer
            for offer in bulk
            if (made_by and self._made_by.get(offer.region) == made_by) or (not made_by and offer.region in same)
        ]

    def _find_bulk(self, version: AnnotationVersion) -> list[OfferedRegion]:
        """The regions of the prediction that an annotation began with.

        Its own id tells; where that is not known (it was made while the task was opened, and Label Studio told nobody
        its id), the regions that are left of it do; where none is left, it was the last one made before.
        """
        if version.parent_prediction is None:
            return []
        if (known := self._predictions.get(version.parent_prediction)) is not None:
            return [self._offers[offer.region] for offer in known]
        bulk = {id: offer for id, offer in self._offers.items() if offer.by == "bulk" and id in self._made_by}
        left = [self._made_by[drawn.id] for drawn in version.regions if drawn.id in bulk]
        earlier = [offer for offer in bulk.values() if offer.at <= version.created_at and offer.instead_of is None]
        newest = [self._made_by[offer.region] for offer in sorted(earlier, key=lambda offer: (offer.at, offer.region))]
        chosen = next(iter([*left, *newest[-1:]]), None)
        return [offer for id, offer in bulk.items() if self._made_by[id] == chosen]

    def _known_at(self, time: float) -> dict[str, OfferedRegion]:
        """Every region as it was handed out last before a time: a mended one was handed out before under its id."""
        seen = {offer.region: offer for offer in self._former if offer.at <= time}
        return {id: seen.get(id, offer) if offer.at > time else offer for id, offer in self._offers.items()}

    def _find_foreign(self, strangers: Sequence[DrawnRegion]) -> frozenset[str]:
        """Those that the record has for another task, or that say so themselves."""
        if not strangers:
            return frozenset()
        recorded = self._db.scalars(_RECORDED, {"ids": [drawn.id for drawn in strangers]})
        return frozenset(recorded) | {drawn.id for drawn in strangers if drawn.made_for not in (None, self._task)}


def read_answer_regions(results: object) -> dict[str, DrawnRegion]:
    """The regions of a prediction as it was handed out, by id: what a polygon or box showed is not its candidate's mask."""
    listed = results if isinstance(results, list) else []
    return {drawn.id: drawn for drawn in read_drawn(listed)[0]}


def _read_answers(db: sa.Connection, project: int, task: str) -> tuple[dict[str, OfferedRegion], dict[str, str]]:
    """Offers by region id, in the order in which they were made, and the request of each."""
    rows = db.execute(_ANSWERS, {"project": project, "task": task}).mappings()
    listed: Rows = [dict(row) for row in rows]
    firsts = _first_choices(listed)
    offers = {row["region"]: _make_offer(row, firsts) for row in listed}
    return offers, {row["region"]: row["request_id"] for row in listed}


def _read_items(db: sa.Connection, project: int, task: str) -> Iterator[tuple[OfferedRegion, str]]:
    """Offers of bulk runs, and the run of each."""
    if not task.isdecimal():
        return
    rows = db.execute(_ITEMS, {"project": project, "task": int(task)}).mappings()
    for row in rows:
        done = read_item(dict(row))
        control = read_config(row["label_config"] or "").controls[0]
        wanted = list_handed_out(done, MAX_TOP_K)
        shown = {} if control.kind == "brush" else read_answer_regions(make_regions(done, control, wanted))
        first = {one.query: one.region for one in reversed(wanted) if one.rank == 1}
        for one in wanted:
            found = done.answers[one.query]
            chosen = found["candidates"][one.candidate]
            others = [other["mask"] for j, other in enumerate(found["candidates"]) if j not in found["selected"]]
            offer = OfferedRegion(
                region=one.region,
                by="bulk",
                query=f"run {done.run} {one.query}",
                label=found["label"],
                expression=found["expression"],
                score=float(chosen["score"]),
                model_version=version_of(row["answered_by"] or "", one.rank),
                mask=shown[one.region].mask if one.region in shown else chosen["mask"],
                at=row["finished_at"] or 0.0,
                candidates=tuple(others) if one.rank == 1 else (),
                instead_of=first.get(one.query) if one.rank > 1 else None,
            )
            yield offer, f"run {done.run}" if one.rank == 1 else f"run {done.run} candidate {one.rank}"


def _read_former(
    db: sa.Connection, project: int, task: str, offers: Mapping[str, OfferedRegion]
) -> list[OfferedRegion]:
    """Former looks of regions that were mended under their own id, oldest first: the record follows the newest."""
    rows = db.execute(_KEPT, {"project": project, "task": task})
    overtaken = [row.id for row in rows if row.kept < len(row.selected)]
    if not overtaken:
        return []
    asked = (
        sa.select(answer.c.created_at, answer.c.model_version, request.c.answer)
        .join(request, request.c.id == answer.c.request_id)
        .where(answer.c.id.in_(overtaken))
        .order_by(answer.c.id)
    )
    return [
        replace(offers[id], mask=drawn.mask, at=at, score=drawn.score, model_version=version, candidates=())
        for at, version, handed_out in db.execute(asked)
        for id, drawn in read_answer_regions((handed_out or {}).get("result")).items()
        if id in offers
    ]


def _first_choices(rows: Rows) -> dict[tuple[Any, ...], list[tuple[int, str]]]:
    """Of each query, the rank and id of each region of its first request: what is asked again with other ranks are others."""
    firsts: dict[tuple[Any, ...], tuple[str, list[tuple[int, str]]]] = {}
    for row in rows:
        request_id, regions = firsts.setdefault(_query(row), (row["request_id"], []))
        if request_id == row["request_id"]:
            regions.append((row["candidate_rank"], row["region"]))
    return {query: regions for query, (_, regions) in firsts.items()}


def _query(row: Mapping[str, Any]) -> tuple[Any, ...]:
    wording = " ".join(row["expression"].casefold().split())
    # a click or a box has no words: each is a query of its own
    # a prompt is one annotator's, of whom the first request may not know who it is
    asker = row["prompt_id"] or row["user"]
    return (row["kind"], asker, row["model_version"], wording or row["answer_id"])


def _make_offer(row: Mapping[str, Any], firsts: Mapping[tuple[Any, ...], list[tuple[int, str]]]) -> OfferedRegion:
    candidates = {int(one["rank"]): one for one in row["candidates"]}
    chosen = candidates.get(row["candidate_rank"])
    query = _query(row)
    ranks = [rank for rank, _ in firsts[query]]
    return OfferedRegion(
        region=row["region"],
        by="interactive" if row["kind"] == "interactive" else "bulk",
        query=str(query),
        label=row["label"],
        expression=row["expression"],
        score=float(chosen["score"]) if chosen else None,
        model_version=row["model_version"],
        mask=_shown(row, chosen),
        at=row["created_at"],
        user=row["user"],
        prompt=row["prompt_id"],
        candidates=tuple(one["mask"] for rank, one in candidates.items() if rank not in ranks and one is not chosen),
        instead_of=None if row["candidate_rank"] in ranks else firsts[query][0][1],
    )


def _shown(row: Mapping[str, Any], chosen: Mapping[str, Any] | None) -> Rle:
    """The mask as it was shown: a brush is its candidate exactly, anything else is read from what was handed out."""
    handed_out = row["handed_out"] if isinstance(row["handed_out"], Mapping) else {}
    results = [r for r in handed_out.get("result", ()) if r.get("id") == row["region"]]
    is_brush = any("rle" in r.get("value", {}) for r in results)
    if chosen and (is_brush or not results):
        return chosen["mask"]
    return read_answer_regions(results)[row["region"]].mask


def _read_predictions(db: sa.Connection, project: int, task: str) -> dict[int, list[OfferedRegion]]:
    """Offers of Label Studio's predictions, by the id of the prediction."""
    found: dict[int, list[OfferedRegion]] = defaultdict(list)
    for row in db.execute(_PREDICTIONS, {"project": project, "task": task}).mappings():
        found[row["prediction"]] = list(_predicted(dict(row)))
    return found


def _predicted(row: Mapping[str, Any]) -> Iterator[OfferedRegion]:
    for drawn in (DrawnRegion(**one) for one in row["regions"]):
        yield OfferedRegion(
            region=drawn.id,
            by="bulk",
            query=f"prediction {row['prediction']} {drawn.expression or drawn.id}",
            label=drawn.label,
            expression=drawn.expression or "",
            score=drawn.score,
            model_version=row["model_version"],
            mask=drawn.mask,
            at=row["created_at"],
        )


def _traces(version: AnnotationVersion, others: Iterable[AnnotationVersion]) -> tuple[set[str], set[str]]:
    """Ids of prompts and regions in this annotator's annotations, and in those of others."""
    own: set[str] = set()
    theirs: set[str] = set()
    for one in (version, *others):
        ids = {id for id, _ in one.texts} | {drawn.id for drawn in one.regions}
        (own if one.annotator == version.annotator else theirs).update(ids)
    return own, theirs


def _is_for(offer: OfferedRegion, annotator: int | None, own: set[str], theirs: set[str]) -> bool:
    """Whether an answer was this annotator's: by the user if he was known, else by the prompt, or unless it is another's."""
    traces = {offer.prompt, offer.region} - {None}
    if traces & (own | theirs):
        return bool(traces & own)
    return offer.user is None or annotator is None or offer.user == annotator
