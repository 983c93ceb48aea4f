import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ris_core.geometry import boxes


def box_mask(x: int, y: int, w: int, h: int, size: int = 32) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[y : y + h, x : x + w] = True
    return mask


@given(x=st.integers(0, 20), y=st.integers(0, 20), w=st.integers(1, 12), h=st.integers(1, 12))
def test_boxes_are_tight_and_half_open(x, y, w, h):
    assert boxes.from_masks(box_mask(x, y, w, h)[None]).tolist() == [[x, y, w, h]]


def test_an_empty_mask_has_an_empty_box():
    assert boxes.from_masks(np.zeros((1, 8, 8), bool)).tolist() == [[0, 0, 0, 0]]


def test_no_masks_have_no_boxes():
    assert boxes.from_masks(np.zeros((0, 8, 8), bool)).shape == (0, 4)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        pytest.param([0, 0, 4, 4], [0, 0, 4, 4], 1, id="same"),
        pytest.param([0, 0, 4, 4], [4, 0, 4, 4], 0, id="touching"),
        pytest.param([0, 0, 4, 4], [2, 0, 4, 4], 8 / 24, id="half"),
        pytest.param([0, 0, 0, 0], [0, 0, 0, 0], 0, id="both empty"),
    ],
)
def test_iou(one, two, expected):
    assert boxes.iou(np.float32([one]), np.float32([two])) == pytest.approx(expected)


@given(st.lists(st.tuples(*[st.floats(0, 50, width=32)] * 2, *[st.floats(0, 50, width=32)] * 2), max_size=6))
@example([(0.1, 16.3, 3.7, 0.9)])
def test_iou_is_a_share_wherever_boxes_lie(drawn):
    overlaps = boxes.iou(*[np.array(drawn, np.float32).reshape(-1, 4)] * 2)
    assert ((overlaps >= 0) & (overlaps <= 1)).all()


@given(st.lists(st.tuples(*[st.integers(0, 15)] * 2, *[st.integers(1, 15)] * 2), min_size=1, max_size=4))
def test_iou_of_boxes_is_iou_of_their_pixels(drawn):
    from ris_core.geometry import masks

    stack = np.stack([box_mask(*box) for box in drawn])
    tight = boxes.from_masks(stack)
    assert np.allclose(boxes.iou(tight, tight), masks.iou(stack, stack), atol=1e-6)
