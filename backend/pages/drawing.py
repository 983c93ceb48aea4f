"""A region on its image: its outline, or what a person changed of it."""

import io
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image as Pil

from ris_core.arrays import Array
from ris_core.geometry.masks import Rle, from_rle
from ris_core.output.overlay import Rgb, paint_mask

View = Literal["overlay", "saved", "offered", "plain"]
Size = Literal["small", "large"]

OUTLINE_RGB: Rgb = (255, 214, 10)
REMOVED_RGB: Rgb = (24, 144, 255)
ADDED_RGB: Rgb = (255, 122, 0)
CHANGE_OPACITY = 0.6
SIDE_PX: dict[Size, int] = {"small": 480, "large": 1600}
"""Longest side of a picture."""
MARGIN: dict[Size, float] = {"small": 0.3, "large": 0.8}
"""Width of the margin around the region, as a share of its longer side."""
LEAST_MARGIN_PX = 8
MOST_ENLARGED = 8
GREY = 128
"""Background if the image is not there."""
QUALITY = 82


def draw_region(
    pixels: UInt8[Array, "h w 3"] | None, mask: Rle, offered: Rle | None, size: Size = "small", view: View = "overlay"
) -> bytes:
    """The part of the image around a region, as WebP.

    Without an offered mask, or with an equal one, the region is outlined: yellow, with a white and a black rim. With another one what
    was added to it is filled orange and what was taken away blue; the outline is that of the region.

    Args:
        pixels: The image in [0, 255]; the background is grey without it, and if its size is not that of the mask.
        offered: The mask that was proposed; left out if its size is not that of the mask.
        view: "saved" and "offered" outline one of the two masks only; "plain" leaves out everything that is drawn.
    """
    region = from_rle(mask)
    proposal = from_rle(offered) if offered and offered["size"] == mask["size"] else region
    if pixels is None or pixels.shape[:2] != region.shape:
        pixels = np.full((*region.shape, 3), GREY, np.uint8)
    window = _window(region | proposal, MARGIN[size])
    canvas = _fit(pixels[window], SIDE_PX[size])
    saved, first = (_shrink(one[window], canvas) for one in (region, proposal))
    if view == "overlay":
        paint_mask(canvas, first & ~saved, REMOVED_RGB, opacity=CHANGE_OPACITY)
        paint_mask(canvas, saved & ~first, ADDED_RGB, opacity=CHANGE_OPACITY)
    if view != "plain":
        outlined = first if view == "offered" else saved
        paint_mask(canvas, outlined, OUTLINE_RGB, outline_px=2 if size == "small" else 3)
    buffer = io.BytesIO()
    Pil.fromarray(canvas).save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()


def _window(mask: Bool[Array, "h w"], margin: float) -> tuple[slice, slice]:
    """Rows and columns of the mask's box with a margin; of the whole image if the mask is empty."""
    indices = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
    if not len(indices[0]):
        return slice(None), slice(None)
    longest = max(int(one[-1] - one[0]) + 1 for one in indices)
    more = max(LEAST_MARGIN_PX, round(longest * margin))
    rows, columns = (slice(max(0, int(one[0]) - more), int(one[-1]) + 1 + more) for one in indices)
    return rows, columns


def _fit(pixels: UInt8[Array, "h w 3"], side_px: int) -> UInt8[Array, "y x 3"]:
    height, width = pixels.shape[:2]
    scale = min(MOST_ENLARGED, side_px / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    fitted: UInt8[Array, "y x 3"] = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how)
    return fitted


def _shrink(mask: Bool[Array, "h w"], canvas: UInt8[Array, "y x 3"]) -> Bool[Array, "y x"]:
    fitted: Bool[Array, "y x"] = (
        cv2.resize(mask.astype(np.uint8), canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    )
    return fitted
