"""Photographs under free licences, with expressions and masks that were drawn by hand. `photographs/README.md` names their sources."""

import json
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Bool

from ris_core.arrays import Array
from ris_core.evaluation.instances import rasterise
from ris_core.types import Image

FOLDER = Path(__file__).with_name("photographs")


@dataclass(frozen=True)
class AskedExpression:
    """An expression, and what it means."""

    text: str
    mask: Bool[Array, "h w"]


@dataclass(frozen=True)
class Photograph:
    """A photograph and what is asked of it."""

    name: str
    image: Image
    asked: tuple[AskedExpression, ...]


def read_photographs() -> list[Photograph]:
    """All photographs, in the order of their expressions."""
    rows = json.loads((FOLDER / "expressions.json").read_text(encoding="utf-8"))
    photographs = []
    for name in dict.fromkeys(row["photograph"] for row in rows):
        image = Image.open(FOLDER / f"{name}.jpg")
        asked = (
            AskedExpression(row["expression"], rasterise([row["polygon"]], image.size_hw))
            for row in rows
            if row["photograph"] == name
        )
        photographs.append(Photograph(name, image, tuple(asked)))
    return photographs
