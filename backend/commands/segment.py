"""`ris segment`: the whole method on one image, without any service."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.redaction import reason_of
from backend.base.terminal import Column, Progress, print_table
from backend.commands.options import AsJson, Profile
from backend.commands.state import profile_of
from backend.settings.environment import read_settings
from ris_core.errors import BadInput
from ris_core.output.plain_text import one_line

if TYPE_CHECKING:
    from ris_core.types import Image, Prediction


def segment(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    expression: Annotated[str, typer.Argument(help='What to find, as in "the red apple left of the dog".')],
    profile: Profile = None,
    method: Annotated[str | None, typer.Option(help="Method to use instead of the profile's.")] = None,
    top_k: Annotated[int, typer.Option(help="Number of candidates to return.")] = 5,
    as_json: AsJson = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Explain how the expression was read and how each candidate was scored.")
    ] = False,
    overlay: Annotated[Path | None, typer.Option(help="Image file to draw the answer to.")] = None,
) -> None:
    """Find what an expression refers to in an image file. Needs no running service."""
    from ris_core import Image, load_segmenter
    from ris_core.language.parser import clean_expression
    from ris_core.output.documents import to_document
    from ris_core.output.explain import explain as explain_in_words
    from ris_core.runtime import weights

    settings = read_settings()
    # errors in the input are reported before models are loaded, which takes long
    clean_expression(expression)
    _check_options(as_json, explain, top_k, overlay)
    picture = Image.open(image, settings.max_image_pixels)
    profile = profile or profile_of(settings)
    overrides = settings.component_overrides | ({"method": method} if method else {})
    with Progress(f"Loading the models of the profile {profile}") as progress:
        store = weights.WeightStore(settings.model_dir, mirrors=settings.model_mirrors)
        segmenter = load_segmenter(profile, device=settings.device, store=store, **overrides)
        progress.say(f"Encoding {image.name}")
        encoded = segmenter.encode(picture)
        progress.say("Answering")
        prediction = segmenter.segment(encoded, expression, top_k)
    for warning in prediction.warnings:
        print(f"note: {warning}", file=sys.stderr)
    document = to_document(picture, prediction, profile, segmenter.method_name)
    if overlay:
        _save_overlay(picture, prediction, overlay)
    if as_json:
        print(json.dumps(document))
    elif explain:
        print(explain_in_words(prediction))
    else:
        _print_candidates(document)


def _check_options(as_json: bool, explain: bool, top_k: int, overlay: Path | None) -> None:
    if explain and as_json:
        raise BadInput(
            "--explain and --json cannot be combined. Leave out --explain: the JSON document has the parts of every score."
        )
    if top_k < 1:
        raise BadInput(f"--top-k is {top_k}; use 1 or more.")
    if overlay and not overlay.parent.is_dir():
        raise BadInput(
            f"The overlay {overlay} cannot be written: there is no folder {overlay.parent}. Create it first."
        )


def _save_overlay(image: "Image", prediction: "Prediction", file: Path) -> None:
    from backend.base.fonts import load_font
    from ris_core.output.overlay import draw

    try:
        draw(image, prediction, load_font).save(file)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"The overlay cannot be written to {file} ({reason_of(error)}). Name a .png or .jpg file."
        ) from error


def _print_candidates(document: dict) -> None:
    """The decision, then a row for each candidate; a star marks the selected ones."""
    decision, expression = document["decision"], one_line(document["expression"])
    if not document["candidates"]:
        print(f'{decision}: no proposal was found in this image, so nothing can match "{expression}".')
        return
    print(f'{decision}: "{expression}"  ({document["model_version"]})')
    rows = []
    for index, candidate in enumerate(document["candidates"]):
        star = "*" if index in document["selected"] else " "
        box = ", ".join(f"{side:.0f}" for side in candidate["bbox_xywh"])
        score, values = candidate["score"], dict(candidate["parts"])
        name = "score"
        if values.get("probability") == score:
            name = "p"
            del values["probability"]
        parts = "  ".join(f"{part} {value:.3f}" for part, value in values.items())
        rows.append((f"{star} #{candidate['rank']}", f"{name} {score:.3f}", f"box [{box}]", parts))
    print_table([Column(is_fixed=True), Column(is_fixed=True), Column(is_fixed=True), Column()], rows, has_header=False)
