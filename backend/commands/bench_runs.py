"""`ris bench chaos` and `ris bench bulk`: what runs bear, and what they cost."""

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

START_TIMEOUT_S = 300.0
"""How long Label Studio may take to make its database."""


def chaos(
    tasks: Annotated[int, typer.Option(min=1, help="Tasks of a run.")] = 300,
    kills: Annotated[int, typer.Option(min=0, help="How often a worker is killed.")] = 20,
    seed: Annotated[int, typer.Option(help="Of what is killed when.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Runs on a Label Studio of their own while workers, Redis, backend and Label Studio are killed; then all is counted."""
    from backend import processes, stack
    from backend.bench.chaos import Plan, Site, wreak
    from demo import label_studio

    folder = Path(tempfile.mkdtemp(prefix="ris-chaos-"))
    try:
        known = label_studio.load_secrets(folder)
        program = label_studio.make_program(processes.free_port(), known, folder)

        def start() -> None:
            child = processes.launch(program, folder)
            processes.wait_until_ready(child, lambda: stack.answers(f"{child.address}/health"), START_TIMEOUT_S)

        def restart() -> None:
            child = processes.find(program.name, folder)
            if child and child.is_running:
                os.killpg(child.pid, signal.SIGKILL)
            start()

        start()
        plan = Plan(tasks=tasks, kills=kills, seed=seed)
        report = wreak(Site(folder / "site", plan, program.address, known.token, restart))
        print(report.to_json() if as_json else report.to_markdown())
    finally:
        list(stack.down(folder))
    shutil.rmtree(folder, ignore_errors=True)  # kept if something went wrong


def bulk(
    tasks: Annotated[int, typer.Option(min=200, help="Tasks of the run whose memory is watched.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """What workers add up to, what annotators wait while a run is at work, and whether memory grows."""
    from backend.bench.bulk import measure

    report = measure(memory_tasks=tasks)
    print(report.to_json() if as_json else report.to_markdown())
