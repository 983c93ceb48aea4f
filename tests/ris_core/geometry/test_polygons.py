"""Polygons are masks: pycocotools draws each exactly as it was."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from ris_core.geometry.polygons import to_polygon

patiently = settings(deadline=None, max_examples=150)
sides = st.integers(1, 40)


@st.composite
def random_masks(draw) -> np.ndarray:
    """Of every density, so that there are specks, holes and corners that touch."""
    shape, density = (draw(sides), draw(sides)), draw(st.sampled_from([0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98]))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(shape) < density


@st.composite
def boxes_in_boxes(draw) -> np.ndarray:
    """Boxes turned over one another: rings in rings, parts within holes, edges in common."""
    mask = np.zeros((draw(sides), draw(sides)), bool)
    for _ in range(draw(st.integers(1, 8))):
        y, x = draw(st.integers(0, mask.shape[0] - 1)), draw(st.integers(0, mask.shape[1] - 1))
        mask[y : draw(st.integers(y, mask.shape[0])), x : draw(st.integers(x, mask.shape[1]))] ^= True
    return mask


anything = st.one_of(random_masks(), boxes_in_boxes(), arrays(bool, st.tuples(sides, sides)))


def draw_again(mask: np.ndarray) -> np.ndarray:
    """The mask as a file's reader gets it: through JSON, and drawn by pycocotools."""
    segmentation = json.loads(json.dumps([to_polygon(mask).tolist()]))
    [drawn] = np.moveaxis(coco.decode(coco.frPyObjects(segmentation, *mask.shape)), 2, 0)
    return drawn.astype(bool)


def count_edges(mask: np.ndarray) -> int:
    """Length of the boundary in sides of pixels."""
    framed = np.pad(mask, 1)
    return int((framed[1:] != framed[:-1]).sum() + (framed[:, 1:] != framed[:, :-1]).sum())


def corners_of(polygon: np.ndarray) -> np.ndarray:
    return polygon.reshape(-1, 2)


