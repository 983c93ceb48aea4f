"""What became of each region: a function of an annotation as it was saved and of what was offered. No SQL, no HTTP."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from backend.corrections.matching import area, assign, boundary_overlap, overlap, overlaps
from backend.label_studio.annotations import AnnotationVersion
from backend.label_studio.drawn_regions import DrawnRegion
from ris_core.geometry.masks import Rle

Name = Literal["accepted", "edited", "replaced", "rejected", "missed", "foreign", "unanswered"]

NAMES: tuple[Name, ...] = ("foreign", "accepted", "edited", "replaced", "rejected", "missed", "unanswered")
"""All outcomes, in the order in which they are shown: what needs a person first."""

SAME = 0.999
"""IoU from which a mask counts as not touched."""
MATCHES = 0.5
"""IoU from which a region of an unknown id counts as what was offered, or as another candidate of its query."""


@dataclass(frozen=True)
class OfferedRegion:
    """A region that was offered.

    Attributes:
        region: The id under which it was handed out.
        by: "bulk": it was there when the task was opened; "interactive": it answered an annotator.
        query: What it answers; offers and candidates of one query mean the same thing.
        expression: What was asked; empty for a click or box.
        at: When it was handed out, seconds since 1970.
        user: Label Studio's user id, if it was known.
        prompt: Id of the text that was typed into, if any.
        candidates: The masks that were found with it, without its own.
        instead_of: The region that was offered first for the same query, if this is another candidate.
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


@dataclass(frozen=True)
class OfferedRegions:
    """What was offered for an annotation.

    Attributes:
        bulk: The regions of the prediction that it began with.
        interactive: Answers on its task since its annotator's last submission, that no other annotator's are.
        known: Every region that was ever handed out for its task, by id.
        foreign: Ids that were handed out for other tasks.
    """

    bulk: Sequence[OfferedRegion] = ()
    interactive: Sequence[OfferedRegion] = ()
    known: Mapping[str, OfferedRegion] = field(default_factory=dict)
    foreign: Set[str] = frozenset()


