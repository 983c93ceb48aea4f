"""Fonts of the machine for characters that the fonts of matplotlib and Pillow lack."""

from functools import cache
from pathlib import Path

from PIL import ImageFont

SCRIPTS = {"Chinese": "漢字汉语", "Japanese": "日本語ひらカタ", "Korean": "한국어"}
"""Characters of each script that labels are often in."""


def find_fonts(text: str) -> tuple[tuple[Path, ...], str]:
    """Font files that together draw what matplotlib's own font cannot draw of a text, and the characters that none has.

    The one that has most of the missing characters comes first. Fonts that hold pictures instead of outlines are left out.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib import font_manager

    own = Path(font_manager.findfont("DejaVu Sans"))
    missing = {character for character in text if character.isprintable()} - _characters(own)
    if not missing:
        return (), ""
    candidates = sorted(map(Path, font_manager.findSystemFonts()))
    fonts = []
    while missing and (best := max(candidates, key=lambda file: len(missing & _characters(file)), default=None)):
        if not missing & _characters(best):
            break
        fonts.append(best)
        missing -= _characters(best)
    return tuple(fonts), "".join(sorted(missing))


def load_font(text: str, size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font for Pillow that draws as many characters of a text as one font can; Pillow's own if that is enough, or without matplotlib."""
    if text.isascii():
        return ImageFont.load_default(size_px)
    try:
        from matplotlib import font_manager

        fonts = [Path(font_manager.findfont("DejaVu Sans")), *find_fonts(text)[0]]
    except ImportError:
        return ImageFont.load_default(size_px)
    return ImageFont.truetype(str(max(fonts, key=lambda file: len(set(text) & _characters(file)))), size_px)


@cache
def _characters(file: Path) -> frozenset[str]:
    """The characters that a font draws; none of a file that cannot be used."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(str(file))
        return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):
        return frozenset()
