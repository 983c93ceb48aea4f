"""`ris bench …`: measurements; each prints a report, and no number makes the command fail."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from backend.base.logs import configure_logging
from backend.base.terminal import Progress
from backend.commands.bench_runs import bulk, chaos, formats, hosts, ledger, round_trip
from backend.commands.options import AsJson, Profile
from backend.commands.state import profile_of
from backend.settings.environment import read_settings

RandomWeights = Annotated[bool, typer.Option(help="Use random weights of the true size; nothing is downloaded.")]

Before = Annotated[
    Path | None, typer.Option(help="Folder with an earlier version of this project, to be measured beside this one.")
]


def speed(
    profile: Profile = None,
    repeats: Annotated[int, typer.Option(min=0, help="Number of runs of each stage after the first.")] = 10,
    random_weights: RandomWeights = False,
    kept: Annotated[
        int, typer.Option(min=0, help="Switch SAM's filters off and encode so many of its masks; 0: keep the filters.")
    ] = 0,
    long_px: Annotated[int, typer.Option("--width", min=64, help="Width in pixels of the image, which is 4:3.")] = 640,
    as_json: AsJson = False,
) -> None:
    """Measure the time of each stage on this machine. Also measures memory."""
    from benchmarks.speed import measure

    settings = read_settings()
    name = profile or profile_of(settings)
    with Progress(f"Measuring the stages of the profile {name}"):
        report = measure(name, settings.device, repeats, random_weights, kept, long_px)
    print(report.to_json() if as_json else report.to_markdown())


def expression(
    profile: Profile = None,
    repeats: Annotated[int, typer.Option(min=1, help="Number of expressions of each kind.")] = 9,
    random_weights: RandomWeights = False,
    as_json: AsJson = False,
) -> None:
    """Measure the CPU time of one more expression on a picture that is encoded already."""
    from benchmarks.next_expression import measure

    settings = read_settings()
    name = profile or profile_of(settings)
    with Progress(f"Measuring expressions of the profile {name}") as progress:
        report = measure(name, settings.device, repeats, random_weights, progress.say)
    print(report.to_json() if as_json else report.to_markdown())


def requests(before: Before = None, as_json: AsJson = False) -> None:
    """Measure the CPU time of an expression over HTTP, by process, and what of it is not the answer."""
    from benchmarks import requesting

    with Progress("Asking 60 expressions"):
        costs = requesting.measure(before)
    print(requesting.to_json(costs) if as_json else requesting.to_markdown(costs))


def stages(
    before: Before = None,
    images: Annotated[int, typer.Option(min=0, help="Number of images of each run; 0: no runs.")] = 60,
    as_json: AsJson = False,
) -> None:
    """Compare each stage of a prompt and of a run with an earlier version. It takes half an hour."""
    from benchmarks.stages import measure, to_json, to_markdown

    with Progress("Measuring stages") as progress:
        rows = measure(before, images, progress.say)
    print(to_json(rows) if as_json else to_markdown(rows))


def masking(as_json: AsJson = False) -> None:
    """Compare features of masked tokens, all computed, with those outside a mask counted as one."""
    from benchmarks import masking

    with Progress("Encoding 180 masks both ways"):
        costs = masking.measure()
    print(masking.to_json(costs) if as_json else masking.to_markdown(costs))


def crops(
    scenes: Annotated[int, typer.Option(min=1, help="Number of synthetic scenes of each kind.")] = 60,
    as_json: AsJson = False,
) -> None:
    """Measure what answers lose, and pictures save, where only some proposals get a crop. It takes minutes."""
    from benchmarks import crops

    with Progress("Timing crops") as progress:
        costs = crops.measure_cost()
        segmenter = crops.load()
        losses = crops.measure_loss(segmenter, crops.read_crowded(segmenter, scenes, progress.say))
    print(crops.to_json(losses, costs) if as_json else crops.to_markdown(losses, costs))


def proposals(as_json: AsJson = False) -> None:
    """Compare the parts of SAM's proposals, in the ways of the proposer, with those of the package."""
    from benchmarks import proposing

    with Progress("Filtering 768 masks in three ways"):
        costs = proposing.measure()
    print(proposing.to_json(costs) if as_json else proposing.to_markdown(costs))


