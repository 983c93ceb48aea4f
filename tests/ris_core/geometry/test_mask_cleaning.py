"""Light masks: what is dropped, what is filled, and what stays exactly."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter.brush import mask2rle

from ris_core.geometry import masks as masks_module
from ris_core.geometry.mask_cleaning import SPECK_SHARE, clean, clean_all

patiently = settings(deadline=None, max_examples=60)
anything = arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24)))


def disc(size: int = 120, radius: int = 40) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    return x**2 + y**2 < radius**2


def change(mask: np.ndarray, rows: slice, columns: slice, value: bool) -> np.ndarray:
    changed = mask.copy()
    changed[rows, columns] = value
    return changed


def count_parts(mask: np.ndarray) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


DIRT = {
    "a speck": (slice(2, 4), slice(2, 4), True),
    "a pin-hole": (slice(60, 62), slice(60, 62), False),
    "a speck at the edge": (slice(0, 1), slice(0, 5), True),
}


@pytest.mark.parametrize(("rows", "columns", "value"), DIRT.values(), ids=DIRT)
def test_what_is_tiny_goes_and_the_rest_stays(rows, columns, value):
    np.testing.assert_array_equal(clean(change(disc(), rows, columns, value)), disc())


KEPT = {
    "a part": change(disc(), slice(0, 10), slice(0, 10), True),
    "a hole": change(disc(), slice(50, 70), slice(50, 70), False),
    "a bay at the edge of its box": change(np.ones((30, 30), bool), slice(0, 2), slice(10, 12), False),
    "a single pixel": change(np.zeros((9, 9), bool), slice(4, 5), slice(4, 5), True),
    "nothing": np.zeros((9, 9), bool),
    "everything": np.ones((9, 9), bool),
}


@pytest.mark.parametrize("mask", KEPT.values(), ids=KEPT)
def test_what_belongs_to_the_thing_is_kept(mask):
    np.testing.assert_array_equal(clean(mask), mask)


@patiently
@given(anything, st.sampled_from([0.0, 0.7, 3.0]))
def test_no_mask_becomes_empty_or_changes_its_shape(mask, smooth_px):
    cleaned = clean(mask, smooth_px)
    assert (cleaned.shape, cleaned.dtype, cleaned.any()) == (mask.shape, mask.dtype, mask.any())


@patiently
@given(anything.filter(np.any))
def test_what_is_left_has_no_specks_and_no_pin_holes(mask):
    cleaned, least = clean(mask), SPECK_SHARE * mask.sum()
    for areas in (part_areas(cleaned, 8), part_areas(~np.pad(cleaned, 1), 4)):
        assert min(areas) >= min(least, max(areas))


def part_areas(mask: np.ndarray, connectivity: int) -> list[int]:
    return cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)[2][
        1:, cv2.CC_STAT_AREA
    ].tolist()


def test_smoothing_takes_the_raggedness_and_leaves_the_thing():
    noise = np.random.default_rng(0).random((240, 240)) < 0.5
    rim = cv2.dilate(disc(240, 80).astype(np.uint8), np.ones((5, 5))) > cv2.erode(
        disc(240, 80).astype(np.uint8), np.ones((5, 5))
    )
    ragged = disc(240, 80) ^ (noise & rim)
    smooth = clean(ragged, smooth_px=2.0)
    before, after = (len(mask2rle(mask.astype(np.uint8) * 255)) for mask in (ragged, smooth))
    assert after < before / 2
    assert masks_module.iou(smooth[None], disc(240, 80)[None])[0, 0] > 0.97
    assert count_parts(smooth) == 1


def test_a_stack_is_cleaned_one_by_one_and_an_empty_one_too():
    dirty = change(disc(), slice(2, 4), slice(2, 4), True)
    np.testing.assert_array_equal(clean_all(np.stack([dirty, disc()])), np.stack([disc(), disc()]))
    assert clean_all(np.zeros((0, 5, 7), bool)).shape == (0, 5, 7)


def test_negative_smoothing_is_refused_by_its_value():
    with pytest.raises(ValueError, match=r"-1\.0.*0 or more"):
        clean(disc(), -1.0)
