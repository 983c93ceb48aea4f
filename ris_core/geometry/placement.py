"""Where things are, softly: how well boxes fit a position, a relation or a place in an order, as shares in [0, 1].

Every judgement is a logistic function of a margin, so that a thing slightly off is worth less, not nothing. Distances are in
*sides*, the side of the square with the picture's area. Keywords are those of `ris_core.language.lexicon`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array

DIRECTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
"""Unit vector (x, y) of each direction; y points down."""
SHARE_SOFTNESS = 0.05
"""Margin of a position in the picture, as a share of its width or height, that is worth odds of e to 1."""
SIDE_SOFTNESS = 0.02
"""The same of distances, in sides."""
SIZE_SOFTNESS = 0.12
"""The same of sizes, as a natural logarithm of their ratio."""
REACH, NEAR, BESIDE = 0.03, 0.13, 0.33
"""In sides: from where something is left of another; the gap up to which it is next to it. Of the distance between two
landmarks: how far aside of their line something may be to stand between them."""
LEEWAY = 0.08
"""Share of the picture's width or height by which something may be on the wrong side of the middle without being plainly there."""
DIAGONAL = 2
"""How many times as far aside as along a direction something may be to be there at all."""
OFF_CENTRE = 0.12
"""Share of a thing's width or height from which a part of it lies at that side; the centre of a half is 0.25 away."""
INSIDE, PARTLY = 0.6, 0.2
"""Share of a thing's box within another's from which it is in that; from which it may be: flowers stand out of their vase."""
SIZES = frozenset(["big", "small", "tall", "short", "long", "wide", "narrow"])
"""Measures in logarithms."""


@dataclass(frozen=True, eq=False)
class ProposalLayout:
    """The boxes of N things in a picture.

    Attributes:
        boxes_xywh: (N, 4), in pixels.
        areas: (N,) of the masks, in pixels.
        size_hw: Height and width of the picture in pixels.
    """

    boxes_xywh: Float[Array, "n 4"]
    areas: Float[Array, "n"]
    size_hw: tuple[int, int]

    @property
    def centres(self) -> Float[Array, "n 2"]:
        """Centres (x, y) of the boxes, in sides."""
        return (self.boxes_xywh[:, :2] + self.boxes_xywh[:, 2:] / 2) / self.side_px

    @property
    def bottoms(self) -> Float[Array, "n"]:
        """Lower edges of the boxes, in sides."""
        return (self.boxes_xywh[:, 1] + self.boxes_xywh[:, 3]) / self.side_px

    @property
    def side_px(self) -> float:
        """The unit of distances in pixels."""
        height, width = self.size_hw
        return float((height * width) ** 0.5)


def gaps(layout: ProposalLayout) -> Float[Array, "n n"]:
    """Distances between the boxes, in sides; 0 where they touch."""
    low, high = layout.boxes_xywh[:, :2], layout.boxes_xywh[:, :2] + layout.boxes_xywh[:, 2:]
    apart = np.maximum(low[None] - high[:, None], low[:, None] - high[None])
    gaps_sides: Float[Array, "n n"] = np.linalg.norm(np.clip(apart, 0, None), axis=-1) / layout.side_px
    return gaps_sides


def distances(layout: ProposalLayout) -> Float[Array, "n n"]:
    """Distances between the centres, in sides."""
    distances_sides: Float[Array, "n n"] = np.linalg.norm(layout.centres[:, None] - layout.centres[None], axis=-1)
    return distances_sides


def position(layout: ProposalLayout, keyword: str, leeway: bool = False) -> Float[Array, "n"]:
    """How well each thing fits a part of the picture; with `leeway` low only for what is plainly elsewhere."""
    height, width = layout.size_hw
    x, y = (layout.centres * layout.side_px / (width, height)).T
    bottom = layout.bottoms * layout.side_px / height
    depths = {
        "left": 0.5 - x,
        "right": x - 0.5,
        "up": 0.5 - y,
        "down": y - 0.5,
        "middle": 0.25 - np.maximum(abs(x - 0.5), abs(y - 0.5)),
        "front": (bottom - 0.7) / 3,
        "back": (0.7 - bottom) / 3,
    }
    return logistic((depths[keyword] + LEEWAY * leeway) / SHARE_SOFTNESS)


def side(layout: ProposalLayout, keyword: str) -> Float[Array, "n n"]:
    """How well the first thing lies at a side of the second, which it is a part of; front and back cannot be seen."""
    if keyword not in DIRECTIONS and keyword != "middle":
        return np.zeros((len(layout.areas),) * 2)
    step_px = (layout.centres[:, None] - layout.centres[None]) * layout.side_px
    x, y = np.moveaxis(step_px / np.maximum(layout.boxes_xywh[None, :, 2:], 1), -1, 0)
    depths = {"left": -x, "right": x, "up": -y, "down": y, "middle": 2 * OFF_CENTRE - np.maximum(abs(x), abs(y))}
    return logistic((depths[keyword] - OFF_CENTRE) / SHARE_SOFTNESS)


