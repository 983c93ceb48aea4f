"""`ris warm`: encodes a project's images in advance."""

from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.terminal import Progress
from backend.commands.options import OnlyUnlabelled, Project, Tasks, View
from backend.commands.run_start import plan_here
from backend.commands.run_status import show
from backend.commands.state import open_runs
from backend.commands.studio import open_run_client
from backend.settings.environment import Settings, read_settings

if TYPE_CHECKING:
    from backend.runs.spec import RunSpec


def warm(
    project: Project,
    prompts: Annotated[
        bool, typer.Option("--prompts", help="Also store the features that answer clicks and boxes.")
    ] = False,
    tasks: Tasks = None,
    view: View = None,
    only_unlabelled: OnlyUnlabelled = False,
    name: Annotated[str, typer.Option(help="Name of the run.")] = "",
) -> None:
    """Encode a project's images in advance, as a bulk run. Annotators then do not wait when they open tasks."""
    from backend.runs.spec import RunSpec, read_tasks

    spec = RunSpec(
        project=project,
        kind="warm",
        tasks=read_tasks(tasks) if tasks else None,
        view=view,
        only_unlabelled=only_unlabelled,
        name=name,
        prompts=prompts,
    )
    settings = read_settings()
    _check_cache_limit(settings, spec)
    run_store = open_runs(settings)
    run = plan_here(settings, run_store, spec)
    show(settings, run_store, run.id)


def _check_cache_limit(settings: Settings, spec: "RunSpec") -> None:
    """Refuse to encode more images than the cache can hold.

    Raises:
        CacheTooSmall: If the first images would be deleted before the last are encoded.
    """
    from backend.inference.cache_room import check_room
    from backend.inference.feature_cache import FeatureCache

    studio = open_run_client(settings)
    with Progress(f"Counting the tasks of project {spec.project}"):
        studio.label_config(spec)  # an error here names the project; the one of counting tasks would not
        count = studio.count_tasks(spec)
    cache = FeatureCache(settings.state_dir / "features", settings.cache_bytes, settings.click_cache_bytes)
    check_room(cache, count, with_clicks=spec.prompts)
