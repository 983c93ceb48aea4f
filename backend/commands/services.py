"""`ris serve | worker | up | down`: the programs that answer Label Studio, each alone or all on this machine."""

import os
from typing import Annotated

import typer

from backend.base.logs import configure_logging
from backend.settings.environment import read_settings


def serve() -> None:
    """Answer Label Studio over HTTP; a worker does the work."""
    import uvicorn

    from backend.http import edge
    from backend.http.app import create_app

    settings = read_settings()
    settings.check_host()
    configure_logging(settings.log_level)
    uvicorn.run(
        edge.guard(create_app(settings), settings),
        host=settings.host,
        port=settings.port,
        http=edge.PunctualProtocol,
        log_config=None,
        access_log=False,
    )


def worker(
    device: Annotated[str | None, typer.Option(help="Torch device, as in cuda:1; DEVICE otherwise.")] = None,
) -> None:
    """Take jobs from the queue, one at a time, with the model loaded once."""
    from backend.worker import worker as rq_worker

    if device:
        os.environ["DEVICE"] = device
    settings = read_settings()
    configure_logging(settings.log_level)
    rq_worker.run_worker(settings)


def up() -> None:
    """Start Redis, a supervised worker and the backend on this machine; what runs already is kept."""
    from backend.commands.studio import open_label_studio
    from backend.local import stack
    from backend.local.progress import Steps

    settings = read_settings()
    configure_logging("WARNING")
    studio = open_label_studio(settings) if settings.label_studio_url else None
    steps = Steps([*stack.STEPS, *(["Label Studio"] if studio else [])])
    with stack.lock(settings.state_dir):
        running = stack.up(settings, steps)
    if studio:
        with steps.take("Label Studio") as step:
            step.note = f"{studio.url} knows us as {studio.request('GET', '/api/current-user/whoami')['email']}"
    print(f"\nThe backend answers at {running.backend_url}. Connect a project: ris connect --project NUMBER")


def down() -> None:
    """Stop exactly what was started with this state folder."""
    from backend.local import stack

    settings = read_settings()
    stopped = []
    if settings.state_dir.is_dir():  # else there is nothing, and none is made
        with stack.lock(settings.state_dir):
            stopped = list(stack.down(settings.state_dir))
    print(f"Stopped: {', '.join(stopped)}." if stopped else f"Nothing that was started with {settings.state_dir} runs.")
