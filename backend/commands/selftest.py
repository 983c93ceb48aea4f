"""`ris selftest`: a profile on the photographs that come with the product."""

import sys
from importlib.metadata import version

import typer

from backend.base.terminal import Progress
from backend.commands.options import Profile
from backend.commands.state import profile_of
from backend.settings.environment import read_settings


def selftest(profile: Profile = None) -> None:
    """Ask twelve expressions of seven photographs, with masks drawn by hand. Exits with 1 if fewer than 9 are found."""
    from backend.selftest.asking import run_selftest
    from backend.selftest.photographs import read_photographs
    from ris_core import load_segmenter
    from ris_core.profiles import profile_weights
    from ris_core.runtime.devices import pick_device
    from ris_core.runtime.weights import WeightStore

    settings = read_settings()
    name = profile or profile_of(settings)
    store = WeightStore(settings.model_dir, mirrors=settings.model_mirrors)
    with Progress(f"Loading the models of the profile {name}") as progress:
        segmenter = load_segmenter(name, device=settings.device, store=store, **settings.component_overrides)
        result = run_selftest(segmenter, read_photographs(), progress.say)
    digests = {weight: store.digest(weight) for weight in profile_weights(name)}
    print(result.to_text())
    print("\nWhere this product was made, published weights could not be had: this test was never run with them there.")
    print("To tell others how it went with yours, paste this:\n")
    print(result.to_report(version("label-studio-ris"), segmenter, str(pick_device(settings.device)), digests))
    if segmenter.warning:
        print(f"note: {segmenter.warning}", file=sys.stderr)
    if not result.is_passed:
        print(
            "Not passed: run `ris models verify` and `ris doctor`, and look at a picture with `ris try`.",
            file=sys.stderr,
        )
        raise typer.Exit(1)
