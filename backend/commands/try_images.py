"""`ris try`: a profile on one's own images, as one HTML page, without any service."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from backend.base.terminal import Progress
from backend.commands.options import Profile
from backend.commands.state import profile_of
from backend.settings.environment import read_settings
from ris_core.errors import BadImage, BadInput
from ris_core.output.plain_text import one_line


def try_images(
    images: Annotated[list[Path], typer.Argument(help="Image files.", metavar="IMAGE...")],
    ask: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help='Expression to answer in every image, as in "man in blue shirt"; repeatable.'
        ),
    ] = None,
    profile: Profile = None,
    top_k: Annotated[int, typer.Option(min=1, help="Number of candidates to show.")] = 5,
    out: Annotated[Path, typer.Option(help="The .html file to write.")] = Path("trial.html"),
) -> None:
    """Try a profile on your own images. Writes one HTML page with the proposals, the answers, and what each stage costs."""
    from backend.exporters.files import replacing
    from backend.report.trial import Stopwatch, try_image
    from backend.report.trial_page import TrialFacts, render_trial
    from ris_core import Image, load_segmenter
    from ris_core.language.parser import clean_expression
    from ris_core.profiles import read_profile
    from ris_core.runtime import weights

    settings = read_settings()
    for text in ask or ():
        clean_expression(text)  # an empty one is refused before models are loaded, which takes long
    if not out.parent.is_dir():
        raise BadInput(f"The page cannot be written to {out}: there is no folder {out.parent}. Create it first.")
    pictures, unread = [], []
    for file in images:
        try:
            pictures.append((file.name, Image.open(file, settings.max_image_pixels)))
        except BadImage as error:
            unread.append(f"{file.name}: {error}")
            print(f"note: {one_line(unread[-1])}", file=sys.stderr)
    if not pictures:
        raise BadImage("None of these files is an image that can be read.", "Name .jpg or .png files.")
    name = profile or profile_of(settings)
    watch = Stopwatch()
    with Progress(f"Loading the models of the profile {name}") as progress:
        store = weights.WeightStore(settings.model_dir, mirrors=settings.model_mirrors)
        with watch.stage("load the models"):
            segmenter = load_segmenter(name, device=settings.device, store=store, **settings.component_overrides)
        tried = [try_image(segmenter, one, image, ask or (), progress.say, top_k) for one, image in pictures]
    facts = TrialFacts.of(segmenter, read_profile(name)["about"], settings.device, watch.costs[0])
    try:
        with replacing(out) as part:
            part.write_text(render_trial(facts, tried, unread), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"The page cannot be written to {out} ({error.strerror}). Choose another file.") from error
    print(f"{len(tried)} image{'s' * (len(tried) != 1)} in {out}.")
    if not ask:
        print("Ask for something too: `--ask 'the red car'`.")
