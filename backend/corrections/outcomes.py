"""The outcome of each region: a function of an annotation's version and of the offered regions. No SQL, no HTTP."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from backend.corrections.matching import area, assign, boundary_overlap, overlap, overlaps
from backend.corrections.outcome_kinds import Name
from backend.label_studio.annotations import AnnotationVersion
from backend.label_studio.drawn_regions import DrawnRegion
from ris_core.geometry.masks import Rle

SAME = 0.999
"""IoU from which a mask counts as unchanged."""
MATCHES = 0.5
"""IoU from which a region with an unknown id is matched with an offered region, or with another candidate of its query."""


@dataclass(frozen=True)
class OfferedRegion:
    """A region that was offered to an annotator.

    Attributes:
        region: The id with which it was offered.
        by: "bulk": it was there when the task was opened; "interactive": it answers an annotator's request.
        query: Name of the query that it answers. Regions and candidates of one query mean the same object.
        expression: Text of the query; empty for a click or a box.
        at: When it was offered, seconds since 1970.
        user: Label Studio's user id; None if it is not known.
        prompt: Id of the text field into which the expression was typed; None if there was none.
        candidates: Masks of the other candidates of the answer.
        instead_of: Id of the region that was offered first for the same query, if this one is a further candidate.
        first: What was offered first under the same id, if this is a further candidate that took its place.
    """

    region: str
    by: Literal["bulk", "interactive"]
    query: str
    label: str
    expression: str
    score: float | None
    model_version: str
    mask: Rle
    at: float = 0.0
    user: int | None = None
    prompt: str | None = None
    candidates: tuple[Rle, ...] = ()
    instead_of: str | None = None
    first: "OfferedRegion | None" = None


@dataclass(frozen=True)
class OfferedRegions:
    """The offered regions by which an annotation is judged.

    Attributes:
        bulk: The regions of the prediction from which it began.
        interactive: Answers for its task since its annotator's last submission, without those for other annotators.
        by_id: Every region that was ever offered for its task, by id.
        foreign: Ids that were offered for other tasks.
    """

    bulk: Sequence[OfferedRegion] = ()
    interactive: Sequence[OfferedRegion] = ()
    by_id: Mapping[str, OfferedRegion] = field(default_factory=dict)
    foreign: Set[str] = frozenset()


@dataclass(frozen=True)
class RegionOutcome:
    """The outcome of a region.

    Attributes:
        region: Its id in Label Studio; of a deleted region, the id with which it was offered.
        outcome: "accepted": saved as it was offered; "edited"; "replaced" by another candidate of the same query;
            "rejected": of the bulk prediction, and deleted; "missed": drawn by hand; "imported" with a data set;
            "foreign": offered for another task; "unanswered": suggested, and not accepted.
        offered_region, offered_by: Id and `by` of the offered region that it is compared with; None without one.
        iou, boundary_iou: Of the saved and the offered mask, in [0, 1]; None without both.
        area_change: Change of the area as a share of the offered area; None if that is 0.
        is_relabelled, is_reworded: Its label, or its expression, differs from the offered one.
        is_refined: Clicks or a box made or corrected what was offered: it is not the answer to the expression alone.
        mask: The saved mask; None if it was deleted.
    """

    region: str
    outcome: Name
    label: str
    expression: str | None
    offered_region: str | None = None
    offered_by: str | None = None
    iou: float | None = None
    boundary_iou: float | None = None
    area_change: float | None = None
    is_relabelled: bool = False
    is_reworded: bool = False
    is_refined: bool = False
    score: float | None = None
    model_version: str | None = None
    mask: Rle | None = None
    offered_mask: Rle | None = None


def judge(version: AnnotationVersion, offered: OfferedRegions) -> list[RegionOutcome]:
    """The outcome of every drawn region and every offered region; none for a skipped task.

    Each step takes the offered regions that it matched out of what the later ones see: first equal ids, then regions that
    Label Studio marks as unchanged, then all others by their IoU. Those that came with a data set are compared with nothing.
    """
    if version.was_cancelled:
        return []
    regions_by_id = {region.id: region for region in version.regions}
    ids = {id for id in regions_by_id if id in offered.by_id or id in offered.foreign}
    outcomes = [_judge_by_id(regions_by_id[id], offered) for id in regions_by_id if id in ids]
    matched = ids | {outcome.offered_region for outcome in outcomes if outcome.outcome == "replaced"}
    unmatched = [region for region in (*offered.bulk, *offered.interactive) if region.region not in matched]
    unchanged = [region for id, region in regions_by_id.items() if id not in ids and region.origin == "prediction"]
    outcomes += _judge_unchanged(unchanged, unmatched, version)
    matched |= {outcome.offered_region for outcome in outcomes}
    unmatched = [region for region in unmatched if region.region not in matched]
    imported = [region for id, region in regions_by_id.items() if id not in ids and _is_imported(region)]
    outcomes += [_compare(region, "imported", None) for region in imported]
    known = [*unchanged, *imported]
    strangers = [region for id, region in regions_by_id.items() if id not in ids and region not in known]
    outcomes += _judge_strangers(strangers, unmatched)
    matched |= {outcome.offered_region for outcome in outcomes}
    return outcomes + [_judge_deleted(region) for region in unmatched if region.region not in matched]


def _is_imported(region: DrawnRegion) -> bool:
    """Whether it was imported as an annotation; what was imported as a prediction was offered."""
    return region.is_imported and not region.origin.startswith("prediction")


def _judge_by_id(region: DrawnRegion, offered: OfferedRegions) -> RegionOutcome:
    """A region with an id that was offered, for this task or another one."""
    if region.id not in offered.by_id:
        return RegionOutcome(region.id, "foreign", region.label, region.expression, mask=region.mask)
    own = offered.by_id[region.id]
    first = own.first or offered.by_id.get(own.instead_of or "")
    if first and (
        own.instead_of or overlap(region.mask, first.mask) < SAME
    ):  # the annotator chose a further candidate: it is compared with the one that was offered first
        return _compare(region, "replaced", first)
    if overlap(region.mask, own.mask) >= SAME:
        return _compare(region, "accepted", own)
    is_other_candidate = overlaps([region.mask], own.candidates).max(initial=0) >= SAME
    return _compare(region, "replaced" if is_other_candidate else "edited", own)


def _judge_unchanged(
    regions: Sequence[DrawnRegion], offered: Sequence[OfferedRegion], version: AnnotationVersion
) -> list[RegionOutcome]:
    """Regions that Label Studio marks as unchanged predictions, under new ids: copies of offered regions."""
    ious = overlaps([region.mask for region in regions], [each.mask for each in offered])
    match_of = dict(assign(ious, SAME)) if ious.size else {}
    return [
        _compare(region, "accepted", offered[match_of[i]] if i in match_of else _assumed_offer(region, version))
        for i, region in enumerate(regions)
    ]


def _judge_strangers(regions: Sequence[DrawnRegion], offered: Sequence[OfferedRegion]) -> list[RegionOutcome]:
    """Regions with ids that were never offered: copies of an offered region or of another candidate, or drawn by hand."""
    choices = [(each, each.mask, True) for each in offered]
    choices += [(each, mask, False) for each in _one_per_query(offered) for mask in each.candidates]
    ious = overlaps([region.mask for region in regions], [mask for _, mask, _ in choices])
    match_of = dict(assign(ious, MATCHES)) if ious.size else {}
    outcomes = []
    for i, region in enumerate(regions):
        if i not in match_of:
            outcomes.append(_compare(region, "edited" if region.origin == "prediction-changed" else "missed", None))
            continue
        match, mask, is_offered = choices[match_of[i]]
        name: Name = "replaced" if not is_offered else "accepted" if overlap(region.mask, mask) >= SAME else "edited"
        outcomes.append(_compare(region, name, match))
    return outcomes


def _judge_deleted(offered: OfferedRegion) -> RegionOutcome:
    return RegionOutcome(
        region=offered.region,
        outcome="rejected" if offered.by == "bulk" else "unanswered",
        label=offered.label,
        expression=offered.expression or None,
        offered_region=offered.region,
        offered_by=offered.by,
        score=offered.score,
        model_version=offered.model_version,
        offered_mask=offered.mask,
    )


def _compare(region: DrawnRegion, name: Name, offered: OfferedRegion | None) -> RegionOutcome:
    if offered is None:
        return RegionOutcome(region.id, name, region.label, region.expression, mask=region.mask)
    offered_area = area(offered.mask)
    return RegionOutcome(
        region=region.id,
        outcome=name,
        label=region.label,
        expression=region.expression,
        offered_region=offered.region,
        offered_by=offered.by,
        iou=overlap(region.mask, offered.mask),
        boundary_iou=boundary_overlap(region.mask, offered.mask),
        area_change=(area(region.mask) - offered_area) / offered_area if offered_area else None,
        is_relabelled=region.label != offered.label,
        is_refined=region.is_refined,
        is_reworded=bool(offered.expression) and _fold(region.expression) != _fold(offered.expression),
        score=offered.score,
        model_version=offered.model_version,
        mask=region.mask,
        offered_mask=offered.mask,
    )


def _assumed_offer(region: DrawnRegion, version: AnnotationVersion) -> OfferedRegion:
    """The offered region of an unchanged one whose prediction is not known, or not yet: it must have been equal."""
    query = f"prediction {version.parent_prediction}"
    return OfferedRegion(region.id, "bulk", query, region.label, region.expression or "", region.score, "", region.mask)


def _one_per_query(offered: Sequence[OfferedRegion]) -> list[OfferedRegion]:
    # the regions of one query share their other candidates, which must not be matched twice
    return list({each.query: each for each in reversed(offered)}.values())


def _fold(text: str | None) -> str:
    return " ".join((text or "").casefold().split())
