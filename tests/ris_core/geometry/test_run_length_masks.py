"""What is asked of run lengths is what the decoded masks say, without decoding them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from ris_core.geometry import boxes, duplicates, mask_cleaning, masks, run_length_masks
from ris_core.geometry.run_length_masks import RunLengthMasks

STACKS = st.tuples(st.integers(0, 4), st.integers(1, 20), st.integers(1, 20)).flatmap(
    lambda shape: arrays(bool, shape, elements=st.booleans())
)
patiently = settings(deadline=None, max_examples=100)


@patiently
@given(STACKS)
def test_the_counts_are_those_that_pycocotools_writes(stack):
    for mask, counts in zip(stack, RunLengthMasks.encode(stack).counts, strict=True):
        assert counts == coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]


@patiently
@given(STACKS)
def test_masks_come_back_however_they_are_indexed(stack):
    stored = RunLengthMasks.encode(stack)
    np.testing.assert_array_equal(np.asarray(stored), stack)
    np.testing.assert_array_equal(stored[::-1], stack[::-1])
    for n, mask in enumerate(stored):
        np.testing.assert_array_equal(mask, stack[n])
        np.testing.assert_array_equal(stored.take([n, n])[1], stack[n])
        assert stored[n].flags.c_contiguous


@patiently
@given(STACKS)
def test_boxes_and_overlaps_are_those_of_the_masks(stack):
    stored = RunLengthMasks.encode(stack)
    np.testing.assert_array_equal(boxes.from_masks(stored), boxes.from_masks(stack))
    np.testing.assert_allclose(masks.iou(stored, stored), masks.iou(stack, stack), atol=1e-6)
    np.testing.assert_allclose(stored.shares_inside(stored), duplicates.overlaps(stack), atol=1e-6)


@patiently
@given(STACKS, st.sampled_from([0.0, 1.5]))
def test_run_lengths_are_cleaned_as_the_masks_are(stack, smooth_px):
    cleaned = mask_cleaning.clean_all(RunLengthMasks.encode(stack), smooth_px)
    assert isinstance(cleaned, RunLengthMasks)
    np.testing.assert_array_equal(np.asarray(cleaned), mask_cleaning.clean_all(stack, smooth_px))


def test_what_is_clean_is_not_encoded_again(monkeypatch):
    stack = np.zeros((2, 40, 40), bool)
    stack[:, 5:30, 5:30] = True
    stack[1, 38, 38] = True
    stored = RunLengthMasks.encode(stack)
    encoded = []
    monkeypatch.setattr(
        run_length_masks.coco, "encode", lambda mask, encode=coco.encode: encoded.append(1) or encode(mask)
    )
    cleaned = mask_cleaning.clean_all(stored)
    assert len(encoded) == 1
    assert cleaned.counts[0] is stored.counts[0]
    np.testing.assert_array_equal(cleaned[1], stack[0])
