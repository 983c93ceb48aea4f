"""Reads corrections for the commands: the stored records, completed from Label Studio."""

import sys
from typing import TYPE_CHECKING

from backend.base.terminal import Progress
from backend.commands.state import open_corrections, profile_of
from backend.commands.studio import is_known, open_label_studio
from backend.label_studio.client import RequestRefused
from backend.label_studio.task_listing import NOT_FOUND
from backend.settings.environment import Settings
from ris_core.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable

    from backend.corrections.queries import Correction
    from backend.corrections.store import CorrectionStore


def open_reconciled(
    settings: Settings, project: int, offline: bool, with_predictions: bool = False
) -> "CorrectionStore":
    """The records of corrections; unless `offline`, with what no webhook reported fetched from Label Studio.

    Args:
        with_predictions: Also fetch every prediction of the project.

    Raises:
        BadSettings: If there is no database where the settings point.
        Unreachable: If Label Studio is set but does not answer.
        BadInput: If it has no such project.
    """
    correction_store = open_corrections(settings)
    if offline:
        return correction_store
    if not is_known(settings):
        print(
            "note: missing records cannot be fetched from Label Studio. Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, "
            "or give --offline.",
            file=sys.stderr,
        )
        return correction_store
    from backend.corrections.reconciler import reconcile

    with Progress(f"Comparing the records with project {project} in Label Studio"):
        studio = open_label_studio(settings)
        try:
            reconcile(studio, correction_store, project, is_thorough=True, with_predictions=with_predictions)
        except RequestRefused as error:
            if error.status != NOT_FOUND:
                raise
            raise _no_project(correction_store, studio.url, project) from error
    return correction_store


def _no_project(correction_store: "CorrectionStore", url: str, project: int) -> BadInput:
    from backend.corrections.queries import list_projects

    with correction_store.reading() as db:
        recorded = [str(one) for one in list_projects(db) if one != project]
    known = f"Annotations are recorded of {', '.join(recorded)}. " if recorded else ""
    return BadInput(
        f"Label Studio at {url} has no project {project} that the owner of LABEL_STUDIO_API_KEY may see.",
        f"{known}Take the number from the project's address, as the 3 in {url}/projects/3/data.",
    )


def find_project(settings: Settings, task: str, offline: bool) -> int:
    """The project of a task, from the records or from Label Studio.

    Raises:
        BadInput: If several projects have a task of this number, or none is known.
    """
    from backend.corrections.queries import find_projects

    correction_store = open_corrections(settings)
    with correction_store.reading() as db:
        projects = find_projects(db, task)
    if len(projects) > 1:
        raise BadInput(
            f"Several projects have records of a task {task}: {', '.join(map(str, projects))}.",
            "Choose one with --project.",
        )
    if projects:
        return projects[0]
    if not offline and is_known(settings):
        from backend.label_studio.task_listing import find_task_project

        with Progress(f"Looking for task {task} in Label Studio"):
            project = find_task_project(open_label_studio(settings), task)
        if project is not None:
            return project
    raise BadInput(
        f"There are no records of task {task}.", "`ris corrections list --project N` shows the tasks with records."
    )


def split_names(text: str) -> tuple[str, ...]:
    """The names in "accepted,edited"."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def find_group(settings: Settings, name: str) -> "Callable[[Correction], str]":
    """The function that names a correction's group.

    Raises:
        UnknownName: If corrections cannot be grouped by this.
    """
    from backend.corrections.statistics import GROUPS

    if name == "kind":
        return by_kind(settings)
    if name not in GROUPS:
        raise UnknownName(f"Corrections cannot be grouped by {name!r}.", f"Available: {', '.join([*GROUPS, 'kind'])}.")
    return GROUPS[name]


def by_kind(settings: Settings) -> "Callable[[Correction], str]":
    """The function that names the kind of a correction's expression; the profile's parser reads each expression once."""
    from functools import cache

    from ris_core.errors import BadExpression
    from ris_core.evaluation.kinds import kind_of
    from ris_core.profiles import load_parser
    from ris_core.runtime import weights

    profile = profile_of(settings)
    with Progress(f"Loading the parser of the profile {profile}"):
        parser = load_parser(
            profile,
            weights.WeightStore(settings.model_dir, mirrors=settings.model_mirrors),
            **settings.component_overrides,
        )

    @cache
    def read(text: str) -> str:
        try:
            return kind_of(parser.parse(text))
        except BadExpression:
            return "unreadable"

    return lambda correction: read(correction.outcome.expression) if correction.outcome.expression else "-"
