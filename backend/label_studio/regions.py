"""Masks as Label Studio's regions: brush run lengths, polygons, rectangles. The worker's side of `protocol`, which stays light."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from label_studio_sdk.converter.brush import mask2rle
from numpy import ndarray

from backend.label_studio.protocol import Control, Json

POLYGON_TOLERANCE_PX = 1.0
"""How far a polygon may stray from the mask's outline; one pixel keeps IoU above 0.99 on things of 50 pixels."""


def make_region(
    mask: Bool[ndarray, "h w"],
    control: Control,
    label: str,
    region_id: str,
    score: float,
    expression: str,
    meta: Mapping[str, Any] | None = None,
) -> Json:
    """A mask as a region of a control.

    Args:
        mask: bool (H, W) at the image's natural, upright size; not empty.
        control: Where it goes; decides between brush, polygon and rectangle.
        label: One of the control's labels.
        region_id: From `protocol.new_region_id`.
        score: In [0, 1].
        expression: What the mask was found by, empty for a click; kept as `meta.text`, which Label Studio shows and keeps.
        meta: Notes of ours, kept as `meta.ris`.

    Raises:
        ValueError: If the mask is empty, or the label is none of the control's.
    """
    if not mask.any():
        raise ValueError("An empty mask is no region.")
    if label not in control.labels:
        raise ValueError(f"{label!r} is no label of {control.name}, which has {', '.join(control.labels)}.")
    value, loss = {"brush": _as_brush, "polygon": _as_polygon, "rectangle": _as_rectangle}[control.kind](mask)
    notes = {**(meta or {}), **loss}
    height, width = mask.shape
    return {
        "id": region_id,
        "from_name": control.name,
        "to_name": control.to_name,
        "type": control.type,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": min(max(float(score), 0.0), 1.0),
        "value": {**value, control.type: [label]},
        "meta": {**({"text": [expression]} if expression else {}), **({"ris": notes} if notes else {})},
    }


def _as_brush(mask: Bool[ndarray, "h w"]) -> tuple[Json, Json]:
    """Run lengths of the mask, exactly: 0 and 255, since Label Studio draws 1 invisibly."""
    return {"format": "rle", "rle": mask2rle(mask.astype(np.uint8) * 255)}, {}


def _as_polygon(mask: Bool[ndarray, "h w"]) -> tuple[Json, Json]:
    """Outline of the largest part in percent of the image; a polygon has no holes and one part, so what is lost is noted."""
    (height, width), (x, y) = mask.shape, _corner(mask)
    outlines, hierarchy = cv2.findContours(_edge_grid(mask), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    is_outer = hierarchy[0, :, 3] < 0
    largest = max(np.flatnonzero(is_outer), key=lambda i: cv2.contourArea(outlines[i]))
    points = _simplify(outlines[largest]) / 2 + (x, y)
    percent = np.clip(points / (width, height) * 100, 0, 100)
    lost = {"dropped_parts": int(is_outer.sum()) - 1, "filled_holes": int((hierarchy[0, :, 3] == largest).sum())}
    return {"points": percent.tolist(), "closed": True}, {name: number for name, number in lost.items() if number}


def _as_rectangle(mask: Bool[ndarray, "h w"]) -> tuple[Json, Json]:
    """Tight box of the mask in percent of the image."""
    (height, width), (x, y) = mask.shape, _corner(mask)
    box_height, box_width = _crop(mask).shape
    sides = {"x": x / width, "y": y / height, "width": box_width / width, "height": box_height / height}
    return {**{name: float(share) * 100 for name, share in sides.items()}, "rotation": 0}, {}


def _edge_grid(mask: Bool[ndarray, "h w"]) -> UInt8[ndarray, "grid_h grid_w"]:
    """The mask's bounding box on a grid of pixel centres (odd indices) and pixel edges (even ones).

    An outline through pixel centres would lose half a pixel all around; on this grid it runs along the edges.
    """
    inside = _crop(mask)
    grid = np.zeros((2 * inside.shape[0] + 1, 2 * inside.shape[1] + 1), np.uint8)
    grid[1::2, 1::2] = inside
    return cv2.dilate(grid, np.ones((3, 3), np.uint8))


def _simplify(outline: ndarray) -> Float[ndarray, "n 2"]:
    """Fewer points (Douglas-Peucker), at least three: as drawn, if the thing is smaller than the tolerance."""
    simple = cv2.approxPolyDP(outline, 2 * POLYGON_TOLERANCE_PX, closed=True)
    is_flat = len(simple) < 3 or cv2.contourArea(simple) == 0
    return (outline if is_flat else simple).reshape(-1, 2).astype(float)


def _corner(mask: Bool[ndarray, "h w"]) -> tuple[int, int]:
    return int(mask.any(0).argmax()), int(mask.any(1).argmax())


def _crop(mask: Bool[ndarray, "h w"]) -> Bool[ndarray, "box_h box_w"]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