def rings(side: int, step: int = 1) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return (np.minimum.reduce([x, y, side - 1 - x, side - 1 - y]) // step) % 2 == 0


def pixels(*places: tuple[int, int], shape: tuple[int, int] = (9, 9)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


HARD = {
    "one pixel, one picture": np.ones((1, 1), bool),
    "one pixel": pixels((4, 4)),
    "a pixel in each corner": pixels((0, 0), (0, 8), (8, 0), (8, 8)),
    "everything": np.ones((7, 11), bool),
    "one row": np.array([[1, 1, 0, 1, 0, 0, 1]], bool),
    "one column": np.array([[1, 1, 0, 1, 0, 0, 1]], bool).T,
    "a diagonal down": np.eye(9, dtype=bool),
    "a diagonal up": np.eye(9, dtype=bool)[:, ::-1],
    "all but a diagonal": ~np.eye(9, dtype=bool),
    "a cross of diagonals": np.eye(9, dtype=bool) | np.eye(9, dtype=bool)[:, ::-1],
    "a checkerboard": np.indices((8, 9)).sum(0) % 2 == 0,
    "the other checkerboard": np.indices((8, 9)).sum(0) % 2 == 1,
    "rings in rings": rings(21),
    "wide rings in rings": rings(24, 2),
    "rings of background": ~rings(21),
    "a comb": np.arange(20)[None].repeat(9, 0) % 2 == 0,
    "a lying comb": np.arange(20)[:, None].repeat(9, 1) % 2 == 0,
    "parts one above the other": pixels((1, 4), (3, 4), (5, 4), (7, 4)),
    "parts side by side": pixels((4, 1), (4, 3), (4, 5), (4, 7)),
    "two holes that touch": ~pixels((3, 3), (4, 4)),
    "a hole in each corner": ~pixels((0, 0), (0, 8), (8, 0), (8, 8)),
    "nothing": np.zeros((5, 6), bool),
    "nothing in a pixel": np.zeros((1, 1), bool),
}


@pytest.mark.parametrize("mask", HARD.values(), ids=HARD)
def test_hard_masks_are_drawn_exactly(mask):
    np.testing.assert_array_equal(draw_again(mask), mask)


@pytest.mark.parametrize("mask", HARD.values(), ids=HARD)
def test_the_mirror_and_the_negative_of_hard_masks_too(mask):
    for other in (mask.T, ~mask, mask[::-1], mask[:, ::-1]):
        np.testing.assert_array_equal(draw_again(other), other)


def test_every_mask_of_three_by_four_pixels_is_drawn_exactly():
    for number in range(2**12):
        mask = (number >> np.arange(12) & 1).astype(bool).reshape(3, 4)
        np.testing.assert_array_equal(draw_again(mask), mask)


@settings(deadline=None, max_examples=500)
@given(anything)
def test_pycocotools_draws_every_mask_exactly(mask):
    np.testing.assert_array_equal(draw_again(mask), mask)


@patiently
@given(anything)
def test_a_polygon_walks_along_pixel_edges_and_has_no_needless_corner(mask):
    corners = corners_of(to_polygon(mask))
    assert len(corners) >= 3
    assert corners.min() >= 0
    assert (corners <= np.maximum(mask.shape[::-1], (0, 2))).all()
    if not mask.any():
        return
    steps = np.roll(corners, -1, 0) - corners
    assert ((steps == 0).sum(1) == 1).all()  # along an edge, and never on the spot
    ways = np.sign(steps)
    assert (ways != np.roll(ways, 1, 0)).any(1).all()  # no corner on a straight line


@patiently
@given(anything.filter(np.any))
def test_the_area_between_the_lines_is_the_masks(mask):
    """By the shoelace formula: bridges have no width, and holes are walked the other way round than parts."""
    x, y = corners_of(to_polygon(mask)).T.astype(np.int64)
    assert (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2 == mask.sum()


@patiently
@given(anything.filter(np.any))
def test_as_many_numbers_as_the_boundary_asks_for(mask):
    assert 8 <= len(to_polygon(mask)) <= 4 * count_edges(mask)


def test_a_box_has_its_four_corners():
    mask = np.zeros((20, 30), bool)
    mask[3:10, 4:25] = True
    assert {tuple(corner) for corner in corners_of(to_polygon(mask)).tolist()} == {(4, 3), (25, 3), (25, 10), (4, 10)}


@patiently
@given(anything)
def test_how_a_mask_lies_in_memory_does_not_matter(mask):
    polygon = to_polygon(np.ascontiguousarray(mask))
    np.testing.assert_array_equal(to_polygon(np.asfortranarray(mask)), polygon)
    np.testing.assert_array_equal(to_polygon(np.pad(mask, 1)[1:-1, 1:-1]), polygon)


STEPS = {"downwards": np.eye(100, dtype=bool), "upwards": np.eye(100, dtype=bool)[:, ::-1]}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_parts_that_lie_aslant_are_joined_from_one_to_the_next(steps):
    """Some readers draw bridges too, so they are short; none leads to a common place far off."""
    parts = np.kron(steps, np.pad(np.ones((2, 2), bool), ((0, 2), (0, 2))))
    corners = corners_of(to_polygon(parts))
    assert np.abs(np.roll(corners, -1, 0) - corners).sum() <= 3 * count_edges(parts)
    np.testing.assert_array_equal(draw_again(parts), parts)


def test_a_large_picture_is_drawn_exactly():
    y, x = np.mgrid[:3000, :4000]
    angle = np.arctan2(y - 1500, x - 2000)
    radius = np.hypot(y - 1500, x - 2000)
    mask = (radius < 1000 + 200 * np.sin(20 * angle)) & ~(radius < 200) & ~((x % 400 < 9) & (y % 300 < 7))
    assert 20_000 < count_edges(mask) < 60_000
    np.testing.assert_array_equal(draw_again(mask), mask)


def test_noise_is_drawn_exactly_and_takes_memory_by_its_boundary():
    noise = np.random.default_rng(0).random((500, 700)) < 0.5
    np.testing.assert_array_equal(draw_again(noise), noise)
    tracemalloc.start()
    to_polygon(noise)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * count_edges(noise) + 4 * noise.size
