"""`ris models …`: the weights on this machine."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.terminal import Column, Progress, print_table
from backend.settings.environment import read_settings

if TYPE_CHECKING:
    from ris_core.runtime.weights import WeightStore

MB = 1e6
COLUMNS = (Column(is_fixed=True, width=20), Column(is_fixed=True, width=7), Column(is_fixed=True, width=12), Column())
COMPONENT_COLUMNS = (Column(is_fixed=True), Column(is_fixed=True), Column())


def list_models() -> None:
    """List profiles, weights and components. Shows licences, whether weights are on this machine, and where components come from."""
    from ris_core.errors import BadComponent
    from ris_core.output.plain_text import one_line
    from ris_core.profiles import profile_names
    from ris_core.runtime.weights import WeightStore

    store = WeightStore(read_settings().model_dir)
    for name in profile_names():
        try:
            _list_profile(name, store)
        except BadComponent as error:  # another distribution's; the others are listed all the same
            print(one_line(f"{name}: {error}"))
    print("Components:")
    print_table(COMPONENT_COLUMNS, _read_components(), has_header=False)


def _list_profile(name: str, store: "WeightStore") -> None:
    from ris_core.output.plain_text import one_line
    from ris_core.profiles import profile_weights, read_profile

    print(one_line(f"{name}: {read_profile(name)['about']}"))
    with Progress(f"Checking the weights of {name}"):
        statuses = [store.status(weight) for weight in profile_weights(name)]
    rows = [(f"    {status.weight.name}", status.state, status.weight.licence, str(status.path)) for status in statuses]
    print_table(COLUMNS, rows, has_header=False)


def _read_components() -> Iterator[tuple[str, str, str]]:
    """Kind, name and origin of each component."""
    from ris_core.errors import BadComponent
    from ris_core.profiles import COMPONENTS, catalog

    for kind, folder in COMPONENTS.items():
        for name in catalog.available(folder):
            try:
                origin = catalog.origin(folder, name)
            except BadComponent as error:
                origin = str(error)
            yield f"    {kind}", name, origin


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
