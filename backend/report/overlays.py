"""What was offered and what was saved, drawn over the image: a PNG."""

import io

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image as Pil

from ris_core.geometry.masks import Rle, from_rle

OFFERED_RGB = (24, 144, 255)
SAVED_RGB = (255, 77, 79)
HALO_RGB = (255, 255, 255)
SIDE_PX = 320
"""Longest side of the picture."""
MARGIN = 0.25
"""What is shown around the masks, as a share of their box."""
GREY = 200
"""Where the image cannot be had."""


def draw_case(pixels: UInt8[ndarray, "h w 3"] | None, offered: Rle | None, saved: Rle | None) -> bytes:
    """A picture of both outlines, cut around them.

    Args:
        pixels: The image; grey without it, and if it is of another size.
    """
    height, width = (offered or saved or {"size": [SIDE_PX, SIDE_PX]})["size"]
    if pixels is None or pixels.shape[:2] != (height, width):
        pixels = np.full((height, width, 3), GREY, np.uint8)
    masks = [(from_rle(rle), rgb) for rle, rgb in ((offered, OFFERED_RGB), (saved, SAVED_RGB)) if rle]
    same = [(mask, rgb) for mask, rgb in masks if mask.shape == (height, width)]
    rows, columns = _window(
        np.logical_or.reduce([mask for mask, _ in same]) if same else np.ones((height, width), bool)
    )
    scale = SIDE_PX / max(rows.stop - rows.start, columns.stop - columns.start)
    size = (max(1, round((columns.stop - columns.start) * scale)), max(1, round((rows.stop - rows.start) * scale)))
    canvas = cv2.resize(pixels[rows, columns], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    for mask, rgb in same:
        cut = cv2.resize(mask[rows, columns].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(cut, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, HALO_RGB, 4)  # a thing may have an outline's colour
        cv2.drawContours(canvas, outlines, -1, rgb, 2)
    buffer = io.BytesIO()
    Pil.fromarray(canvas).save(buffer, "PNG")
    return buffer.getvalue()


def _window(mask: ndarray) -> tuple[slice, slice]:
    """The mask's box with a margin; the whole image if there is nothing in it."""
    slices = []
    for axis in (1, 0):
        places = np.flatnonzero(mask.any(axis))
        length = mask.shape[1 - axis]
        if not len(places):
            slices.append(slice(0, length))
            continue
        around = int((places[-1] + 1 - places[0]) * MARGIN) + 4
        slices.append(slice(max(0, int(places[0]) - around), min(length, int(places[-1]) + 1 + around)))
    return slices[0], slices[1]
