"""What webhooks did not bring: Label Studio gives one a second and never repeats it, so its tasks are asked for by `updated_at`.

That something is not listed is no fact. An annotation is deleted if an event said so; if Label Studio says of the annotation
itself that it has none (404), while its project still answers; or if a task's list lacks it and is as long as the task's own
counts say. An answer that Label Studio never gives ends the look: nothing is deleted, and the next look begins where this did.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from backend.corrections.store import CorrectionStore
from backend.label_studio import task_listing
from backend.label_studio.annotations import AnnotationEvent, AnnotationLayout, read_prediction, read_version
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.task_listing import ListedTask, UnexpectedAnswer
from ris_core.errors import BadInput

log = structlog.get_logger(__name__)

OVERLAP_S = 60.0
"""So much is asked for again: what is saved in one moment can be seen in a later one."""
ASK_AGAIN_S = 0.5
"""After this, a task is asked for again whose list is not as long as it says: an annotation may have come between the two."""

NOTHING_SAID = -1
"""Count of a task that nothing counts."""


def reconcile(
    studio: LabelStudioClient,
    correction_store: CorrectionStore,
    project: int,
    *,
    is_thorough: bool = False,
    with_predictions: bool = False,
) -> int:
    """Add what is missing; how many facts were.

    Args:
        is_thorough: Also find annotations that went with their tasks: counts those of every task of the project.
        with_predictions: Also keep every prediction, for those who want data sets of them.

    Raises:
        Unreachable: If Label Studio or the database does not answer, or not as Label Studio does.
        BadSettings: If its token is not accepted.
        Refused: If there is no such project.
    """
    look = _Look(studio, correction_store, project, with_predictions)
    until = task_listing.newest_change(studio, project)
    since = None if with_predictions else correction_store.seen_until(project)
    for page in task_listing.changed_tasks(studio, project, look.layout, since, OVERLAP_S):
        for task in page:
            look.add_task(task)
    for prediction in sorted(correction_store.unknown_predictions(project)):
        look.add_prediction(prediction)
    if is_thorough:
        look.count()
    look.end()
    if until:
        correction_store.set_seen_until(project, until)
    if look.added:
        log.info("reconciled", project=project, added=look.added)
    return look.added


class _Look:
    """One look at a project.

    Attributes:
        layout: What its label config says.
        added: Facts that were new.
    """

    def __init__(
        self, studio: LabelStudioClient, correction_store: CorrectionStore, project: int, with_predictions: bool
    ) -> None:
        self._studio, self._correction_store, self._project = studio, correction_store, project
        self._with_predictions = with_predictions
        self._began_at = time.time()
        self.layout = task_listing.read_project_layout(studio, project)
        self._known = defaultdict[str, set[int]](set)  # before anything is asked: what comes meanwhile is not missing
        for annotation, task in correction_store.live_annotations(project).items():
            self._known[task].add(annotation)
        self._seen, self._gone, self._doubtful = set[int](), set[int](), set[int]()
        self.added = 0

    def add_task(self, task: ListedTask) -> None:
        """Add a task's annotations, and note which are not there any more."""
        if len(task.versions) != task.counted:
            task = self._ask_again(task)
        self._seen |= (here := {version.annotation for version in task.versions})
        missing = self._known[task.id] - here
        if task.counted == NOTHING_SAID:
            self._doubtful |= missing
        else:
            self._gone |= missing
        for version in task.versions:
            for problem in version.problems:
                log.warning("an annotation is not read wholly", annotation=version.annotation, problem=problem)
        predictions = [
            read_prediction(one, self._project, task.id, task.data, self.layout)
            for one in (task.predictions if self._with_predictions else ())
        ]
        event = AnnotationEvent(self._project, task.versions)
        self.added += self._correction_store.add(event, "api", predictions, self._began_at)

    def add_prediction(self, prediction: int) -> None:
        """Add a prediction that an annotation began with; one that is deleted is not known and stays so."""
        # one of another project was named by an event that is not to be believed
        read = task_listing.find_prediction(self._studio, self._project, prediction, self.layout)
        if read is None:
            return
        self.added += self._correction_store.add(AnnotationEvent(self._project), "api", [read])

    def count(self) -> None:
        """Look closer at every task that has fewer annotations than are known, or is not listed."""
        counted = task_listing.count_annotations(self._studio, self._project)
        for task, annotations in self._known.items():
            waiting = annotations - self._gone - self._doubtful
            if task not in counted:
                self._doubtful |= waiting
            elif len(waiting) > counted[task]:
                found = task_listing.list_task(self._studio, self._project, task, self.layout)
                if found:
                    self.add_task(found)
                else:  # it went meanwhile
                    self._doubtful |= waiting

    def end(self) -> None:
        """Ask for each annotation that is in doubt, and mark those that are deleted."""
        self._gone -= self._seen  # it was moved to another task
        for annotation in sorted(self._doubtful - self._gone - self._seen):
            found = task_listing.ask_annotation(self._studio, annotation)
            if found is None:
                self._gone.add(annotation)
            else:
                self._add_found(found)
        if self._gone:
            task_listing.read_project_layout(
                self._studio, self._project
            )  # it is no proof if the project is not to be seen any more
            deleted = tuple(sorted(self._gone))
            self.added += self._correction_store.add(AnnotationEvent(self._project, deleted=deleted), "absence")

    def _ask_again(self, task: ListedTask) -> ListedTask:
        time.sleep(ASK_AGAIN_S)
        again = task_listing.list_task(self._studio, self._project, task.id, self.layout)
        if again is None:  # it went meanwhile: what is known of it is in doubt
            return replace(task, versions=(), counted=NOTHING_SAID)
        if len(again.versions) == again.counted:
            return again
        raise UnexpectedAnswer(
            f"Label Studio lists {len(again.versions)} annotations of task {task.id} and says that it has {again.counted}; "
            "nothing was deleted for that.",
            "Ask again. If it stays so, the counts are wrong: save any annotation of the task, or let "
            "`label-studio calculate_stats_all_orgs --from-scratch` there compute them anew.",
        )

    def _add_found(self, annotation: Mapping[str, Any]) -> None:
        """Add an annotation that is there, though not in the list of its task."""
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
                f"Label Studio answers an annotation that cannot be read ({error}); nothing was deleted for it.",
                task_listing.REMEDY,
            ) from error
        self.added += self._correction_store.add(
            AnnotationEvent(version.project, (version,)), "api", seen_at=self._began_at
        )
