"""Pillow's images as RGB of 8 bits, a strip at a time: a large picture is never there several times over."""

import sys
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil

from ris_core.arrays import Array
from ris_core.images import contrast

DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
"""Modes of more than 8 bits."""
_TOPS = {"I": (255.0, 65535.0), "F": (1.0, 255.0, 65535.0)}
"""What values of a mode may be meant to reach; 16 bits else."""
_STRIP_PIXELS = 1 << 18
"""Pixels that are converted at once: a picture is never there several times over."""
_NATIVE = {"little": "L", "big": "B"}[sys.byteorder]
_OTHER_BYTES = {
    f"{colours};16{order}": f"{colours};16{other}"
    for colours in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if _NATIVE == "L" else "L"))
}
"""Raw modes of which Pillow keeps the upper 8 of 16 bits, and those that read the lower ones in their place."""


def to_rgb(
    image: Pil.Image, raw_mode: str, read_as: Callable[[str], Pil.Image]
) -> tuple[UInt8[Array, "h w 3"], contrast.ContrastLimits | None]:
    """Pixels as RGB, and the limits of values that had more than 8 bits.

    Args:
        image: An image whose pixels are loaded; closed as soon as it may be.
        raw_mode: How values stand in its file, in Pillow's words: "RGB;16B".
        read_as: Reads the file once more, as if its values stood there in another way.
    """
    limits = None
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    if image.mode in DEEP_GREY:
        values = (np.asarray(strip) for _, strip in _strips(image))
        limits = contrast.find_limits(values, _TOPS.get(image.mode, (65535.0,)), image.width * image.height)
    for rows, strip in _strips(image):
        pixels[rows] = _blend(strip) if limits is None else limits.apply(np.asarray(strip))[:, :, None]
    image.close()
    if limits is None and ";16" in raw_mode and _looks_dark(pixels):
        other = _OTHER_BYTES.get(raw_mode)
        limits = _stretch_colours(pixels, read_as(other) if other else None)
    return pixels, limits


def _strips(image: Pil.Image) -> Iterator[tuple[slice, Pil.Image]]:
    for rows in _rows(image.height, image.width):
        yield rows, image.crop((0, rows.start, image.width, rows.stop))


def _rows(height: int, width: int) -> Iterator[slice]:
    step = max(1, _STRIP_PIXELS // width)
    return (slice(top, min(height, top + step)) for top in range(0, height, step))


def _blend(strip: Pil.Image) -> UInt8[Array, "h w 3"]:
    """As RGB; what is transparent lies over white."""
    if strip.has_transparency_data:
        rgba = strip.convert("RGBA")
        strip = Pil.alpha_composite(Pil.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(strip.convert("RGB"))


def _looks_dark(pixels: UInt8[Array, "h w 3"]) -> bool:
    step = max(1, pixels.size >> 20)
    brightest = np.percentile(pixels.reshape(-1)[::step], 100 - contrast.OUTLIERS_PERCENT, method="nearest")
    return bool(brightest < 256 * contrast.SMALL_PART)


def _stretch_colours(pixels: UInt8[Array, "h w 3"], lower: Pil.Image | None) -> contrast.ContrastLimits:
    """Stretch, in place, colours of 16 bits.

    Args:
        pixels: Their upper 8 bits, which are what Pillow gives.
        lower: Their lower 8 bits; None if they cannot be had, and count as 0.
    """

    def values() -> Iterator[Array]:
        for rows in _rows(*pixels.shape[:2]):
            upper = pixels[rows].astype(np.uint16) << 8
            if lower:
                upper |= np.asarray(lower.crop((0, rows.start, lower.width, rows.stop)))[:, :, :3]
            yield upper

    limits = contrast.find_limits(values(), (65535.0,), pixels.size)
    if limits.is_stretched:
        for rows, chunk in zip(_rows(*pixels.shape[:2]), values(), strict=True):
            pixels[rows] = limits.apply(chunk)
    return limits