def relation(layout: ProposalLayout, keyword: str, leeway: bool = False) -> Float[Array, "n n"]:
    """How well the first thing stands in a relation to the second; with a size for keyword, how surely it is larger or so.

    With `leeway` low only where the relation plainly does not hold: a diagonal neighbour is to the left, and below.
    """
    if keyword in DIRECTIONS:
        return _beside(layout, keyword, leeway)
    if keyword in ("near", "with"):
        return _near(layout, NEAR * (1 + leeway))
    if keyword == "far":
        return 1 - _near(layout, NEAR)
    if keyword in ("front", "back"):
        return _near(layout, 2 * NEAR) * (_ends_lower(layout) if keyword == "front" else _ends_lower(layout).T)
    low, sizes = layout.boxes_xywh[:, :2], layout.boxes_xywh[:, 2:]
    high = low + sizes
    common = np.clip(np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None]), 0, None)
    covered = common / np.maximum(sizes[:, None], 1)  # (N, N, 2): share of the first's width and height
    if keyword == "in":
        return logistic((covered.prod(-1) - (PARTLY if leeway else INSIDE)) / 0.1)
    if keyword == "on":
        return logistic((covered[..., 0] - 0.3) / 0.1) * _near(layout, NEAR) * _ends_lower(layout).T
    size = measure(layout, keyword)
    return logistic((size[:, None] - size[None]) / SIZE_SOFTNESS)


def between(layout: ProposalLayout) -> Float[Array, "n n n"]:
    """How well the first thing stands between the second and the third: along their line, and not far aside of it."""
    at = layout.centres
    line = at[None, :, :] - at[:, None, :]  # from the second (j) to the third (k)
    length = np.maximum(np.linalg.norm(line, axis=-1), 1e-6)
    step = at[:, None, :] - at[None, :, :]  # from the second (j) to the first (i), as [i, j]
    along = np.einsum("ijc,jkc->ijk", step, line) / length[None] ** 2
    across = (
        abs(step[:, :, None, 0] * line[None, ..., 1] - step[:, :, None, 1] * line[None, ..., 0]) / length[None] ** 2
    )
    return logistic((along - 0.1) / 0.05) * logistic((0.9 - along) / 0.05) * logistic((BESIDE - across) / 0.06)


def measure(layout: ProposalLayout, keyword: str) -> Float[Array, "n"]:
    """What a rank orders by, largest first: sides for directions, logarithms for sizes."""
    if keyword in DIRECTIONS:
        return layout.centres @ DIRECTIONS[keyword]
    if keyword in ("middle", "edge"):
        outwards: Float[Array, "n"] = abs(layout.centres * layout.side_px / layout.size_hw[::-1] - 0.5).max(1)
        return outwards if keyword == "edge" else -outwards
    sizes = (layout.areas, layout.boxes_xywh[:, 2], layout.boxes_xywh[:, 3])
    area, width, height = (np.log(np.maximum(size, 1)) for size in sizes)
    nearness = layout.bottoms + area / 8  # what is nearer to the viewer ends lower in the picture, and is larger
    measures: dict[str, Float[Array, "n"]] = {
        "big": area,
        "small": -area,
        "tall": height,
        "short": -height,
        "long": np.maximum(width, height),
        "wide": width,
        "narrow": -width,
        "front": nearness,
        "back": -nearness,
    }
    return measures[keyword]


def softness(keyword: str) -> float:
    """Difference of a measure that is worth odds of e to 1."""
    return SIZE_SOFTNESS if keyword in SIZES else SIDE_SOFTNESS


def rank(
    values: Float[Array, "n"],
    softness: float,
    weights: Float[Array, "n"],
    same: Bool[Array, "n n"],
    place: int,
    count: int,
) -> Float[Array, "n"]:
    """Chance of each thing to be among the places `place` to `place + count - 1` of an order, largest value first.

    The number of things ahead of one is a sum of independent chances (Poisson-binomial). The only thing there is comes first, so
    a true "big" takes nothing from it.

    Args:
        values: What orders them.
        softness: Difference of values that is worth odds of e to 1.
        weights: Chance of each to take part, in [0, 1]; one of several proposals of the same thing has it, the others 0.
        same: Whether two proposals are the same thing, which is not ahead of itself.
        place: From 1.
        count: How many places.
    """
    ahead = weights[None] * logistic((values[None] - values[:, None]) / softness) * (1 - same)
    chances = np.zeros((len(values), place + count))
    chances[:, 0] = 1
    for j in range(len(values)):
        one = ahead[:, j : j + 1]
        chances[:, 1:] = chances[:, 1:] * (1 - one) + chances[:, :-1] * one
        chances[:, 0] *= 1 - one[:, 0]
    sums: Float[Array, "n"] = np.clip(chances[:, place - 1 : place + count - 1].sum(1), 0, 1)  # rounding may exceed 1
    return sums


def alone(weights: Float[Array, "n"], same: Bool[Array, "n n"]) -> Float[Array, "n"]:
    """Chance of each thing that nothing else takes part. Args: as of `rank`."""
    chances: Float[Array, "n"] = np.prod(1 - weights[None] * (1 - same), axis=1)
    return chances


def logistic(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(x / 2))


def _beside(layout: ProposalLayout, keyword: str, leeway: bool) -> Float[Array, "n n"]:
    """Far enough in the direction, and rather along it than across; with `leeway` not much more across."""
    step = layout.centres[:, None] - layout.centres[None]
    x, y = DIRECTIONS[keyword]
    along, across = step @ (x, y), abs(step @ (y, x))
    aside = (DIAGONAL if leeway else 1) * along - across + NEAR
    return logistic((along - REACH) / SIDE_SOFTNESS) * logistic(aside / (3 * SIDE_SOFTNESS))


def _near(layout: ProposalLayout, reach: float) -> Float[Array, "n n"]:
    return logistic((reach - gaps(layout)) / (1.5 * SIDE_SOFTNESS))


def _ends_lower(layout: ProposalLayout) -> Float[Array, "n n"]:
    return logistic((layout.bottoms[:, None] - layout.bottoms[None]) / (1.5 * SIDE_SOFTNESS))
