"""`ris models …`: the weights on this machine."""

import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.terminal import Column, Progress, print_table
from backend.commands.state import profile_of
from backend.settings.environment import Settings, read_settings
from ris_core.errors import WeightsMissing

if TYPE_CHECKING:
    from ris_core.runtime.weights import WeightStatus, WeightStore

MB = 1e6
COLUMNS = (Column(is_fixed=True, width=20), Column(is_fixed=True, width=7), Column(is_fixed=True, width=12), Column())
COMPONENT_COLUMNS = (Column(is_fixed=True), Column(is_fixed=True), Column())
ProfileOrWeights = Annotated[str, typer.Argument(metavar="PROFILE", help="A profile, or one of its weights by name.")]


def list_models() -> None:
    """List profiles, weights and components: licences, what is on this machine, what a first expression takes, and origins."""
    from backend.db.measured_times import describe_first_expression, read_encoding_times
    from ris_core.errors import BadComponent
    from ris_core.output.plain_text import one_line
    from ris_core.profiles import profile_names

    settings = read_settings()
    store, times = _open_store(settings), read_encoding_times(settings.sql_url)
    for name in profile_names():
        try:
            _list_profile(name, store, describe_first_expression(times.get(name, [])))
        except BadComponent as error:  # another distribution's; the others are listed all the same
            print(one_line(f"{name}: {error}"))
    print("Components:")
    print_table(COMPONENT_COLUMNS, _read_components(), has_header=False)


def _list_profile(name: str, store: "WeightStore", first_expression: str) -> None:
    from ris_core.output.plain_text import one_line
    from ris_core.profiles import profile_weights, read_profile

    print(one_line(f"{name}: {read_profile(name)['about']}"))
    print(f"    first expression on an image: {first_expression}")
    rows = [
        (f"    {status.weight.name}", status.state, status.weight.licence, str(status.path))
        for status in _check(store, profile_weights(name), name)
    ]
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


def pull_models(
    profile: ProfileOrWeights,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be downloaded: sizes, licences, sources.")
    ] = False,
) -> None:
    """Download the weights of a profile and verify them. Goes on where a cut download ended."""
    store, names = _open_store(read_settings()), _weight_names(profile)
    statuses = _check(store, names, profile)
    for status in statuses:
        _describe(status)
    _warn_of_package(profile)
    left = store.check_room(names)
    if dry_run:
        print(f"Nothing was downloaded (--dry-run). To be downloaded: {left / MB:,.1f} MB.")
        return
    for name in names:
        with Progress(f"Checking {name}", unit="MB") as progress:

            def count(weight: str, done: int, total: int, progress: Progress = progress) -> None:
                progress.count(done / MB, total / MB or None, f"Downloading {weight}")

            [path] = store.pull([name], count)
        print(f"{name} is there, {store.status(name).how_known}: {path}")


def verify_models(
    profile: Annotated[
        str | None,
        typer.Argument(help="A profile, or one of its weights by name; the setting RIS_PROFILE if not given."),
    ] = None,
) -> None:
    """Read every file of a profile's weights. Names what is missing, changed, or was never recorded; exits with 3 for the first two."""
    settings = read_settings()
    name = profile or profile_of(settings)
    statuses = _check(_open_store(settings), _weight_names(name), name)
    rows = [(status.weight.name, status.state, status.how_known, str(status.path)) for status in statuses]
    print_table(COLUMNS, rows, has_header=False)
    for status in statuses:
        if status.state == "ready" and status.record == "none":
            print(
                f"{status.weight.name}: compare the file with its source, then record its digest: "
                f"sha256sum {status.path.name} > {status.path.name}.sha256"
            )
    for bad in (status for status in statuses if status.state != "ready"):
        print(f"{bad.detail} {bad.remedy}")
    if _warn_of_package(name) or any(status.state != "ready" for status in statuses):
        raise typer.Exit(WeightsMissing.exit_code)


def _open_store(settings: Settings) -> "WeightStore":
    from ris_core.runtime.weights import WeightStore

    return WeightStore(settings.model_dir, mirrors=settings.model_mirrors)


def _weight_names(profile: str) -> list[str]:
    """Names of a profile's weights, or the name of weights itself."""
    from ris_core.profiles import profile_names, profile_weights

    return profile_weights(profile) if profile in profile_names() else [profile]


def _check(store: "WeightStore", names: Sequence[str], profile: str) -> list["WeightStatus"]:
    with Progress(f"Checking the weights of {profile}"):
        return [store.status(name) for name in names]


def _describe(status: "WeightStatus") -> None:
    """Print what some weights are, before they are downloaded."""
    weight = status.weight
    size = f"{weight.size_bytes / MB:,.1f} MB" if weight.size_bytes else "size not known"
    source = "" if weight.bundled else f"{size} from {weight.source}; "
    use = "allowed" if weight.is_commercial else "not allowed"
    print(f"{weight.name}: {weight.about}; {status.state}")
    print(f"    {source}{status.how_known}")
    print(f"    licences: code {weight.code_licence}, weights {weight.licence} (commercial use {use})")
    print(f"    trained on {weight.data}")


def _warn_of_package(profile: str) -> bool:
    """Print which package a profile's parser lacks, which is no file of weights; whether it lacks one."""
    from ris_core.profiles import profile_names, read_profile

    package = read_profile(profile)["parser"].get("package") if profile in profile_names() else None
    if not package or importlib.util.find_spec(package):
        return False
    print(f"{package}: a package of spaCy, not installed. Get it with: python -m spacy download {package}")
    return True


models = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Weights: list, download and verify them.")
models.command("list")(list_models)
models.command("pull")(pull_models)
models.command("verify")(verify_models)
