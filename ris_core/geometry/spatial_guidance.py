"""Where things are: heat maps from patches, a prior by position, heat inside and outside a mask, boxes against boxes.

Source: [0] Liu and Li, "Hybrid Global-Local Representation with Augmented Spatial Guidance", CVPR 2025, Section 3.3. Where a
term of it is undefined (0/0) the functions are guarded; with `guarded=False` it is NaN, as released.
"""

from functools import reduce

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array

HEAT_PX = 448
"""Side of the square at which [0] makes heat maps before they are brought to the image's size."""
FLAT = 1e-6
"""A map whose values differ by less than this share of the largest is flat: the rest is rounding."""
BALANCE = {"big": 1.95, "small": 1.5}
"""How much heat left outside counts in `coherence`, in [0, 2], by relation."""
OTHER_BALANCE = 1.8


def heat_map(
    likeness: Float[Array, "rows columns"], size_hw: tuple[int, int], guarded: bool = True
) -> Float[Array, "h w"]:
    """A map of likeness at the size of an image, from 0 to 1; all 1 if it is flat.

    Args:
        likeness: Of square patches that cover the image, row by row, on any scale.
        size_hw: Of the image.
    """
    if np.ptp(likeness) <= FLAT * np.abs(likeness).max():
        return np.full(size_hw, 1.0 if guarded else np.nan)
    heat = resize(likeness, (HEAT_PX, HEAT_PX), size_hw)
    scaled_heat: Float[Array, "h w"] = (heat - heat.min()) / np.ptp(heat)
    return scaled_heat


def resize(values: Float[Array, "rows columns"], *sizes_hw: tuple[int, int]) -> Float[Array, "h w"]:
    """Interpolate linearly to one size after the other; anti-aliased where there are fewer pixels."""
    rows, columns = (
        reduce(lambda weights, size: _linear(len(weights), size) @ weights, lengths, np.eye(cells))
        for cells, lengths in zip(values.shape, zip(*sizes_hw, strict=True), strict=True)
    )
    return rows @ values @ columns.T


def position_prior(size_hw: tuple[int, int], position: str, vertical: bool = True) -> Float[Array, "h w"]:
    """How well each pixel's place suits a position, in [0, 1].

    Args:
        size_hw: Of the image.
        position: "left", "right", "middle" (of the columns), "up", "down"; anything else suits every place.
        vertical: Whether "up" and "down" mean something; the released code knows them but does nothing (Q-VERT).
    """
    height, width = size_hw
    half = width // 2
    columns = {
        "left": np.linspace(1, 0, width),
        "right": np.linspace(0, 1, width),
        "middle": np.concatenate([np.linspace(0, 1, half), np.linspace(1, 0, width - half)]),
    }
    rows = {"up": np.linspace(1, 0, height), "down": np.linspace(0, 1, height)} if vertical else {}
    prior: Float[Array, "h w"] = (
        np.ones(size_hw) * columns.get(position, 1.0) * np.reshape(rows.get(position, 1.0), (-1, 1))
    )
    return prior


def coherence(
    heat: Float[Array, "h w"], masks: Bool[Array, "n h w"], relation: str = "none", guarded: bool = True
) -> Float[Array, "n"]:
    """[0] Eq. 9: heat inside minus heat left outside, in units of the mean heat; larger is better.

    Args:
        heat: At least 0.
        masks: Of the same size.
        relation: "big" and "small" shift the balance between the two.
        guarded: An empty mask holds nothing; what lies outside of the whole image counts like the mean heat.
    """
    balance = BALANCE.get(relation, OTHER_BALANCE)
    if guarded and not heat.any():
        heat = np.ones_like(heat)
    with np.errstate(invalid="ignore"):
        density = heat / heat.mean()
    heat_inside, pixels = np.array([[density[mask].sum(), np.count_nonzero(mask)] for mask in masks]).reshape(-1, 2).T
    inside = _ratio(heat_inside, pixels, 0.0 if guarded else np.nan)
    outside = _ratio(density.sum() - heat_inside, density.size - pixels, 1.0 if guarded else np.nan)
    return (2 - balance) * inside - balance * outside


def relation_terms(
    boxes_xywh: Float[Array, "i 4"],
    scores: Float[Array, "i"],
    others_xywh: Float[Array, "j 4"],
    other_scores: Float[Array, "j"],
    relation: str,
    guarded: bool = True,
) -> Float[Array, "i j"]:
    """[0] Eq. 10: how well each thing stands in a relation to each other thing.

    Args:
        boxes_xywh, scores: Of the things.
        others_xywh, other_scores: Of what they are compared with.
        relation: "left", "right", "up", "down" by the boxes' centres, "big", "small" by their areas, "within" by the share
            of the box that the other covers; with "none" each thing keeps its score.
        guarded: A box without area is within nothing.

    Raises:
        ValueError: If there is no such relation.
    """
    (x, y), (other_x, other_y) = _centres(boxes_xywh), _centres(others_xywh)
    area, other_area = boxes_xywh[:, 2:].prod(1)[:, None], others_xywh[:, 2:].prod(1)[None]
    pairs = scores[:, None] * other_scores[None]
    holds = {
        "left": x[:, None] < other_x,
        "right": x[:, None] > other_x,
        "up": y[:, None] < other_y,
        "down": y[:, None] > other_y,
        "big": area > other_area,
        "small": area < other_area,
    }
    if relation == "none":
        return np.broadcast_to(scores[:, None], pairs.shape)
    if relation == "within":
        return pairs * _ratio(_overlap(boxes_xywh, others_xywh), area, 0.0 if guarded else np.nan)
    if relation not in holds:
        raise ValueError(f"No relation {relation!r}. Available: none, {', '.join(holds)}, within.")
    terms: Float[Array, "i j"] = pairs * holds[relation]
    return terms


def _linear(cells: int, pixels: int) -> Float[Array, "pixels cells"]:
    """Weights of linear interpolation between the centres of cells, anti-aliased where there are fewer pixels."""
    scale = cells / pixels
    centres = scale * (np.arange(pixels) + 0.5)
    distance = np.abs(np.arange(cells) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.clip(1 - distance, 0, None)
    shares: Float[Array, "pixels cells"] = weights / weights.sum(1, keepdims=True)
    return shares


def _ratio(part: Float[Array, "..."], whole: Float[Array, "..."], undefined: float) -> Float[Array, "..."]:
    """Element by element; `undefined` where the whole is 0."""
    ratio = np.full(np.broadcast_shapes(part.shape, whole.shape), undefined)
    quotients: Float[Array, "..."] = np.divide(part, whole, out=ratio, where=np.broadcast_to(whole != 0, ratio.shape))
    return quotients


def _centres(boxes_xywh: Float[Array, "n 4"]) -> Float[Array, "2 n"]:
    return (boxes_xywh[:, :2] + boxes_xywh[:, 2:] / 2).T


def _overlap(one: Float[Array, "i 4"], two: Float[Array, "j 4"]) -> Float[Array, "i j"]:
    """Area that each box shares with each other box."""
    low = np.maximum(one[:, None, :2], two[None, :, :2])
    high = np.minimum(one[:, None, :2] + one[:, None, 2:], two[None, :, :2] + two[None, :, 2:])
    areas: Float[Array, "i j"] = np.clip(high - low, 0, None).prod(-1)
    return areas
