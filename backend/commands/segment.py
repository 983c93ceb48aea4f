"""`ris segment`: the whole method without any service."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.redaction import reason_of
from backend.settings.environment import read_settings
from ris_core.errors import BadInput

if TYPE_CHECKING:
    from ris_core.types import Image, Prediction

Profile = Annotated[str | None, typer.Option(help="demo, base, …; RIS_PROFILE otherwise.")]


def segment(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    expression: Annotated[str, typer.Argument(help='What to find, as in "the red apple left of the dog".')],
    profile: Profile = None,
    method: Annotated[str | None, typer.Option(help="Another method than the profile's.")] = None,
    top_k: Annotated[int, typer.Option(help="Candidates to return.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say in words how the expression was read, and what moved each candidate.")
    ] = False,
    overlay: Annotated[Path | None, typer.Option(help="Write a picture of the answer to this file.")] = None,
) -> None:
    """Find what an expression refers to in an image, without any service."""
    from ris_core import Image, load_segmenter
    from ris_core.language.parser import clean_expression
    from ris_core.output.documents import to_document
    from ris_core.output.explain import explain as in_words
    from ris_core.runtime import weights

    settings = read_settings()
    clean_expression(expression)  # what is wrong with the input is said before models are loaded
    if explain and as_json:
        raise BadInput(
            "--explain is for people, --json for programs, where every candidate has its parts. Leave one out."
        )
    if top_k < 1:
        raise BadInput(f"--top-k is {top_k}; ask for at least 1 candidate.")
    if overlay and not overlay.parent.is_dir():
        raise BadInput(f"The overlay {overlay} cannot be written: there is no folder {overlay.parent}. Make it first.")
    opened = Image.open(image, settings.max_image_pixels)
    overrides = {"method": method} if method else {}
    chosen = profile or settings.profile
    segmenter = load_segmenter(
        chosen, device=settings.device, store=weights.WeightStore(settings.model_dir), **overrides
    )
    prediction = segmenter.segment(segmenter.encode(opened), expression, top_k)
    for warning in prediction.warnings:
        print(f"note: {warning}", file=sys.stderr)
    document = to_document(opened, prediction, chosen, segmenter.method_name)
    if overlay:
        _save_overlay(opened, prediction, overlay)
    print(json.dumps(document) if as_json else in_words(prediction) if explain else _as_table(document))


def _save_overlay(image: "Image", prediction: "Prediction", file: Path) -> None:
    from ris_core.output.overlay import draw

    try:
        draw(image, prediction).save(file)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"The overlay cannot be written to {file} ({reason_of(error)}). Name a .png or .jpg file."
        ) from error


def _as_table(document: dict) -> str:
    """The document for a person: the decision, then a line a candidate."""
    if not document["candidates"]:
        return f'{document["decision"]}: no proposal was found in this image, so nothing can match "{document["expression"]}".'
    lines = [f'{document["decision"]}: "{document["expression"]}"  ({document["model_version"]})']
    for i, candidate in enumerate(document["candidates"]):
        box = ", ".join(f"{side:.0f}" for side in candidate["bbox_xywh"])
        parts = "  ".join(f"{name} {value:.3f}" for name, value in candidate["parts"].items())
        mark = "*" if i in document["selected"] else " "
        lines.append(f"{mark} #{candidate['rank']}  {candidate['score']:.3f}  box [{box}]  {parts}")
    return "\n".join(lines)
