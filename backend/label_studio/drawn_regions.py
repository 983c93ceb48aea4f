"""What is drawn on an image in Label Studio's JSON, as masks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pycocotools import mask as coco

from backend.base.redaction import reason_of
from backend.label_studio.brush import MAX_PIXELS, decode_brush
from backend.label_studio.label_config import MESSAGE_NAME
from backend.label_studio.protocol import Json
from ris_core.geometry.masks import Rle, to_rle

Wording = Literal["region", "meta", "task"]

SHAPES = {"brush": "rle", "polygon": "points", "rectangle": "width"}
"""What each kind of region cannot be without; Label Studio also writes strays of the same id that lack it."""
GESTURES = ("click", "box")
"""What `meta.ris.by` of a region says if clicks or a box made it."""
KNOWN_MASKS = 512
"""Masks kept decoded: an update repeats the regions that were not touched."""


@dataclass(frozen=True)
class DrawnRegion:
    """A region of an annotation or a prediction.

    Attributes:
        id: Label Studio's.
        from_name: The control that it belongs to.
        label: Its first label; empty if it has none.
        expression: What it is called; None if nothing says so.
        wording: Where the expression stands: in a text of the region, in its meta, or in the task's data.
        origin: "prediction", "prediction-changed" or "manual"; empty if nothing says so.
        score: In [0, 1]; None if it has none.
        made_for: The task that it was handed out for, if it says so.
        is_refined: Clicks or a box made or corrected it before it was accepted.
        mask: At the image's size.
    """

    id: str
    from_name: str
    label: str
    expression: str | None
    wording: Wording | None
    origin: str
    score: float | None
    made_for: str | None
    mask: Rle
    is_refined: bool = False

    def to_json(self) -> Json:
        """As it is stored."""
        return asdict(self)


def read_drawn(
    results: object, gestures: frozenset[str] = frozenset()
) -> tuple[tuple[DrawnRegion, ...], tuple[str, ...]]:
    """The regions of a `result`, in its order, and what could not be read, in words.

    Clicks, boxes of smart tools, and messages are none. Of several results of one id the one whose value fits its type
    counts: Label Studio adds strays when a label of another control is active.

    Args:
        results: Label Studio's list.
        gestures: Names of controls whose regions only ask for something.
    """
    listed = [result for result in results if isinstance(result, Mapping)] if isinstance(results, list) else []
    texts = {str(r.get("id")): text for r in listed if r.get("type") == "textarea" and (text := _first_text(r))}
    regions: dict[str, DrawnRegion] = {}
    problems = []
    for result in listed:
        kind = str(result.get("type", "")).removesuffix("labels")
        value, region_id = result.get("value"), str(result.get("id", ""))
        if kind not in SHAPES or result.get("from_name") in gestures or not isinstance(value, Mapping):
            continue
        if SHAPES[kind] not in value or region_id in regions:
            continue
        try:
            mask = _read_mask(kind, value, _size(result))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            problems.append(f"region {region_id}: {reason_of(error)}")
            continue
        own, meta = texts.get(region_id), _first_meta(result)
        regions[region_id] = DrawnRegion(
            id=region_id,
            from_name=str(result.get("from_name", "")),
            label=_first(value.get(f"{kind}labels")) or "",
            expression=own or meta,
            wording="region" if own else "meta" if meta else None,
            origin=str(result.get("origin") or ""),
            score=read_number(result.get("score")),
            made_for=_made_for(result),
            mask=mask,
            is_refined=_read_notes(result).get("by") in GESTURES,
        )
    return tuple(regions.values()), tuple(problems)


def read_texts(results: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Id and entries of every text that belongs to the whole task, such as the prompt; messages are none."""
    listed = [result for result in results if isinstance(result, Mapping)] if isinstance(results, list) else []
    regions = {str(result.get("id")) for result in listed if result.get("type") != "textarea"}
    return tuple(
        (str(result.get("id")), _texts(result))
        for result in listed
        if result.get("type") == "textarea"
        and result.get("from_name") != MESSAGE_NAME
        and str(result.get("id")) not in regions
    )


def read_number(value: object) -> float | None:
    """The number that a field should be; None if it is something else, or none that a database takes."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 2**63 else None


def _read_mask(kind: str, value: Mapping[str, Any], size_hw: tuple[int, int]) -> Rle:
    if kind == "brush":
        return _read_brush(bytes(value["rle"]), size_hw)
    height, width = size_hw
    scale = np.array([width, height]) / 100  # from percent to pixels
    corners = _polygon(value, scale) if kind == "polygon" else _rectangle(value, scale)
    if not np.isfinite(corners).all():
        raise ValueError("corners that are no numbers")
    outline = corners.clip(0, (width, height)).ravel().tolist()
    encoded = coco.merge(coco.frPyObjects([outline], height, width))
    return Rle(size=[height, width], counts=encoded["counts"].decode("ascii"))


@lru_cache(KNOWN_MASKS)
def _read_brush(packed: bytes, size_hw: tuple[int, int]) -> Rle:
    return to_rle(decode_brush(packed, size_hw))


def _polygon(value: Mapping[str, Any], scale: Float[ndarray, "2"]) -> Float[ndarray, "n 2"]:
    corners = np.array(value["points"], float)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise ValueError(f"a polygon of {len(corners)} points")
    return corners * scale


def _rectangle(value: Mapping[str, Any], scale: Float[ndarray, "2"]) -> Float[ndarray, "4 2"]:
    """Corners; a turned rectangle turns about its first one."""
    sides = np.array([[float(value["x"]), float(value["y"])], [float(value["width"]), float(value["height"])]])
    (x, y), (width, height) = sides * scale
    angle = np.deg2rad(float(value.get("rotation") or 0))
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ turned + (x, y)


def _size(result: Mapping[str, Any]) -> tuple[int, int]:
    height, width = int(result["original_height"]), int(result["original_width"])
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"an image of {height}x{width} pixels")
    return height, width


def _first_meta(result: Mapping[str, Any]) -> str | None:
    meta = result.get("meta")
    return _first(meta.get("text")) if isinstance(meta, Mapping) else None


def _made_for(result: Mapping[str, Any]) -> str | None:
    """As answers and runs note it."""
    task = _read_notes(result).get("task")
    return task if isinstance(task, str) else None


def _read_notes(result: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = result.get("meta")
    notes = meta.get("ris") if isinstance(meta, Mapping) else None
    return notes if isinstance(notes, Mapping) else {}


def _first_text(result: Mapping[str, Any]) -> str | None:
    return next(iter(_texts(result)), None)


def _texts(result: Mapping[str, Any]) -> tuple[str, ...]:
    value = result.get("value")
    texts = value.get("text") if isinstance(value, Mapping) else None
    return tuple(text.strip() for text in _listed(texts) if isinstance(text, str) and text.strip())


def _first(value: object) -> str | None:
    return next((text.strip() for text in _listed(value) if isinstance(text, str) and text.strip()), None)


def _listed(value: object) -> Iterable[object]:
    return [value] if isinstance(value, str) else value if isinstance(value, Sequence) else ()
