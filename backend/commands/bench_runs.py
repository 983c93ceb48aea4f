"""`ris bench chaos`, `hosts`, `bulk`, `import` and `export`: runs under failures and load, and data sets in and out."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from backend.base.terminal import Progress
from backend.commands.options import AsJson


def chaos(
    tasks: Annotated[int, typer.Option(min=1, help="Number of tasks of each run.")] = 300,
    kills: Annotated[int, typer.Option(min=0, help="Number of times that a worker is killed.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the random failures.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Kill services during bulk runs. Then counts lost and repeated answers."""
    from benchmarks import label_studio_server
    from benchmarks.chaos import wreak
    from benchmarks.environment import BenchmarkEnvironment, LoadPlan

    folder = Path(tempfile.mkdtemp(prefix="ris-chaos-"))
    with Progress("Starting Label Studio") as progress, label_studio_server.running(folder) as studio:
        progress.say("Running while services are killed")
        plan = LoadPlan(tasks=tasks, kills=kills, seed=seed)
        report = wreak(BenchmarkEnvironment(folder / "site", plan, studio.url, studio.token, studio.restart))
    print(report.to_json() if as_json else report.to_markdown())
    shutil.rmtree(folder, ignore_errors=True)  # not reached after an error: the logs are needed then


def round_trip(
    images: Annotated[int, typer.Option(min=1, help="Number of images of the data set.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Import a data set into a real Label Studio twice, export it, and count what is not as it was."""
    from benchmarks import label_studio_server
    from benchmarks.round_trip import measure

    folder = Path(tempfile.mkdtemp(prefix="ris-round-trip-"))
    with Progress("Starting Label Studio") as progress, label_studio_server.running(folder) as studio:
        progress.say(f"Importing and exporting {images:,} images")
        report = measure(folder, studio, images)
    print(report.to_json() if as_json else report.to_markdown())
    shutil.rmtree(folder, ignore_errors=True)  # not reached after an error: the logs are needed then


def formats(
    regions: Annotated[int, typer.Option(min=20, help="Number of regions, of which each image has 20.")] = 100_000,
    only: Annotated[str, typer.Option("--format", help="Measure this format only.")] = "",
    as_json: AsJson = False,
) -> None:
    """Export many regions in each format. Measures memory, time and disk space."""
    from benchmarks.exporting import measure, to_json, to_markdown

    folder = Path(tempfile.mkdtemp(prefix="ris-export-"))
    try:
        with Progress("Exporting") as progress:
            costs = measure(folder, regions, (only,) if only else (), progress.say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(to_json(costs) if as_json else to_markdown(costs))


def hosts(
    tasks: Annotated[int, typer.Option(min=1, help="Number of tasks of the run.")] = 300,
    cuts: Annotated[int, typer.Option(min=1, help="Number of times that the link is cut.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of each cut.")] = 30.0,
) -> None:
    """Cut the network to a worker during a bulk run. Then counts lost and repeated answers; Linux, as root."""
    from benchmarks.hosts import Cuts, measure

    with Progress("Running while the network is cut"):
        report = measure(Cuts(tasks, cuts, seconds))
    print(report)


def bulk(
    tasks: Annotated[int, typer.Option(min=200, help="Number of tasks of the run whose memory is watched.")] = 1000,
    stages: Annotated[
        bool,
        typer.Option("--stages", help="Instead: how busy each stage of one worker is, and what overlapping gains."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure bulk runs. Prints the throughput of several workers, the waiting time of annotators, and memory growth."""
    from benchmarks import pipeline
    from benchmarks.bulk import measure

    if stages:
        with Progress("Measuring the stages of a worker"):
            overlap = pipeline.measure(tasks)
        print(overlap.to_json() if as_json else overlap.to_markdown())
        return
    with Progress("Measuring bulk runs"):
        report = measure(memory_tasks=tasks)
    print(report.to_json() if as_json else report.to_markdown())


def ledger(
    items: Annotated[int, typer.Option(min=1000, help="Number of items of the largest run.")] = 200_000,
    url: Annotated[
        str | None, typer.Option(help="An empty PostgreSQL database to measure, instead of SQLite. It keeps the items.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what each question about a run costs, with few items and with many."""
    from benchmarks.ledger import measure

    with Progress("Measuring questions about runs") as progress:
        figures = measure(items, url, progress.say)
    print(figures.to_json() if as_json else figures.to_markdown())
