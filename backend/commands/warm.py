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

MARGIN = 1.2
"""The cache limit that an error suggests, relative to the need: annotators open other images too."""


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
        BadRun: If the first images would be evicted before the last are encoded.
    """
    from backend.runs import preview
    from backend.runs.spec import BadRun

    studio = open_run_client(settings)
    with Progress(f"Counting the tasks of project {spec.project}"):
        studio.label_config(spec)  # an error here names the project; the one of counting tasks would not
        count = studio.count_tasks(spec)
    need = preview.bytes_of_an_image(settings.state_dir / "features") * count * (2 if spec.prompts else 1)
    if need > settings.cache_bytes:
        raise BadRun(
            f"The feature cache holds {preview.show_bytes(settings.cache_bytes)}, but {count} images need about "
            f"{preview.show_bytes(need)}: the first images would be deleted before the last are encoded. Set "
            f"CACHE_BYTES={round(need * MARGIN)} for the workers and for this command, or select fewer tasks with --tasks."
        )
