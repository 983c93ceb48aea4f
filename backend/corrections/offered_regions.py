"""Which regions were offered to the annotator of an annotation: those of recorded answers, bulk runs and stored predictions."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from backend.corrections.answer_regions import add_first_versions, read_answers, read_former_versions, read_recorded_ids
from backend.corrections.bulk_regions import read_prediction_regions, read_run_regions
from backend.corrections.outcomes import OfferedRegion, OfferedRegions
from backend.label_studio.annotations import AnnotationVersion
from backend.label_studio.drawn_regions import DrawnRegion


class OfferedRegionsOfTask:
    """Every region that was ever offered for one task. The rows are read once and serve all annotations of the task."""

    def __init__(self, db: sa.Connection, project: int, task: str) -> None:
        self._db, self._task = db, task
        # by region id: the region, and the request or the run's prediction that it came with
        self._regions, self._origins, chosen = read_answers(db, project, task)
        self._former = read_former_versions(db, project, task, self._regions)
        add_first_versions(self._regions, self._former, chosen)
        for region, origin in read_run_regions(db, project, task):
            self._regions[region.region], self._origins[region.region] = region, origin
        self._predictions = read_prediction_regions(db, project, task)
        # last, and without replacing: Label Studio's copy of a region knows less than our own record of it
        for regions in self._predictions.values():
            for region in regions:
                self._regions.setdefault(region.region, region)

    def offered_for(self, version: AnnotationVersion, others: Sequence[AnnotationVersion]) -> OfferedRegions:
        """The regions by which a version of an annotation is judged.

        Args:
            others: All other versions of the task's annotations, of any annotator.
        """
        submissions = [
            other.updated_at
            for other in others
            if other.annotation == version.annotation and other.updated_at < version.updated_at
        ]
        own_ids, foreign_ids = _ids_in_use(version, others)
        interactive = [
            region
            for region in self._regions.values()
            if region.by == "interactive"
            and max(submissions, default=0.0) < region.at <= version.updated_at
            and _is_for(region, version, own_ids, foreign_ids)
        ]
        strangers = [saved_region for saved_region in version.regions if saved_region.id not in self._regions]
        return OfferedRegions(
            bulk=self._bulk_for(version),
            interactive=interactive,
            by_id=self._regions_at(version.updated_at),
            foreign=self._find_foreign(strangers),
        )

    def newest_bulk(self) -> list[OfferedRegion]:
        """The regions of the newest prediction, whether or not an annotator has seen it."""
        bulk = [region for region in self._regions.values() if region.by == "bulk" and region.instead_of is None]
        if not bulk:
            return []
        newest = max(bulk, key=_age_order)
        if origin := self._origins.get(newest.region):
            return [region for region in bulk if self._origins.get(region.region) == origin]
        # only Label Studio knows it: of several predictions with this region, the one with the highest id is the newest
        groups = {id: {region.region for region in regions} for id, regions in self._predictions.items()}
        newest_ids = next((ids for _, ids in sorted(groups.items(), reverse=True) if newest.region in ids), set())
        return [region for region in bulk if region.region in newest_ids]

    def _bulk_for(self, version: AnnotationVersion) -> list[OfferedRegion]:
        """The regions of the prediction from which an annotation began.

        Usually its id is known. It is not if the prediction was made while the task was opened: Label Studio does not report
        the id then. The prediction is found by a region of it that is still in the annotation, or else it is the last one
        before the annotation was created.
        """
        if version.parent_prediction is None:
            return []
        if (regions := self._predictions.get(version.parent_prediction)) is not None:
            return [self._regions[region.region] for region in regions]
        bulk = {id: region for id, region in self._regions.items() if region.by == "bulk" and id in self._origins}
        still_there = [self._origins[saved_region.id] for saved_region in version.regions if saved_region.id in bulk]
        earlier = [region for region in bulk.values() if region.at <= version.created_at and region.instead_of is None]
        last = [self._origins[max(earlier, key=_age_order).region]] if earlier else []
        origin = next(iter([*still_there, *last]), None)
        return [region for id, region in bulk.items() if self._origins[id] == origin]

    def _regions_at(self, time: float) -> dict[str, OfferedRegion]:
        """Every region by id, in its last version before a time; in its only one if that is later."""
        former = {region.region: region for region in self._former if region.at <= time}
        return {id: former.get(id, region) if region.at > time else region for id, region in self._regions.items()}

    def _find_foreign(self, strangers: Sequence[DrawnRegion]) -> frozenset[str]:
        """Ids of regions that were offered for another task, by our record or by what the region itself says."""
        if not strangers:
            return frozenset()
        recorded = read_recorded_ids(self._db, [region.id for region in strangers])
        return recorded | {region.id for region in strangers if region.made_for not in (None, self._task)}


def _age_order(region: OfferedRegion) -> tuple[float, str]:
    return region.at, region.region


def _ids_in_use(version: AnnotationVersion, others: Iterable[AnnotationVersion]) -> tuple[set[str], set[str]]:
    """Ids of prompts and regions in an annotation, and in the others of its task: a person may have two open, in two tabs."""
    own: set[str] = set()
    foreign: set[str] = set()
    for each in (version, *others):
        ids = {id for id, _ in each.texts} | {region.id for region in each.regions}
        (own if each.annotation == version.annotation else foreign).update(ids)
    return own, foreign


def _is_for(region: OfferedRegion, version: AnnotationVersion, own_ids: set[str], foreign_ids: set[str]) -> bool:
    """Whether an answer was for this annotation.

    Ids that are in some annotation decide; else the request's user, if Label Studio sent one; else it may be anybody's.
    """
    ids = {region.prompt, region.region} - {None}
    if ids & (own_ids | foreign_ids):
        return bool(ids & own_ids)
    if region.prompt and version.texts:  # typed in another tab, whose annotation is not saved yet
        return False
    return region.user is None or version.annotator is None or region.user == version.annotator
