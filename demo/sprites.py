"""The sprites scenes are made of: Noto Color Emoji glyphs, rasterised once and kept as PNG files.

`python -m demo.sprites FONT` renders them again; everything else reads the PNG files, so a scene does not depend on
the font or on the version of FreeType.
"""

import argparse
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent
SPRITE_DIR = HERE / "sprites"
GLYPH_PX = 109
"""The only size of the bitmap font's glyphs."""
MAY_BE_CALLED = 0.08
"""Share of a sprite's pixels from which one of its colours may be used to name it."""
IS_CALLED = 0.55
"""Share of a sprite's pixels from which it is plainly of that colour."""


@dataclass(frozen=True)
class Sprite:
    """One drawing of a class.

    Attributes:
        rgba: uint8 (h, w, 4), trimmed to the drawing.
        may_be: Every colour name somebody may call the untinted drawing.
        main: The colour the untinted drawing plainly has, if it has one.
        held_out: Never used for training, so that unseen drawings can be measured apart.
    """

    name: str
    noun: str
    rgba: np.ndarray
    may_be: frozenset[str]
    main: str | None
    held_out: bool


@cache
def vocabulary() -> dict:
    """Classes (noun -> characters) and tints (name -> hue, saturation, value in [0, 1])."""
    return json.loads((HERE / "vocabulary.json").read_text(encoding="utf-8"))


@cache
def sprites() -> dict[str, list[Sprite]]:
    """All sprites by noun, in the vocabulary's order."""
    by_noun: dict[str, list[Sprite]] = {}
    for noun, characters in vocabulary()["classes"].items():
        for i in range(len(characters)):
            rgba = np.asarray(Image.open(SPRITE_DIR / f"{noun}_{i}.png").convert("RGBA"))
            shares = colour_shares(rgba)
            main = max(shares, key=lambda name: shares[name])
            by_noun.setdefault(noun, []).append(
                Sprite(
                    name=f"{noun}_{i}",
                    noun=noun,
                    rgba=rgba,
                    may_be=frozenset(name for name, share in shares.items() if share >= MAY_BE_CALLED),
                    main=main if shares[main] >= IS_CALLED else None,
                    held_out=len(characters) >= 3 and i == len(characters) - 1,
                )
            )
    return by_noun


def colour_shares(rgba: np.ndarray) -> dict[str, float]:
    """Share of the opaque pixels that is nearest to each colour name.

    Args:
        rgba: uint8 (h, w, 4).
    """
    opaque = rgba[rgba[..., 3] > 127][:, :3].astype(np.float32) / 255
    high, low = opaque.max(1), opaque.min(1)
    chroma = high - low
    r, g, b = opaque.T
    safe = np.where(chroma == 0, 1, chroma)
    hue = np.where(high == r, (g - b) / safe % 6, np.where(high == g, (b - r) / safe + 2, (r - g) / safe + 4)) / 6
    saturation = chroma / np.where(high == 0, 1, high)
    grey = (saturation < 0.2) | (high < 0.2)
    names = np.select(
        [
            grey & (high < 0.3),
            grey & (high > 0.8),
            grey,
            ((hue < 0.12) | (hue > 0.97)) & (high < 0.62) & (saturation > 0.25),  # dark warm colours read as brown
            ((hue < 0.045) | (hue > 0.96)) & (saturation > 0.55),
            ((hue < 0.09) & (saturation < 0.45)) | (hue > 0.85),
            hue < 0.115,
            hue < 0.175,
            hue < 0.47,
            hue < 0.70,
        ],
        ["black", "white", "gray", "brown", "red", "pink", "orange", "yellow", "green", "blue"],
        default="purple",
    )
    return {name: float((names == name).mean()) for name in vocabulary()["tints"]}


def render(font_file: Path) -> None:
    """Draw every character of the vocabulary into `demo/sprites/`."""
    font = ImageFont.truetype(str(font_file), GLYPH_PX)
    SPRITE_DIR.mkdir(exist_ok=True)
    for noun, characters in vocabulary()["classes"].items():
        for i, character in enumerate(characters):
            canvas = Image.new("RGBA", (160, 160))
            ImageDraw.Draw(canvas).text((8, 8), character, font=font, embedded_color=True)
            box = canvas.getbbox()
            if box is None:
                raise SystemExit(f"{font_file} draws nothing for {character!r} ({noun}); use Noto Color Emoji.")
            canvas.crop(box).save(SPRITE_DIR / f"{noun}_{i}.png", optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=render.__doc__)
    parser.add_argument("font", type=Path, help="NotoColorEmoji.ttf")
    render(parser.parse_args().font)
