"""A mask as one polygon along the edges of its pixels, exactly.

The boundary of a mask is a set of closed loops: around its parts, and around their holes. Here they are joined into one polygon by
bridges: straight lines that are walked there and back, so that no area lies between the two ways. COCO's tools count for each
pixel the sides of the polygon above it, and a side that is walked twice does not change whether that number is odd. So
pycocotools draws the mask again, pixel by pixel. Readers that draw the border itself too (OpenCV, Pillow) differ by at most one
pixel at a boundary or beside a bridge.

Coordinates are COCO's: the pixel in column x and row y covers [x, x + 1] times [y, y + 1].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from ris_core.arrays import Array


class _Edges(NamedTuple):
    """The upright edges of pixels between mask and background, from left to right and then downwards.

    Attributes:
        x: Column line of each, in [0, W].
        y: Its row, in [0, H).
        is_right: Whether the mask lies to its left.
    """

    x: Int[Array, "e"]
    y: Int[Array, "e"]
    is_right: Bool[Array, "e"]


class _Sides(NamedTuple):
    """The upright sides of the boundary, in the order of their edges: runs of edges between two turns of the boundary.

    Sides at the mask's right are walked downwards, the others upwards: clockwise around parts, the other way round in holes.

    Attributes:
        x: Column line of each, in [0, W].
        top, bottom: Its ends, in [0, H].
        is_right: Whether the mask lies to its left.
    """

    x: Int[Array, "n"]
    top: Int[Array, "n"]
    bottom: Int[Array, "n"]
    is_right: Bool[Array, "n"]


def to_polygon(mask: Bool[Array, "h w"]) -> Int[Array, "numbers"]:
    """The polygon of a mask with all its parts and holes: x, y, x, y, … from corner to corner, int32, at least 6 numbers.

    Of an empty mask it is an upright line, which draws nothing. Time and memory follow the number of pixels and the length of the
    boundary.
    """
    edges = _find_edges(mask)
    if not len(edges.x):
        return np.array([0, 0, 0, 1, 0, 2], np.int32)
    is_start = _find_turns(edges)
    sides, side_of_edge = _join_edges(edges, is_start), np.cumsum(is_start, dtype=np.int32) - 1
    following = _link_sides(sides)
    first = _find_first_sides(following)  # (m,): of each loop
    to = _find_left_sides(edges, side_of_edge, np.flatnonzero(is_start)[first])  # (m,)
    return _straighten(_walk(*_build_route(*_join_roots(sides, following, first, to)))).ravel()


def _find_edges(mask: Bool[Array, "h w"]) -> _Edges:
    columns = np.ascontiguousarray(mask.T)  # COCO's masks lie in memory column by column
    width, height = columns.shape
    is_edge = np.empty((width + 1, height), bool)
    is_edge[0], is_edge[-1] = columns[0], columns[-1]
    np.not_equal(columns[1:], columns[:-1], out=is_edge[1:-1])
    x, y = (index.astype(np.int32) for index in np.divmod(np.flatnonzero(is_edge), height))
    return _Edges(x, y, columns[x - 1, y] & (x > 0))


def _find_turns(edges: _Edges) -> Bool[Array, "e"]:
    """Whether a side begins at an edge. Where pixels touch by a corner only, the mask changes to the other side, and a side begins."""
    is_start = np.ones(len(edges.x), bool)
    is_start[1:] = (
        (edges.x[1:] != edges.x[:-1]) | (edges.y[1:] != edges.y[:-1] + 1) | (edges.is_right[1:] != edges.is_right[:-1])
    )
    return is_start


def _join_edges(edges: _Edges, is_start: Bool[Array, "e"]) -> _Sides:
    starts = np.flatnonzero(is_start)
    lasts = np.append(starts[1:], len(is_start)) - 1
    return _Sides(edges.x[starts], edges.y[starts], edges.y[lasts] + 1, edges.is_right[starts])


def _link_sides(sides: _Sides) -> Int[Array, "n"]:
    """The side that follows on each, along a level line: the ends of sides on a row line, from left to right, are joined in pairs.

    Where pixels touch by a corner, two ends lie at one place. The one of the mask's left side comes first, and then the boundary
    turns such that both pixels are in one part.
    """
    n = len(sides.x)
    x, is_right = np.tile(sides.x, 2), np.tile(sides.is_right, 2)
    y = np.concatenate([sides.top, sides.bottom]).astype(np.int64)
    order = np.argsort((y * (int(x[-1]) + 1) + x) * 2 + is_right)  # the last side is the rightmost
    partner = np.empty(2 * n, np.int32)
    partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    following: Int[Array, "n"] = partner[np.arange(n) + n * sides.is_right] % n
    return following


def _find_first_sides(following: Int[Array, "n"]) -> Int[Array, "m"]:
    """The first side of each loop, which is its leftmost, and of these the uppermost.

    `lowest` holds the least number among 1, 2, 4, … sides from each on. When another doubling changes none of them, the sides looked at
    are the whole loop.
    """
    ahead = following
    lowest: Array = np.arange(len(following), dtype=np.int32)
    while (lowest[ahead] < lowest).any():
        lowest, ahead = np.minimum(lowest, lowest[ahead]), ahead[ahead]
    return np.flatnonzero(lowest == np.arange(len(following)))


def _find_left_sides(edges: _Edges, side_of_edge: Int[Array, "e"], places: Int[Array, "m"]) -> Int[Array, "m"]:
    """The next side to the left in the row of some edges; the number of sides where there is none."""
    order = np.argsort(edges.y.astype(np.min_scalar_type(int(edges.y.max()))), kind="stable")  # by row, then by column
    has_left = edges.y[order[1:]] == edges.y[order[:-1]]
    left_side = np.full(len(edges.y), side_of_edge[-1] + 1, np.int32)
    left_side[order[1:][has_left]] = side_of_edge[order[:-1][has_left]]
    return left_side[places]


def _join_roots(
    sides: _Sides, following: Int[Array, "n"], first: Int[Array, "m"], to: Int[Array, "m"]
) -> tuple[_Sides, Int[Array, "all"], Int[Array, "bridges"], Int[Array, "bridges"]]:
    """Sides and bridges for the loops that have no side to their left. They are joined from above downwards.

    Below the first corner of each such loop hangs a side of no width, down to the row of the next, whose bridge ends there. Each has a
    row of its own, since of two in a row one would have the other to its left. The uppermost is the root and has no bridge.
    """
    n, is_root = len(following), to == len(following)
    roots = first[is_root]
    roots = roots[np.argsort(sides.top[roots])]
    upper, lower = roots[:-1], roots[1:]
    hanging = np.arange(n, n + len(upper))
    lines = _Sides(sides.x[upper], sides.top[upper], sides.top[lower], np.ones(len(upper), bool))
    return (
        _Sides(*(np.concatenate(pair) for pair in zip(sides, lines, strict=True))),
        np.concatenate([following, hanging]),
        np.concatenate([first[~is_root], lower, hanging]),
        np.concatenate([to[~is_root], hanging, upper]),
    )


def _build_route(
    sides: _Sides, following: Int[Array, "n"], first: Int[Array, "m"], to: Int[Array, "m"]
) -> tuple[Int[Array, "points 2"], Int[Array, "points"]]:
    """All points of the polygon, and for each the one that follows on it: one loop.

    Each loop but the root has a bridge: a level line from the upper end of its first side to a side of another loop, which is
    further left or was joined from above. So the loops are a tree. There are 2 N + 3 M points: where each side is entered, where
    it is left, and of each bridge its end on the way out, its end on the way back, and its beginning on the way out.
    """
    n, m = len(sides.x), len(first)
    rows = sides.top[first]
    order = np.lexsort((np.where(sides.is_right[to], rows, -rows), to))  # as a walk along the sides meets the bridges
    first, to, rows = first[order], to[order], rows[order]
    entered = np.where(sides.is_right, sides.top, sides.bottom)
    left = np.where(sides.is_right, sides.bottom, sides.top)
    x = np.concatenate([sides.x, sides.x, sides.x[to], sides.x[to], sides.x[first]])
    y = np.concatenate([entered, left, rows, rows, rows])
    out, back, begin = (np.arange(2 * n + k * m, 2 * n + (k + 1) * m) for k in range(3))
    after = np.empty(len(x), np.int32)
    after[:n], after[n : 2 * n] = np.arange(n, 2 * n), following
    is_first = np.ones(m, bool)  # of the bridges of a side
    is_first[1:] = to[1:] != to[:-1]
    after[to[is_first]], after[back] = out[is_first], n + to
    after[back[:-1][~is_first[1:]]] = out[~is_first]
    corner = np.where(sides.is_right[first], first, n + first)  # the upper end of the first side
    after[out], after[begin], after[corner] = begin, after[corner], back
    return np.stack([x, y], 1), after


def _walk(points: Int[Array, "points 2"], after: Int[Array, "points"]) -> Int[Array, "points 2"]:
    """The points in the order of the route."""
    order = np.empty(len(after), np.int32)
    places, following, place = order.data, after.data, 0  # views, since lists would take ten times the memory
    for number in range(len(after)):
        places[number] = place
        place = following[place]
    return points[order]


def _straighten(corners: Int[Array, "points 2"]) -> Int[Array, "corners 2"]:
    """Without points that repeat the one before or lie on a straight way; points where the way turns back stay."""
    corners = corners[(corners != np.roll(corners, -1, 0)).any(1)]
    ways = np.sign(np.roll(corners, -1, 0) - corners)
    turns: Int[Array, "corners 2"] = corners[(ways != np.roll(ways, 1, 0)).any(1)]
    return turns
