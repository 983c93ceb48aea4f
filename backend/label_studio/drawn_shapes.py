"""The shapes that Label Studio draws, as masks."""

import base64
import binascii
import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image as Pil
from pycocotools import mask as coco

from backend.label_studio.brush import MAX_PIXELS, decode_brush
from ris_core.arrays import Array
from ris_core.geometry.masks import Rle, to_rle

SHAPES = {"brush": "rle", "polygon": "points", "rectangle": "width", "ellipse": "radiusX", "bitmask": "imageDataURL"}
"""What each shape cannot be without; Label Studio also writes strays of the same id that lack it."""
NO_AREA = {"keypoint": "a point", "vector": "a path"}
"""Shapes that enclose nothing."""
KNOWN_MASKS = 512
"""Masks kept decoded: an update repeats the regions that were not touched."""
_PNG = "data:image/png;base64,"


def read_mask(shape: str, result: Mapping[str, Any]) -> Rle:
    """The mask of a result, at its image's size.

    Args:
        shape: A name of `SHAPES`.

    Raises:
        ValueError, TypeError, KeyError, OverflowError: If its value does not fit its shape.
    """
    value, size_hw = result["value"], _size(result)
    if shape == "brush":
        return _read_brush(bytes(value["rle"]), size_hw)
    if shape == "bitmask":
        return _read_bitmask(str(value["imageDataURL"]), size_hw)
    scale = np.array([size_hw[1], size_hw[0]]) / 100  # from percent to pixels
    if shape == "ellipse":
        return _read_ellipse(value, scale, size_hw)
    corners = _polygon(value, scale) if shape == "polygon" else _rectangle(value, scale)
    if not np.isfinite(corners).all():
        raise ValueError("corners that are no numbers")
    outline = corners.clip(0, size_hw[::-1]).ravel().tolist()
    encoded = coco.merge(coco.frPyObjects([outline], *size_hw))
    return Rle(size=list(size_hw), counts=encoded["counts"].decode("ascii"))


@lru_cache(KNOWN_MASKS)
def _read_brush(packed: bytes, size_hw: tuple[int, int]) -> Rle:
    return to_rle(decode_brush(packed, size_hw))


@lru_cache(KNOWN_MASKS)
def _read_bitmask(address: str, size_hw: tuple[int, int]) -> Rle:
    """The pixels of a PNG that are not wholly transparent, which is what Label Studio shows."""
    if not address.startswith(_PNG):
        raise ValueError("a bitmask that is no PNG")
    try:
        with Pil.open(io.BytesIO(base64.b64decode(address[len(_PNG) :])), formats=("PNG",)) as picture:
            if picture.size != size_hw[::-1]:
                raise ValueError(f"a bitmask of {picture.height}x{picture.width} pixels, not {size_hw[0]}x{size_hw[1]}")
            return to_rle(np.asarray(picture.convert("RGBA"))[:, :, 3] > 0)
    except (OSError, SyntaxError, binascii.Error) as error:
        raise ValueError("a bitmask whose PNG cannot be read") from error


def _read_ellipse(value: Mapping[str, Any], scale: Float[Array, "2"], size_hw: tuple[int, int]) -> Rle:
    """The pixels whose centres lie inside; a turned ellipse turns about its centre."""
    centre = np.array([float(value["x"]), float(value["y"])]) * scale
    radii = np.array([float(value["radiusX"]), float(value["radiusY"])]) * scale
    angle = np.deg2rad(float(value.get("rotation") or 0))
    if not np.isfinite([*centre, *radii, angle]).all() or (radii <= 0).any():
        raise ValueError("an ellipse without an area")
    rows, columns = (np.arange(length) + 0.5 for length in size_hw)
    x, y = columns[None] - centre[0], rows[:, None] - centre[1]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return to_rle((along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1)


def _polygon(value: Mapping[str, Any], scale: Float[Array, "2"]) -> Float[Array, "n 2"]:
    corners = np.array(value["points"], float)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise ValueError(f"a polygon of {len(corners)} points")
    scaled: Array = corners * scale
    return scaled


def _rectangle(value: Mapping[str, Any], scale: Float[Array, "2"]) -> Float[Array, "4 2"]:
    """Corners; a turned rectangle turns about its first one."""
    sides = np.array([[float(value["x"]), float(value["y"])], [float(value["width"]), float(value["height"])]])
    (x, y), (width, height) = sides * scale
    angle = np.deg2rad(float(value.get("rotation") or 0))
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    around: Array = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ turned + (x, y)
    return around


def _size(result: Mapping[str, Any]) -> tuple[int, int]:
    height, width = int(result["original_height"]), int(result["original_width"])
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"an image of {height}x{width} pixels")
    return height, width
