import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ris_core.geometry import masks

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))
ANY_MASK = SHAPES.flatmap(lambda shape: arrays(bool, shape))


@given(ANY_MASK)
def test_rle_round_trips_exactly(mask):
    assert (masks.from_rle(masks.to_rle(mask)) == mask).all()


@given(ANY_MASK)
def test_rle_says_height_then_width(mask):
    assert masks.to_rle(mask)["size"] == list(mask.shape)


@given(ANY_MASK.filter(np.any), st.integers(1, 16))
def test_a_mask_with_a_pixel_never_vanishes_on_the_grid(mask, side):
    grid = masks.to_grid(mask[None], side)
    assert grid.shape == (1, side, side)
    assert 0 < grid.max() <= 1


@pytest.mark.parametrize("side", [3, 4, 5, 7, 14, 24])
def test_no_cell_of_the_grid_is_covered_by_more_than_all_of_it(side):
    """Each cell's share is a sum of its pixels' parts, which rounds differently from processor to processor."""
    grids = [masks.to_grid(np.ones((1, length, length + 3), bool), side) for length in range(1, 120)]
    assert np.max(grids) <= 1
    assert np.min(grids) == pytest.approx(1)


def test_a_grid_cell_holds_the_share_of_it_that_is_covered():
    mask = np.zeros((8, 8), bool)
    mask[:4, :2] = True
    assert masks.to_grid(mask[None], 2)[0] == pytest.approx(np.array([[0.5, 0], [0, 0]]))


def test_no_masks_overlap_with_nothing():
    assert masks.iou(np.ones((2, 3, 4), bool), np.zeros((0, 3, 4), bool)).shape == (2, 0)


@given(arrays(bool, (3, 9, 7)))
def test_iou_is_symmetric_and_one_with_itself(stack):
    overlaps = masks.iou(stack, stack)
    assert np.allclose(overlaps, overlaps.T)
    assert np.allclose(np.diag(overlaps), stack.any((1, 2)))


def test_iou_counts_pixels():
    one, two = np.zeros((2, 10, 10), bool)
    one[:, :6], two[:, 4:] = True, True
    assert masks.iou(one[None], two[None]) == pytest.approx(20 / 100)


class TestKeepDistinct:
    """Nested masks stay, near copies go, the better one of two survives."""

    STACK = np.zeros((4, 20, 20), bool)
    STACK[0, 2:18, 2:18] = True  # whole
    STACK[1, 2:18, 2:17] = True  # nearly the same
    STACK[2, 6:10, 6:10] = True  # a part of it
    STACK[3, 0:2, 0:2] = True  # elsewhere

    def test_a_near_copy_goes_and_a_part_stays(self):
        assert sorted(masks.keep_distinct(self.STACK, np.array([0.9, 0.5, 0.4, 0.3]), 0.8)) == [0, 2, 3]

    def test_the_better_of_two_copies_survives(self):
        assert 1 in masks.keep_distinct(self.STACK, np.array([0.5, 0.9, 0.4, 0.3]), 0.8)

    def test_the_result_is_best_first(self):
        assert masks.keep_distinct(self.STACK, np.array([0.1, 0.0, 0.9, 0.5]), 0.8) == [2, 3, 0]