def annotators(
    profile: Profile = None,
    scenes: Annotated[int, typer.Option(min=1, help="Number of synthetic scenes.")] = 50,
    tasks: Annotated[int, typer.Option(min=0, help="Also do this many tasks by keys in the page of Label Studio.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Add up the actions and seconds that simulated annotators need. Compares each way of refining a mask with none."""
    from benchmarks.annotators import measure
    from demo.benchmark import read_scenes
    from ris_core import load_segmenter
    from ris_core.runtime import weights

    settings = read_settings()
    name = profile or profile_of(settings)
    with Progress(f"Loading the models of the profile {name}") as progress:
        store = weights.WeightStore(settings.model_dir, mirrors=settings.model_mirrors)
        segmenter = load_segmenter(name, device=settings.device, store=store, **settings.component_overrides)
        progress.say("Simulating annotators")
        report = measure(segmenter, read_scenes(), scenes, settings.top_k, progress.say)
    print(report.to_json() if as_json else report.to_markdown())
    if tasks:
        page(tasks=max(2, tasks), pictures=0, as_json=as_json)


def page(
    tasks: Annotated[int, typer.Option(min=2, help="Number of tasks that are done by keys.")] = 20,
    pictures: Annotated[int, typer.Option(min=0, help="Number of pictures that are opened one after the other.")] = 30,
    every: Annotated[float, typer.Option(min=0, help="Seconds between two of them.")] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Measure what an annotator waits for, in the real page of Label Studio in a browser."""
    from benchmarks.page import measure

    folder = Path(tempfile.mkdtemp(prefix="ris-page-"))
    with Progress("Starting") as progress:
        report = measure(folder, tasks, pictures, every, progress.say)
    print(report.to_json() if as_json else report.to_markdown())
    shutil.rmtree(folder, ignore_errors=True)  # not reached after an error: the logs are needed then


def reading(
    profile: Profile = None,
    split: Annotated[str, typer.Option(help="tune, to develop by, or test, which is held back.")] = "tune",
    as_json: AsJson = False,
) -> None:
    """Measure how many expressions are read as a person reads them, and the CPU time of reading one."""
    from benchmarks.reading import measure
    from ris_core.profiles import load_parser
    from ris_core.runtime import weights

    settings = read_settings()
    store = weights.WeightStore(settings.model_dir, mirrors=settings.model_mirrors)
    report = measure(load_parser(profile or profile_of(settings), store, settings.parser), split)
    print(report.to_json() if as_json else report.to_markdown())


def webhooks(
    events: Annotated[int, typer.Option(min=1, help="Number of events, sent as fast as they are accepted.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Measure how fast webhooks are answered and processed."""
    from benchmarks.webhooks import measure

    with Progress(f"Sending {events:,} webhook events"):
        report = measure(events)
    print(report.to_json() if as_json else report.to_markdown())


def audit(
    projects: Annotated[int, typer.Option(min=1, help="Number of simulated projects of each kind.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Count the decisions of quality review until the error is at most 2 %, with reviewers who overlook 10 %."""
    from benchmarks.audit import measure, to_json, to_markdown

    with Progress(f"Simulating {projects:,} projects of each kind"):
        costs = measure(projects)
    print(to_json(costs) if as_json else to_markdown(costs))


def learning(
    projects: Annotated[int, typer.Option(min=1, help="Number of simulated projects of each kind.")] = 20,
    plots: Annotated[Path | None, typer.Option(help="Draw learning curves instead, into this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what a calibrator learnt from 200 simulated corrections is worth. The first time takes minutes."""
    from benchmarks import learning_plots
    from benchmarks.learning import measure, to_json, to_markdown

    folder = read_settings().state_dir / "bench-learning"
    with Progress("Reading answers") as progress:
        if plots:
            drawn = learning_plots.measure(folder, projects, progress.say)
            file = drawn.write(plots)
            print(f"{drawn.to_markdown()}\n\nDrawn in {file}.")
            return
        results = measure(folder, projects, progress.say)
    print(to_json(results) if as_json else to_markdown(results))


def replay(
    profile: Profile = None,
    prompts: Annotated[int, typer.Option(min=5, help="Number of past prompts, five on an image.")] = 1_000,
    random_weights: RandomWeights = False,
    as_json: AsJson = False,
) -> None:
    """Measure what answering past prompts again takes, from features that are in the cache."""
    from benchmarks.replaying import measure

    settings = read_settings()
    name = profile or profile_of(settings)
    with Progress(f"Replaying with the profile {name}") as progress:
        report = measure(name, settings.device, prompts, random_weights, progress.say)
    print(report.to_json() if as_json else report.to_markdown())


def memory(
    orders: Annotated[int, typer.Option(min=1, help="In how many orders the scenes of a project are labelled.")] = 20,
    scenes: Annotated[int, typer.Option(min=1, help="Ordinary scenes on which harm is measured.")] = 1500,
    trials: Annotated[int, typer.Option(min=1, help="Poisoned ledgers of each kind.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Measure what `ris learn --memory` is worth on things never seen, and what it harms. The first time takes minutes."""
    from benchmarks.memory_cases import read_cases
    from benchmarks.region_memory import measure, poison, to_json, to_markdown

    with Progress("Reading scenes") as progress:
        folder = read_settings().state_dir / "bench-memory"
        results = measure(folder, orders, scenes, progress.say)
        poisoned = poison(read_cases(folder, "ordinary", min(scenes, 150), is_named=False), trials)
    print(to_json(results, poisoned) if as_json else to_markdown(results, poisoned))


def suspicion(
    projects: Annotated[int, typer.Option(min=1, help="Number of simulated projects of each kind of scenes.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Count the planted errors in the first 15 % of the queue "suspicious". The first time takes minutes."""
    from benchmarks.suspicion import measure, to_json, to_markdown

    with Progress("Reading answers") as progress:
        results = measure(read_settings().state_dir / "bench-suspicion", projects, progress.say)
    print(to_json(results) if as_json else to_markdown(results))


def review(
    proposals: Annotated[int, typer.Option(min=1, help="Number of proposals that are decided in each way.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Decide proposals on the pages of quality review, by keys and without JavaScript, and count what is not kept as decided."""
    from benchmarks.review import measure

    folder = Path(tempfile.mkdtemp(prefix="ris-review-"))
    with Progress("Starting") as progress:
        report = measure(folder, proposals, progress.say)
    print(report.to_json() if as_json else report.to_markdown())
    shutil.rmtree(folder, ignore_errors=True)  # not reached after an error: the logs are needed then


bench = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Measurements that print a report; no number makes them fail."
)
for command in (
    speed,
    expression,
    requests,
    stages,
    masking,
    crops,
    proposals,
    annotators,
    page,
    reading,
    webhooks,
    chaos,
    hosts,
    bulk,
    ledger,
    audit,
    learning,
    replay,
    memory,
    suspicion,
    review,
):
    bench.command()(command)
bench.command("import")(round_trip)
bench.command("export")(formats)


@bench.callback()
def keep_logs_apart() -> None:
    """Keep log lines out of standard output, where programs read the report."""
    configure_logging("WARNING")
