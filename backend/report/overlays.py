"""The offered mask and the saved mask, outlined on their image."""

import io

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image as Pil

from ris_core.geometry.masks import Rle, from_rle
from ris_core.output.overlay import paint_mask

OFFERED_RGB = (24, 144, 255)
SAVED_RGB = (255, 77, 79)
OUTLINE_PX = 2
SIDE_PX = 320
"""Longest side of the drawing, in pixels."""
MARGIN = 0.25
"""Width of the margin around the masks, as a share of their box."""
GREY = 200
"""Background if the image is not there."""


def draw_case(pixels: UInt8[ndarray, "h w 3"] | None, offered: Rle | None, saved: Rle | None) -> bytes:
    """Both outlines on the part of the image around them, as a PNG.

    Args:
        pixels: The image in [0, 255]; the background is grey without it, and if its size is not that of the masks.
        offered, saved: Masks; either may be missing.
    """
    height, width = (offered or saved or {"size": [SIDE_PX, SIDE_PX]})["size"]
    if pixels is None or pixels.shape[:2] != (height, width):
        pixels = np.full((height, width, 3), GREY, np.uint8)
    masks = [(from_rle(rle), rgb) for rle, rgb in ((offered, OFFERED_RGB), (saved, SAVED_RGB)) if rle]
    fitting = [(mask, rgb) for mask, rgb in masks if mask.shape == (height, width)]
    rows, columns = _window(
        np.logical_or.reduce([mask for mask, _ in fitting]) if fitting else np.ones((height, width), bool)
    )
    scale = SIDE_PX / max(rows.stop - rows.start, columns.stop - columns.start)
    size = (max(1, round((columns.stop - columns.start) * scale)), max(1, round((rows.stop - rows.start) * scale)))
    canvas = cv2.resize(pixels[rows, columns], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    for mask, rgb in fitting:
        part = cv2.resize(mask[rows, columns].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        paint_mask(canvas, part.astype(bool), rgb, outline_px=OUTLINE_PX)
    buffer = io.BytesIO()
    Pil.fromarray(canvas).save(buffer, "PNG")
    return buffer.getvalue()


def _window(mask: ndarray) -> tuple[slice, slice]:
    """Rows and columns of the mask's box with a margin; of the whole image if the mask is empty."""
    slices = []
    for axis in (1, 0):
        indices = np.flatnonzero(mask.any(axis))
        length = mask.shape[1 - axis]
        if not len(indices):
            slices.append(slice(0, length))
            continue
        margin = int((indices[-1] + 1 - indices[0]) * MARGIN) + 4
        slices.append(slice(max(0, int(indices[0]) - margin), min(length, int(indices[-1]) + 1 + margin)))
    return slices[0], slices[1]
