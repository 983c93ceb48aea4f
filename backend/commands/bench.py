"""`ris bench`: measurements that report and never fail."""

from typing import Annotated

import typer

from backend.settings import read_settings


def speed(
    profile: Annotated[str | None, typer.Option(help="demo, base, …; RIS_PROFILE otherwise.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each stage after the first.")] = 10,
    random_weights: Annotated[bool, typer.Option(help="Make weights of the true size up.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Seconds of each stage on this machine's device, and the memory of a GPU."""
    from backend.bench.speed import measure

    settings = read_settings()
    report = measure(profile or settings.profile, settings.device, repeats, random_weights)
    print(report.to_json() if as_json else report.to_markdown())
