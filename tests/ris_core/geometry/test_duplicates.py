import numpy as np
import pytest

from ris_core.geometry.duplicates import copies, overlaps, representatives, same_thing


def squares(*boxes_xyxy: tuple[int, int, int, int], size: int = 40) -> np.ndarray:
    masks = np.zeros((len(boxes_xyxy), size, size), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes_xyxy, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param((0, 0, 20, 18), True, id="a near copy"),
        pytest.param((2, 2, 8, 8), True, id="a part"),
        pytest.param((0, 0, 40, 40), True, id="the whole of which it is a part"),
        pytest.param((15, 0, 35, 20), False, id="an overlap"),
        pytest.param((25, 25, 35, 35), False, id="something else"),
    ],
)
def test_same_thing(other, expected):
    same = same_thing(overlaps(squares((0, 0, 20, 20), other)))
    assert same.tolist() == [[True, expected], [expected, True]]


def test_a_part_is_no_copy():
    inside = overlaps(squares((0, 0, 20, 20), (0, 0, 20, 18), (2, 2, 8, 8)))
    assert copies(inside)[0].tolist() == [True, True, False]


def test_an_empty_mask_is_only_itself():
    same = same_thing(overlaps(squares((0, 0, 20, 20), (0, 0, 0, 0))))
    assert same.tolist() == [[True, False], [False, True]]


def test_large_masks_are_compared_small():
    small, large = squares((0, 0, 20, 20), (0, 0, 20, 10)), squares((0, 0, 500, 500), (0, 0, 500, 250), size=1000)
    assert overlaps(large) == pytest.approx(overlaps(small), abs=0.02)


def test_each_thing_is_represented_by_its_best_proposal():
    same = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    assert representatives(np.array([0.2, 0.9, 0.5]), same).tolist() == [False, True, True]


def test_a_part_of_two_wholes_joins_only_the_better():
    same = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], bool)
    assert representatives(np.array([0.9, 0.5, 0.8]), same).tolist() == [True, False, True]


def test_of_nothing_nothing_is_the_same():
    assert same_thing(overlaps(squares())).shape == (0, 0)
