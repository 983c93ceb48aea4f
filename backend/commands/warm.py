"""`ris warm`: a project's images encoded beforehand."""

from typing import TYPE_CHECKING, Annotated

import typer

from backend.commands.run import Project, Tasks, Unlabelled, View, open_ledger, open_studio, plan_here, show
from backend.settings.environment import Settings, read_settings

if TYPE_CHECKING:
    from backend.runs.spec import RunSpec

ROOM = 1.2
"""How much larger than the need the cache's limit should be: what annotators open comes on top."""


def warm(
    project: Project,
    prompts: Annotated[bool, typer.Option("--prompts", help="Also what clicks and boxes are answered from.")] = False,
    tasks: Tasks = None,
    view: View = None,
    only_unlabelled: Unlabelled = False,
    name: Annotated[str, typer.Option(help="What to call the run.")] = "",
) -> None:
    """Encode a project's images beforehand, so that nobody waits when tasks are opened; a run like others."""
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
    _check_room(settings, spec)
    run_store = open_ledger(settings)
    run = plan_here(settings, run_store, spec)
    show(settings, run_store, run.id)


def _check_room(settings: Settings, spec: "RunSpec") -> None:
    from backend.runs import preview
    from backend.runs.spec import BadRun

    studio = open_studio(settings)
    studio.label_config(spec)  # whether there is such a project at all
    number = studio.count_tasks(spec)
    need = preview.bytes_of_an_image(settings.state_dir / "features") * number * (2 if spec.prompts else 1)
    if need > settings.cache_bytes:
        raise BadRun(
            f"The feature cache holds {preview.show_bytes(settings.cache_bytes)}, and {number} images need about "
            f"{preview.show_bytes(need)}: the first would be out again before the last is in. Set CACHE_BYTES={round(need * ROOM)} "
            "for the workers and here, or choose fewer with --tasks."
        )
