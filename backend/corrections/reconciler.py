"""Fetches the changes whose webhooks were lost: Label Studio waits one second for a webhook and never repeats it.

Tasks are listed by `updated_at`. An annotation that is missing in a list is not a proof. It counts as deleted if an event says so;
if Label Studio answers 404 for it while its project can still be read; or if its task's list lacks it and has as many annotations
as the task's own counts say. An answer that Label Studio never gives ends the pass: nothing is deleted, and the next pass begins
at the same time.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from backend.corrections.store import CorrectionStore
from backend.label_studio import task_listing
from backend.label_studio.annotation_layout import AnnotationLayout
from backend.label_studio.annotations import AnnotationEvent, read_prediction, read_version
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.task_listing import ListedTask, UnexpectedAnswer
from ris_core.errors import BadInput

log = structlog.get_logger(__name__)

OVERLAP_S = 60.0
"""Overlap of two passes: an annotation becomes visible later than its `updated_at`, when its transaction ends."""
ASK_AGAIN_S = 0.5
"""Pause before a task whose counts contradict its list is fetched again: an annotation may have been saved between the two."""

NO_COUNT = -1
"""Count of a task that is not listed any more."""


def reconcile(
    studio: LabelStudioClient,
    correction_store: CorrectionStore,
    project: int,
    *,
    is_thorough: bool = False,
    with_predictions: bool = False,
) -> int:
    """Add the facts that are missing; returns their number.

    Args:
        is_thorough: Also find annotations that were deleted together with their tasks, by counting those of every task.
        with_predictions: Also store every prediction, for exports of predictions.

    Raises:
        Unreachable: If the database or Label Studio does not answer, or something else answers in place of Label Studio.
        BadSettings: If its token is not accepted.
        RequestRefused: If there is no such project.
    """
    reconciliation = _Reconciliation(studio, correction_store, project, with_predictions)
    until = task_listing.newest_change(studio, project)  # before the listing: later changes belong to the next pass
    since = None if with_predictions else correction_store.seen_until(project)
    for page in task_listing.changed_tasks(studio, project, reconciliation.layout, since, OVERLAP_S):
        for task in page:
            reconciliation.add_task(task)
    for prediction in sorted(correction_store.unknown_predictions(project)):
        reconciliation.add_prediction(prediction)
    if is_thorough:
        reconciliation.check_counts()
    reconciliation.finish()
    if until:
        correction_store.set_seen_until(project, until)
    if reconciliation.added:
        log.info("reconciled", project=project, added=reconciliation.added)
    return reconciliation.added


class _Reconciliation:
    """One pass over a project.

    Attributes:
        layout: What its label config says.
        added: Number of new facts.
    """

    def __init__(
        self, studio: LabelStudioClient, correction_store: CorrectionStore, project: int, with_predictions: bool
    ) -> None:
        self._studio, self._correction_store, self._project = studio, correction_store, project
        self._with_predictions = with_predictions
        self._began_at = time.time()
        self.layout = task_listing.read_project_layout(studio, project)
        # read before any request: an annotation that an event adds meanwhile must not look missing in older lists
        self._recorded = defaultdict[str, set[int]](set)
        for annotation, task in correction_store.live_annotations(project).items():
            self._recorded[task].add(annotation)
        self._listed, self._deleted, self._doubtful = set[int](), set[int](), set[int]()
        self.added = 0

    def add_task(self, task: ListedTask) -> None:
        """Add a task's annotations, and note which recorded ones it lacks."""
        if len(task.versions) != task.counted:
            task = self._fetch_again(task)
        annotations = {version.annotation for version in task.versions}
        self._listed |= annotations
        missing = self._recorded[task.id] - annotations
        if task.counted == NO_COUNT:
            self._doubtful |= missing
        else:
            self._deleted |= missing
        for version in task.versions:
            for problem in version.problems:
                log.warning("part of an annotation cannot be read", annotation=version.annotation, problem=problem)
        predictions = [
            read_prediction(prediction, self._project, task.id, task.data, self.layout)
            for prediction in (task.predictions if self._with_predictions else ())
        ]
        event = AnnotationEvent(self._project, task.versions)
        self.added += self._correction_store.add(event, "api", predictions, self._began_at)

    def add_prediction(self, prediction: int) -> None:
        """Add a prediction from which an annotation began, unless it was deleted."""
        # a prediction of another project is not taken: the event that named it is forged
        stored = task_listing.find_prediction(self._studio, self._project, prediction, self.layout)
        if stored:
            self.added += self._correction_store.add(AnnotationEvent(self._project), "api", [stored])

    def check_counts(self) -> None:
        """List every task anew that has fewer annotations than are recorded; those of a task that is gone are in doubt."""
        counts = task_listing.count_annotations(self._studio, self._project)
        for task, annotations in self._recorded.items():
            unchecked = annotations - self._deleted - self._doubtful
            if task not in counts:
                self._doubtful |= unchecked
            elif len(unchecked) > counts[task]:
                listed_task = task_listing.list_task(self._studio, self._project, task, self.layout)
                if listed_task:
                    self.add_task(listed_task)
                else:  # it was deleted meanwhile
                    self._doubtful |= unchecked

    def finish(self) -> None:
        """Ask for each annotation in doubt, and record the deletions."""
        self._deleted -= self._listed  # moved to another task, not deleted
        for annotation in sorted(self._doubtful - self._deleted - self._listed):
            content = task_listing.ask_annotation(self._studio, annotation)
            if content is None:
                self._deleted.add(annotation)
            else:
                self._add_unlisted(content)
        if self._deleted:
            # raises if the project cannot be read any more: then every 404 above proves nothing
            task_listing.read_project_layout(self._studio, self._project)
            deleted = tuple(sorted(self._deleted))
            self.added += self._correction_store.add(AnnotationEvent(self._project, deleted=deleted), "absence")

    def _fetch_again(self, task: ListedTask) -> ListedTask:
        """A task whose counts and list agree; with `NO_COUNT` and no annotations if it is not listed any more."""
        time.sleep(ASK_AGAIN_S)
        again = task_listing.list_task(self._studio, self._project, task.id, self.layout)
        if again is None:
            return replace(task, versions=(), counted=NO_COUNT)
        if len(again.versions) == again.counted:
            return again
        raise UnexpectedAnswer(
            f"Label Studio lists {len(again.versions)} annotations of task {task.id} and says that it has {again.counted}. "
            "Nothing was recorded as deleted.",
            "Try again. If it stays so, Label Studio's counts are wrong: save any annotation of the task, or run "
            "`label-studio calculate_stats_all_orgs --from-scratch` on its server.",
        )

    def _add_unlisted(self, annotation: Mapping[str, Any]) -> None:
        """Add an annotation that exists but was not listed: it is in another task or project now."""
        try:
            place = read_version(annotation, None, {}, AnnotationLayout())
            layout = (
                self.layout
                if place.project == self._project
                else task_listing.read_project_layout(self._studio, place.project)
            )
            data = {place.task: task_listing.task_data(self._studio, place.task)}
            version = read_version(annotation, None, data, layout)
        except BadInput as error:
            raise UnexpectedAnswer(
                f"Label Studio sent an annotation that cannot be read ({error}). Nothing was recorded as deleted.",
                task_listing.REMEDY,
            ) from error
        self.added += self._correction_store.add(
            AnnotationEvent(version.project, (version,)), "api", seen_at=self._began_at
        )
