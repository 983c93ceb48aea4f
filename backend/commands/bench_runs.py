"""`ris bench chaos`, `hosts` and `bulk`: what runs bear, and what they cost."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def chaos(
    tasks: Annotated[int, typer.Option(min=1, help="Tasks of a run.")] = 300,
    kills: Annotated[int, typer.Option(min=0, help="How often a worker is killed.")] = 20,
    seed: Annotated[int, typer.Option(help="Of what is killed when.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Runs on a Label Studio of their own while workers, Redis, backend and Label Studio are killed; then all is counted."""
    from benchmarks import label_studio_server
    from benchmarks.chaos import wreak
    from benchmarks.environment import BenchmarkEnvironment, LoadPlan

    folder = Path(tempfile.mkdtemp(prefix="ris-chaos-"))
    with label_studio_server.running(folder) as studio:
        plan = LoadPlan(tasks=tasks, kills=kills, seed=seed)
        report = wreak(BenchmarkEnvironment(folder / "site", plan, studio.url, studio.token, studio.restart))
    print(report.to_json() if as_json else report.to_markdown())
    shutil.rmtree(folder, ignore_errors=True)  # kept if something went wrong


def hosts(
    tasks: Annotated[int, typer.Option(min=1, help="Tasks of the run.")] = 300,
    cuts: Annotated[int, typer.Option(min=1, help="How often the link is cut.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 30.0,
) -> None:
    """A run whose worker is on another host, while the link between is cut; then all is counted. Linux, as root."""
    from benchmarks.hosts import Cuts, measure

    print(measure(Cuts(tasks, cuts, seconds)))


def bulk(
    tasks: Annotated[int, typer.Option(min=200, help="Tasks of the run whose memory is watched.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """What workers add up to, what annotators wait while a run is at work, and whether memory grows."""
    from benchmarks.bulk import measure

    report = measure(memory_tasks=tasks)
    print(report.to_json() if as_json else report.to_markdown())
