"""Drawings by other hands than the sprites': four sets of emoji, rasterised once and kept as PNG files.

`python -m demo.other_drawings FOLDER` renders them again from the unpacked packages (`FOLDER/<set>/icons.json`); it needs
the package resvg_py. Everything else reads the PNG files.
"""

import argparse
import importlib
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demo.sprites import IS_CALLED, MAY_BE_CALLED, Sprite, colour_shares
from ris_core.arrays import Array

DRAWINGS_DIR = Path(__file__).parent / "other_drawings"
SETS = ("twemoji", "fluent-emoji-flat", "emojione", "fxemoji")
LONGEST_PX = 112
"""Longer side of a drawing."""
PALETTE = 96
"""Most colours of a stored drawing."""


@cache
def drawing_names() -> dict[str, dict[str, list[str]]]:
    """Set -> noun -> names of the drawings in the set."""
    names: dict[str, dict[str, list[str]]] = json.loads((DRAWINGS_DIR / "names.json").read_text(encoding="utf-8"))
    return names


@cache
def other_drawings(name: str) -> dict[str, list[Sprite]]:
    """All drawings of a set by noun.

    Args:
        name: One of `SETS`.
    """
    by_noun = {}
    for noun, names in drawing_names()[name].items():
        by_noun[noun] = [_read(name, noun, number) for number in range(len(names))]
    return by_noun


def _read(set_name: str, noun: str, number: int) -> Sprite:
    rgba = np.asarray(Image.open(DRAWINGS_DIR / set_name / f"{noun}_{number}.png").convert("RGBA"))
    may_be, main = name_colours(rgba)
    return Sprite(f"{set_name}/{noun}_{number}", noun, rgba, may_be, main, held_out=False)


def name_colours(rgba: Array) -> tuple[frozenset[str], str | None]:
    """Every colour name somebody may call a drawing, and the one it plainly has, if it has one."""
    shares = colour_shares(rgba)
    main = max(shares, key=lambda name: shares[name])
    may_be = frozenset(name for name, share in shares.items() if share >= MAY_BE_CALLED)
    return may_be, main if shares[main] >= IS_CALLED else None


def render(folder: Path, out: Path = DRAWINGS_DIR) -> None:
    """Draw every drawing that `names.json` names.

    Args:
        folder: With one folder for each set that holds its `icons.json`.
    """
    for set_name, by_noun in drawing_names().items():
        icons = json.loads((folder / set_name / "icons.json").read_text(encoding="utf-8"))
        (out / set_name).mkdir(parents=True, exist_ok=True)
        for noun, names in by_noun.items():
            for number, name in enumerate(names):
                _rasterise(_svg(icons, name)).save(out / set_name / f"{noun}_{number}.png", optimize=True)


def _svg(icons: dict[str, Any], name: str) -> str:
    icon = icons["icons"][name]
    left, top = icon.get("left", 0), icon.get("top", 0)
    w, h = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{left} {top} {w} {h}"'
    return f'{head} width="{w}" height="{h}">{icon["body"]}</svg>'


def _rasterise(svg: str) -> Image.Image:
    """Trimmed, of the longer side `LONGEST_PX`, with few colours."""
    resvg = importlib.import_module("resvg_py")
    large = Image.open(io.BytesIO(bytes(resvg.svg_to_bytes(svg_string=svg, width=448)))).convert("RGBA")
    trimmed = large.crop(large.getchannel("A").point(lambda a: 255 if a > 20 else 0).getbbox())
    ratio = LONGEST_PX / max(trimmed.size)
    size = (max(1, round(trimmed.width * ratio)), max(1, round(trimmed.height * ratio)))
    return trimmed.resize(size, Image.Resampling.LANCZOS).quantize(PALETTE, Image.Quantize.FASTOCTREE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=render.__doc__)
    parser.add_argument("folder", type=Path, help="folder with a folder of the unpacked package for each set")
    render(parser.parse_args().folder)
