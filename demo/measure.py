"""How good the demo models are, on scenes they never saw: `python -m demo.measure`, `ris eval` with the profile `demo`."""

from typing import Annotated

import typer

from backend.commands.evaluate import evaluate


def measure(
    method: Annotated[list[str] | None, typer.Option(help="Repeat for several; the profile's own unless said.")] = None,
    split: Annotated[str, typer.Option(help="test, or tune: scenes to choose settings on.")] = "test",
    settings: Annotated[str, typer.Option(help="Settings that replace the profile's, as JSON.")] = "{}",
    limit: Annotated[int | None, typer.Option(help="Only so many scenes.")] = None,
) -> None:
    """Run the synthetic benchmark on the demo models."""
    evaluate(split=split, method=method, profile="demo", settings=settings, limit=limit)


if __name__ == "__main__":
    typer.run(measure)
