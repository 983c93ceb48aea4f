"""Masks as Label Studio's regions: brush run lengths, polygons, rectangles. The worker's side of `protocol`, which stays light."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from backend.label_studio.brush import encode_brush
from backend.label_studio.label_config import Control
from backend.label_studio.protocol import Json

Ring = ndarray
"""A closed outline as OpenCV gives it: int (N, 1, 2), x and y."""

POLYGON_IOU = 0.98
"""Least IoU of a polygon with the part of the mask that it is drawn around, holes and all."""
POLYGON_TOLERANCES_PX = (4.0, 2.0, 1.0, 0.5, 0.0)
"""How far a polygon may stray from the outline, tried in this order until it keeps `POLYGON_IOU`."""


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
    """Run lengths of the mask, exactly."""
    return {"format": "rle", "rle": encode_brush(mask)}, {}


def _as_polygon(mask: Bool[ndarray, "h w"]) -> tuple[Json, Json]:
    """Outline of the largest part in percent of the image, its holes cut in; what it loses, and its IoU with the mask, are noted."""
    (height, width), (x, y) = mask.shape, _corner(mask)
    grid = _edge_grid(mask)
    rings, hierarchy = cv2.findContours(grid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    is_outer = hierarchy[0, :, 3] < 0
    largest = max(np.flatnonzero(is_outer), key=lambda i: cv2.contourArea(rings[i]))
    part = [rings[largest], *(rings[i] for i in np.flatnonzero(hierarchy[0, :, 3] == largest))]
    part = [part[0], *(hole for hole in part[1:] if cv2.contourArea(hole) > 0)]
    simple = _simplify(part, grid)
    percent = np.clip((_cut_in(simple) / 2 + (x, y)) / (width, height) * 100, 0, 100)
    lost = {"dropped_parts": int(is_outer.sum()) - 1} if is_outer.sum() > 1 else {}
    kept = {"polygon_iou": round(_iou(_fill(simple, grid), grid > 0), 3)}
    return {"points": percent.tolist(), "closed": True}, {**kept, **lost}


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


def _simplify(part: Sequence[Ring], grid: UInt8[ndarray, "grid_h grid_w"]) -> list[Ring]:
    """A part's outline and holes with fewer points (Douglas-Peucker), as few as keep `POLYGON_IOU`; at least three each."""
    exact = _fill(part, grid)
    for tolerance_px in POLYGON_TOLERANCES_PX:
        simple = [_thin_out(ring, tolerance_px) for ring in part]
        if _iou(_fill(simple, grid), exact) >= POLYGON_IOU:
            break
    return simple


def _thin_out(ring: Ring, tolerance_px: float) -> Ring:
    """As drawn, if the thing is smaller than the tolerance."""
    simple = cv2.approxPolyDP(ring, 2 * tolerance_px, closed=True)
    is_flat = len(simple) < 3 or cv2.contourArea(simple) == 0
    return ring if is_flat else simple


def _cut_in(part: Sequence[Ring]) -> Float[ndarray, "n 2"]:
    """One ring of an outline and its holes: a cut of no width leads to each hole and back.

    OpenCV turns holes the other way around, so that they stay holes however a polygon is filled.
    """
    ring, *holes = (one.reshape(-1, 2).astype(float) for one in part)
    while holes:  # the nearest first: no cut crosses a hole that is not cut in yet
        nearest = [_find_bridge(ring, hole) for hole in holes]
        i = min(range(len(holes)), key=lambda i: nearest[i][0])
        hole, (_, at, start) = holes.pop(i), nearest[i]
        ring = np.concatenate([ring[: at + 1], hole[start:], hole[: start + 1], ring[at:]])
    return ring


def _find_bridge(ring: Float[ndarray, "n 2"], hole: Float[ndarray, "m 2"]) -> tuple[float, int, int]:
    """The shortest way from a ring's corner to a hole's: its squared length, and the two corners."""
    squared = ((ring[:, None] - hole[None]) ** 2).sum(-1)
    at, start = np.unravel_index(squared.argmin(), squared.shape)
    return float(squared[at, start]), int(at), int(start)


def _fill(part: Sequence[Ring], grid: UInt8[ndarray, "grid_h grid_w"]) -> Bool[ndarray, "grid_h grid_w"]:
    """What an outline with holes encloses on the grid of `_edge_grid`; the rim of a hole is none of the hole."""
    outer, *holes = part
    filled = cv2.fillPoly(np.zeros_like(grid), [outer], 1)
    if holes:
        cv2.fillPoly(filled, holes, 0)
        cv2.polylines(filled, holes, isClosed=True, color=1)
    return filled > 0


def _iou(one: Bool[ndarray, "h w"], two: Bool[ndarray, "h w"]) -> float:
    return float((one & two).sum() / (one | two).sum())


def _corner(mask: Bool[ndarray, "h w"]) -> tuple[int, int]:
    return int(mask.any(0).argmax()), int(mask.any(1).argmax())


def _crop(mask: Bool[ndarray, "h w"]) -> Bool[ndarray, "box_h box_w"]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
