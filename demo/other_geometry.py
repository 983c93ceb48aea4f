"""Whether a thing is where people would say it is: 1 plainly, -1 plainly not, 0 where they would disagree.

What the words mean is written down in `demo.other_expressions`; here it is measured.
"""

from functools import cached_property
from itertools import pairwise

import numpy as np

from demo.scenes import Scene
from ris_core.arrays import Array

SIDES = {"left": (0, False), "right": (0, True), "top": (1, False), "bottom": (1, True)}
"""Axis of a side, and whether it is the far end of that axis."""
RELATION_SIDES = {"left": "left", "right": "right", "above": "top", "below": "bottom"}
OUTLINE_POINTS = 160
"""Most points of an outline that distances are measured from."""


class SceneMeasures:
    """Boxes, sizes and distances of a scene's things."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        h, w = scene.image.shape[:2]
        self.size_wh = np.array([w, h], float)
        self.diagonal = float(np.hypot(w, h))
        boxes = np.array([thing.box_xywh for thing in scene.objects], float)
        self.low, self.sides = boxes[:, :2], boxes[:, 2:]
        self.high = self.low + self.sides
        self.middle = self.low + self.sides / 2
        self.area = np.array([thing.mask.sum() for thing in scene.objects], float)

    @cached_property
    def outlines(self) -> list[Array]:
        """Points (x, y) on each thing's outline."""
        found = []
        for thing in self.scene.objects:
            mask = np.pad(thing.mask, 1)
            inner = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
            points = np.argwhere(thing.mask & ~inner)[:, ::-1].astype(float)
            found.append(points[:: max(1, len(points) // OUTLINE_POINTS)])
        return found

    @cached_property
    def gaps(self) -> Array:
        """Distances between outlines, (n, n)."""
        n = len(self.outlines)
        gaps = np.zeros((n, n))
        for i in range(n):
            for j in range(i):
                between = self.outlines[i][:, None] - self.outlines[j][None]
                gaps[i, j] = gaps[j, i] = np.sqrt((between**2).sum(2).min())
        return gaps

    def reach(self, i: int, j: int) -> float:
        """How big two things are together, as a measure of what is near them."""
        return float((self.area[i] ** 0.5 + self.area[j] ** 0.5) / 2)

    def from_side(self, side: str, i: int) -> float:
        """How far the middle of a thing is from a side of the picture, in [0, 1]."""
        axis, far = SIDES[side]
        share = self.middle[i, axis] / self.size_wh[axis]
        return float(1 - share if far else share)

    def edges_from_side(self, side: str, i: int) -> tuple[float, float]:
        """The nearer and the farther edge of a thing, as `from_side`."""
        axis, far = SIDES[side]
        low, high = self.low[i, axis] / self.size_wh[axis], self.high[i, axis] / self.size_wh[axis]
        return (float(1 - high), float(1 - low)) if far else (float(low), float(high))

    def order(self, side: str, group: list[int], gap: float) -> list[int] | None:
        """The group from a side onwards; None if two are about level or their edges say otherwise."""
        ordered = sorted(group, key=lambda i: self.from_side(side, i))
        for one, two in pairwise(ordered):
            (near, far), (next_near, next_far) = self.edges_from_side(side, one), self.edges_from_side(side, two)
            overlap = (far - next_near) / min(far - near, next_far - next_near)
            if self.from_side(side, two) - self.from_side(side, one) < gap or near >= next_near or far >= next_far:
                return None
            if overlap > 0.4:
                return None
        return ordered

    def outermost(self, side: str, group: list[int], gap: float = 0.06) -> int | None:
        """The one nearest to a side, by its middle and by its edge, with a clear lead on every other."""
        first = min(group, key=lambda i: self.from_side(side, i))
        near, far = self.edges_from_side(side, first)
        for other in set(group) - {first}:
            other_near, other_far = self.edges_from_side(side, other)
            overlap = (far - other_near) / min(far - near, other_far - other_near)
            if self.from_side(side, other) - self.from_side(side, first) < gap or near >= other_near or overlap > 0.4:
                return None
        return first

    def on_side(self, side: str, group: list[int]) -> int | None:
        """The one of a group that is simply "on the left"."""
        if len(group) == 1:
            return group[0] if self.in_part(side, group[0]) == 1 else None
        first = self.outermost(side, group, 0.1)
        if first is None or len(group) == 2:
            return first
        places = sorted(self.from_side(side, i) for i in group)
        steps = np.diff(places)
        return first if steps[0] >= 0.12 and (places[1] >= 0.5 or steps[0] >= 1.5 * steps[1:].max()) else None

    def in_part(self, side: str, i: int) -> int:
        """Whether a thing lies in the part of the picture along a side."""
        near, far = self.edges_from_side(side, i)
        place = self.from_side(side, i)
        if place < 0.36 and far < 0.55:
            return 1
        return -1 if place > 0.6 and near > 0.42 else 0

    def in_corner(self, one: str, two: str, i: int) -> int:
        """Whether a thing lies in the corner of two sides."""
        places = self.from_side(one, i), self.from_side(two, i)
        if max(places) < 0.34:
            return 1
        return -1 if max(places) > 0.58 else 0

    def beside_axis(self, relation: str, i: int, j: int) -> int:
        """Whether `i` is left of, right of, above or below `j`."""
        axis, far = SIDES[RELATION_SIDES[relation]]
        if far:
            along = self.middle[i, axis] - self.middle[j, axis]
            gap = self.low[i, axis] - self.high[j, axis]
        else:
            along = self.middle[j, axis] - self.middle[i, axis]
            gap = self.low[j, axis] - self.high[i, axis]
        across = abs(self.middle[i, 1 - axis] - self.middle[j, 1 - axis])
        smaller = np.minimum(self.sides[i], self.sides[j])
        shared = min(self.high[i, 1 - axis], self.high[j, 1 - axis]) - max(self.low[i, 1 - axis], self.low[j, 1 - axis])
        level = shared >= 0.4 * smaller[1 - axis]
        if gap >= -0.15 * smaller[axis] and (level or across <= 0.7 * along):
            return 1
        return -1 if along <= 0 or across > 3 * along else 0

    def near(self, i: int, j: int) -> int:
        """Whether two things are next to each other, told from the gap between their outlines."""
        gap, reach = self.gaps[i, j], self.reach(i, j)
        if gap <= 0.6 * reach:
            return 1
        return -1 if gap > 1.8 * reach and gap > 0.12 * self.diagonal else 0

    def nearest(self, group: list[int], j: int) -> int | None:
        """The one of a group nearest to `j`, by outlines and by middles."""
        first = min(group, key=lambda i: self.gaps[i, j])
        middles = np.hypot(*(self.middle - self.middle[j]).T)
        for other in set(group) - {first}:
            if self.gaps[other, j] < 1.5 * self.gaps[first, j] + 0.04 * self.diagonal:
                return None
            if middles[other] < 1.2 * middles[first]:
                return None
        return first

    def behind(self, i: int, j: int) -> int:
        """Whether `i` is partly covered by `j`; a thing farther up might be behind too."""
        shared = np.minimum(self.high[i], self.high[j]) - np.maximum(self.low[i], self.low[j])
        touching = self.gaps[i, j] <= 2.5
        smaller = min(np.prod(self.sides[i]), np.prod(self.sides[j]))
        if touching and i < j and (shared > 0).all() and np.prod(shared) >= 0.1 * smaller:
            return 1 if self.high[i, 1] <= self.high[j, 1] + 0.1 * self.sides[j, 1] else 0
        if touching or (shared > 0).all():
            return 0
        return 0 if self.near(i, j) >= 0 and self.high[i, 1] < self.high[j, 1] else -1

    def between(self, i: int, j: int, k: int) -> int:
        """Whether `i` stands between two others."""
        way = self.middle[k] - self.middle[j]
        length = float(np.hypot(*way))
        if length == 0:
            return 0
        offset = self.middle[i] - self.middle[j]
        share = float(offset @ way) / length**2
        aside = abs(float(offset[0] * way[1] - offset[1] * way[0])) / length
        room = max(self.area[i] ** 0.5 / 2, (self.area[j] ** 0.5 + self.area[k] ** 0.5) / 4)
        clear = min(self.gaps[i, j], self.gaps[i, k]) > 2.5
        if 0.22 <= share <= 0.78 and aside <= 0.8 * room and aside <= 0.3 * length and clear:
            return 1
        return -1 if not -0.1 <= share <= 1.1 or aside > 0.6 * length + room else 0

    @cached_property
    def whole_area(self) -> Array:
        """The most that each thing may measure with its hidden parts, as somebody may see it before his mind's eye."""
        whole = self.area.copy()
        for i in range(len(whole)):
            covered = any(self.gaps[i, j] <= 2.5 for j in range(i + 1, len(whole)))
            cut = (self.low[i] <= 0).any() or (self.high[i] >= self.size_wh).any()
            whole[i] /= 0.6 if covered or cut else 1
        return whole

    def biggest(self, group: list[int]) -> int | None:
        """The one that looks biggest, by its visible area, its box and its longer side."""
        first = max(group, key=lambda i: self.area[i])
        return first if all(self.outsizes(first, other) for other in group if other != first) else None

    def smallest(self, group: list[int]) -> int | None:
        """The one that looks smallest, likewise."""
        first = min(group, key=lambda i: self.area[i])
        return first if all(self.outsizes(other, first) for other in group if other != first) else None

    def outsizes(self, i: int, j: int) -> bool:
        """Whether nobody would doubt that `i` is bigger."""
        boxes, longest = self.sides.prod(1), self.sides.max(1)
        return bool(
            self.area[i] >= 1.5 * self.whole_area[j] and boxes[i] >= 1.4 * boxes[j] and longest[i] >= 1.1 * longest[j]
        )

    def tallest(self, group: list[int]) -> int | None:
        """The one that is clearly higher from foot to head than the others."""
        heights = sorted(self.sides[group, 1])
        first = max(group, key=lambda i: self.sides[i, 1])
        return first if heights[-1] >= 1.3 * heights[-2] else None