@dataclass(frozen=True)
class RegionOutcome:
    """What became of a region.

    Attributes:
        region: Its id: Label Studio's, or if it is gone, the one that was handed out.
        outcome: "accepted" as offered; "edited"; "replaced" by another candidate of the same query; "rejected": of the
            bulk prediction, and gone; "missed": drawn by hand; "foreign": handed out for another task; "unanswered":
            suggested, and not taken.
        offered_region, offered_by: What it is compared with.
        iou, boundary_iou: With what was offered, in [0, 1]; None if nothing is known to compare with.
        area_change: Pixels added (or taken, if negative) per pixel offered.
        is_relabelled, is_reworded: Its label, or its expression, is not what was offered.
        mask: As it was saved; None if it is gone.
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
    score: float | None = None
    model_version: str | None = None
    mask: Rle | None = None
    offered_mask: Rle | None = None


def judge(version: AnnotationVersion, offered: OfferedRegions) -> list[RegionOutcome]:
    """What became of each region drawn and each region offered; nothing of a skipped task."""
    if version.was_cancelled:
        return []
    drawn = {region.id: region for region in version.regions}
    is_by_id = {id for id in drawn if id in offered.known or id in offered.foreign}
    judged = [_judge_known(drawn[id], offered) for id in drawn if id in is_by_id]
    taken = is_by_id | {one.offered_region for one in judged if one.outcome == "replaced"}
    open_offers = [offer for offer in (*offered.bulk, *offered.interactive) if offer.region not in taken]
    unchanged = [region for id, region in drawn.items() if id not in is_by_id and region.origin == "prediction"]
    judged += _judge_unchanged(unchanged, open_offers, version)
    taken |= {one.offered_region for one in judged}
    left = [offer for offer in open_offers if offer.region not in taken]
    strangers = [region for id, region in drawn.items() if id not in is_by_id and region not in unchanged]
    judged += _judge_strangers(strangers, left)
    taken |= {one.offered_region for one in judged}
    return judged + [_judge_gone(offer) for offer in left if offer.region not in taken]


def _judge_known(region: DrawnRegion, offered: OfferedRegions) -> RegionOutcome:
    """A region that has the id it was handed out with."""
    if region.id not in offered.known:
        return RegionOutcome(region.id, "foreign", region.label, region.expression, mask=region.mask)
    offer = offered.known[region.id]
    first = offered.known.get(offer.instead_of or "")
    if first:
        return _compare(region, "replaced", first)
    if overlap(region.mask, offer.mask) >= SAME:
        return _compare(region, "accepted", offer)
    is_other = overlaps([region.mask], offer.candidates).max(initial=0) >= SAME
    return _compare(region, "replaced" if is_other else "edited", offer)


def _judge_unchanged(
    regions: Sequence[DrawnRegion], offers: Sequence[OfferedRegion], version: AnnotationVersion
) -> list[RegionOutcome]:
    """Regions that Label Studio says are as predicted: copies, under ids of their own, of what was offered."""
    likeness = overlaps([region.mask for region in regions], [offer.mask for offer in offers])
    found = dict(assign(likeness, SAME)) if likeness.size else {}
    offer_of = [offers[found[i]] if i in found else _as_it_was(region, version) for i, region in enumerate(regions)]
    return [_compare(region, "accepted", offer) for region, offer in zip(regions, offer_of, strict=True)]


def _judge_strangers(regions: Sequence[DrawnRegion], offers: Sequence[OfferedRegion]) -> list[RegionOutcome]:
    """Regions of ids that were never handed out: copies of what was offered, other candidates of it, or drawn by hand."""
    choices = [(offer, offer.mask, True) for offer in offers]
    choices += [(offer, mask, False) for offer in _one_a_query(offers) for mask in offer.candidates]
    likeness = overlaps([region.mask for region in regions], [mask for _, mask, _ in choices])
    found = dict(assign(likeness, MATCHES)) if likeness.size else {}
    judged = []
    for i, region in enumerate(regions):
        if i not in found:
            judged.append(_compare(region, "edited" if region.origin == "prediction-changed" else "missed", None))
            continue
        offer, mask, is_offered = choices[found[i]]
        name: Name = "replaced" if not is_offered else "accepted" if overlap(region.mask, mask) >= SAME else "edited"
        judged.append(_compare(region, name, offer))
    return judged


def _judge_gone(offer: OfferedRegion) -> RegionOutcome:
    return RegionOutcome(
        region=offer.region,
        outcome="rejected" if offer.by == "bulk" else "unanswered",
        label=offer.label,
        expression=offer.expression or None,
        offered_region=offer.region,
        offered_by=offer.by,
        score=offer.score,
        model_version=offer.model_version,
        offered_mask=offer.mask,
    )


def _compare(region: DrawnRegion, name: Name, offer: OfferedRegion | None) -> RegionOutcome:
    own = RegionOutcome(region.id, name, region.label, region.expression, mask=region.mask)
    if offer is None:
        return own
    before = area(offer.mask)
    return RegionOutcome(
        region=region.id,
        outcome=name,
        label=region.label,
        expression=region.expression,
        offered_region=offer.region,
        offered_by=offer.by,
        iou=overlap(region.mask, offer.mask),
        boundary_iou=boundary_overlap(region.mask, offer.mask),
        area_change=(area(region.mask) - before) / before if before else None,
        is_relabelled=region.label != offer.label,
        is_reworded=bool(offer.expression) and _fold(region.expression) != _fold(offer.expression),
        score=offer.score,
        model_version=offer.model_version,
        mask=region.mask,
        offered_mask=offer.mask,
    )


def _as_it_was(region: DrawnRegion, version: AnnotationVersion) -> OfferedRegion:
    """What Label Studio says is as predicted, of a prediction that is not known (yet)."""
    query = f"prediction {version.parent_prediction}"
    return OfferedRegion(region.id, "bulk", query, region.label, region.expression or "", region.score, "", region.mask)


def _one_a_query(offers: Sequence[OfferedRegion]) -> list[OfferedRegion]:
    return list({offer.query: offer for offer in reversed(offers)}.values())


def _fold(text: str | None) -> str:
    return " ".join((text or "").casefold().split())
