"""`ris bench`: measurements that report and never fail."""

import functools
import sys
from typing import Annotated

import typer

from backend.settings.environment import read_settings


def speed(
    profile: Annotated[str | None, typer.Option(help="demo, base, …; RIS_PROFILE otherwise.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each stage after the first.")] = 10,
    random_weights: Annotated[bool, typer.Option(help="Make weights of the true size up.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Seconds of each stage on this machine's device, and the memory of a GPU."""
    from benchmarks.speed import measure

    settings = read_settings()
    report = measure(profile or settings.profile, settings.device, repeats, random_weights)
    print(report.to_json() if as_json else report.to_markdown())


def annotators(
    profile: Annotated[str | None, typer.Option(help="demo, base, …; RIS_PROFILE otherwise.")] = None,
    scenes: Annotated[int, typer.Option(min=1, help="Synthetic scenes that are taken.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Actions that simulated annotators need for a mask, with and without each way of mending it."""
    from benchmarks.annotators import measure
    from demo.benchmark import read_scenes
    from ris_core import load_segmenter
    from ris_core.runtime import weights

    settings = read_settings()
    store = weights.WeightStore(settings.model_dir)
    segmenter = load_segmenter(profile or settings.profile, device=settings.device, store=store)
    tell = functools.partial(print, file=sys.stderr)
    report = measure(segmenter, read_scenes(), scenes, settings.top_k, tell)
    print(report.to_json() if as_json else report.to_markdown())


def webhooks(
    events: Annotated[int, typer.Option(min=1, help="How many are sent, as fast as they are taken.")] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Seconds until webhooks are answered and read."""
    from benchmarks.webhooks import measure

    report = measure(events)
    print(report.to_json() if as_json else report.to_markdown())
