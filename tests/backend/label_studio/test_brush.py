"""Run lengths of brushes, against Label Studio's own code: what is written equals it byte for byte, what is read value for value."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter.brush import decode_rle, mask2rle

from backend.label_studio.brush import LONGEST_RUN, decode_brush, encode_brush
from tests.backend.corrections.made import recorded

patiently = settings(deadline=None, max_examples=200)
sides = st.integers(1, 40)
random_masks = arrays(bool, st.tuples(sides, sides))


def encode_as_sdk(mask):
    return mask2rle(mask.astype(np.uint8) * 255)


def box_mask(size_hw, top, bottom, left, right):
    mask = np.zeros(size_hw, bool)
    mask[top:bottom, left:right] = True
    return mask


@patiently
@given(random_masks)
@example(np.zeros((1, 1), bool))
@example(np.ones((1, 1), bool))
@example(np.zeros((37, 41), bool))
@example(np.ones((37, 41), bool))
@example(np.ones((12, 3), bool))  # its bits fill whole bytes, and the SDK adds one more
@example(np.arange(7 * 9).reshape(7, 9) % 2 == 0)  # no two neighbours are equal
@example(np.eye(33, dtype=bool))
def test_random_masks_are_written_as_label_studios_own_code_writes_them(mask):
    assert encode_brush(mask) == encode_as_sdk(mask)


@patiently
@given(st.lists(st.integers(1, 2 * LONGEST_RUN), min_size=1, max_size=6), st.booleans())
@example([2], False)  # 8 values: the longest of the smallest size
@example([3], True)
@example([4, 5], True)  # 16 and 20
@example([64, 65], True)  # 256 and 260
@example([LONGEST_RUN // 4], True)  # the longest that is not cut
@example([LONGEST_RUN // 4 + 1], True)  # what is left of a cut one keeps the largest size
@example([LONGEST_RUN // 2, 1], False)
def test_runs_of_every_length_are_written_as_label_studios_own_code_writes_them(lengths, begins):
    values = [begins ^ (number % 2 == 1) for number in range(len(lengths))]
    mask = np.repeat(values, lengths)[None]
    assert encode_brush(mask) == encode_as_sdk(mask)


@patiently
@given(st.integers(1, 90), st.integers(1, 130), st.integers(0, 2**32 - 1), st.floats(0.5, 12))
def test_smooth_masks_are_written_as_label_studios_own_code_writes_them(height, width, seed, sigma):
    noise = np.random.default_rng(seed).random((height, width), np.float32)
    mask = cv2.GaussianBlur(noise, (0, 0), sigma) > 0.5
    assert encode_brush(mask) == encode_as_sdk(mask)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(box_mask((3001, 3999), 400, 2700, 301, 3500), id="box"),
        pytest.param(np.random.default_rng(0).random((3001, 3999)) < 0.002, id="specks"),
        pytest.param(np.ones((3001, 3999), bool), id="full"),
    ],
)
def test_masks_of_twelve_megapixels_are_written_as_label_studios_own_code_writes_them(mask):
    assert encode_brush(mask) == encode_as_sdk(mask)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda mask: mask[::-1], lambda mask: mask[:, ::2]])
def test_how_a_mask_lies_in_memory_does_not_matter(layout):
    mask = layout(np.random.default_rng(0).random((13, 17)) < 0.5)
    assert encode_brush(mask) == encode_as_sdk(mask.copy())


@patiently
@given(random_masks)
def test_what_is_written_is_read_again(mask):
    np.testing.assert_array_equal(decode_brush(bytes(encode_brush(mask)), mask.shape), mask)


@pytest.mark.parametrize("size_hw", [(0, 5), (5, 0)])
def test_a_mask_without_pixels_is_not_written(size_hw):
    with pytest.raises(ValueError, match=f"{size_hw[0]}x{size_hw[1]}"):
        encode_brush(np.zeros(size_hw, bool))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_run_lengths_are_read_as_label_studios_own_code_reads_them(height, width, seed, smoothness):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    values = np.repeat(noise, smoothness + 1, axis=1)
    packed = mask2rle(values)
    expected = decode_rle(packed).reshape(*values.shape, 4)[..., 3] > 127
    np.testing.assert_array_equal(decode_brush(bytes(packed), values.shape), expected)


def test_recorded_masks_are_read_as_label_studios_own_code_reads_them():
    results = recorded("annotation_updated")["annotation"]["result"]
    brushed = [result["value"]["rle"] for result in results if result["type"] == "brushlabels"]
    assert brushed
    for rle in brushed:
        expected = decode_rle(rle).reshape(480, 640, 4)[..., 3] > 127
        np.testing.assert_array_equal(decode_brush(bytes(rle), (480, 640)), expected)


@pytest.mark.parametrize(
    ("packed", "size_hw", "why"),
    [
        (b"", (2, 2), "cut short"),
        (bytes(mask2rle(np.zeros((4, 4), np.uint8)))[:-2], (4, 4), "cut short"),
        (bytes(mask2rle(np.zeros((4, 4), np.uint8))), (4, 5), "for an image of 4x5"),
        (b"\0\0\0\0", (0, 0), "0x0"),
        (b"\xff" * 40, (1 << 20, 1 << 20), "pixels"),
    ],
)
def test_damaged_run_lengths_are_refused(packed, size_hw, why):
    with pytest.raises(ValueError, match=why):
        decode_brush(packed, size_hw)
