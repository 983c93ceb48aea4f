"""`ris serve | worker | up | down`: the programs that answer Label Studio, one by one or all on this machine."""

import os
from typing import Annotated

import typer

from backend.base.logs import configure_logging
from backend.settings.environment import read_settings


def serve() -> None:
    """Run the HTTP backend that Label Studio calls. Workers compute the answers."""
    import uvicorn

    from backend.commands.pages import open_pages
    from backend.http import edge
    from backend.http.app import create_app

    settings = read_settings()
    settings.check_host()
    configure_logging(settings.log_level)
    app = create_app(settings)
    if settings.serves_pages:
        app.mount("/ui", open_pages(settings))
    uvicorn.run(
        edge.guard(app, settings),
        host=settings.host,
        port=settings.port,
        http=edge.PunctualProtocol,
        log_config=None,
        access_log=False,
    )


def worker(
    device: Annotated[str | None, typer.Option(help="Torch device, as in cuda:1; DEVICE if not given.")] = None,
) -> None:
    """Run one worker. It loads the models once and answers one request after another."""
    from backend.worker import worker as rq_worker

    if device:
        os.environ["DEVICE"] = device
    settings = read_settings()
    configure_logging(settings.log_level)
    rq_worker.run_worker(settings)


def up() -> None:
    """Start Redis, a worker and the backend on this machine. The worker is restarted if it ends; what already runs is kept."""
    from backend.commands.studio import open_label_studio
    from backend.inference.own_profile import look_up_profile
    from backend.label_studio.projects_api import read_user_email
    from backend.local import stack
    from backend.local.progress import Steps

    settings = read_settings()
    configure_logging("WARNING")
    studio = open_label_studio(settings) if settings.label_studio_url else None
    steps = Steps([*stack.STEPS, *(["Label Studio"] if studio else [])])
    with stack.lock(settings.state_dir):
        running = stack.up(settings, steps)
    choice = look_up_profile(settings.profile, settings.sql_url, settings.device)
    if studio:
        with steps.take("Label Studio") as step:
            step.note = f"{studio.url} knows us as {read_user_email(studio)}"
    print(
        f"\nThe profile is {choice.profile}: {choice.reason}. {'' if settings.profile else 'RIS_PROFILE chooses another.'}".rstrip()
    )
    print(f"The backend answers at {running.backend_url}. Connect a project: ris connect --project NUMBER")


def down() -> None:
    """Stop everything that was started with this state folder."""
    from backend.base.terminal import Progress
    from backend.local import stack

    settings = read_settings()
    stopped = []
    if settings.state_dir.is_dir():  # if not, nothing runs, and taking the lock would create the folder
        with stack.lock(settings.state_dir), Progress("Stopping"):
            stopped = list(stack.down(settings.state_dir))
    if stopped:
        print(f"Stopped: {', '.join(stopped)}.")
    else:
        print(f"Nothing that was started with {settings.state_dir} is running.")
