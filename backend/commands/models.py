"""`ris models …`: the weights on this machine."""

from typing import Annotated

import typer

from backend.base.terminal import Column, Progress, print_table
from backend.settings.environment import read_settings

MB = 1e6
COLUMNS = (Column(is_fixed=True, width=20), Column(is_fixed=True, width=7), Column(is_fixed=True, width=12), Column())


def list_models() -> None:
    """List the profiles and their weights, with licences. Shows whether the weights are on this machine."""
    from ris_core.profiles import profile_names, profile_weights, read_profile
    from ris_core.runtime.weights import WeightStore

    store = WeightStore(read_settings().model_dir)
    for name in profile_names():
        print(f"{name}: {read_profile(name)['about']}")
        with Progress(f"Checking the weights of {name}"):
            statuses = [store.status(weight) for weight in profile_weights(name)]
        rows = [
            (f"    {status.weight.name}", status.state, status.weight.licence, str(status.path)) for status in statuses
        ]
        print_table(COLUMNS, rows, has_header=False)


def pull_models(profile: Annotated[str, typer.Argument(help="A profile, or one of its weights by name.")]) -> None:
    """Download the weights of a profile and verify them."""
    from ris_core.profiles import profile_names, profile_weights
    from ris_core.runtime.weights import WeightStore

    store = WeightStore(read_settings().model_dir)
    names = profile_weights(profile) if profile in profile_names() else [profile]
    for name in names:
        with Progress(f"Checking {name}") as progress:

            def count(weight: str, done: int, total: int, progress: Progress = progress) -> None:
                progress.count(done / MB, total / MB or None, f"Downloading {weight}")

            [path] = store.pull([name], count)
        print(f"{name} is there and verified: {path}")


models = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Weights: list and download them.")
models.command("list")(list_models)
models.command("pull")(pull_models)
