"""Candidates as bytes are what they were, whatever they hold."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from backend.db.candidates import decode, encode
from ris_core.geometry import boxes
from ris_core.geometry.masks import to_rle

NUMBERS = st.floats(allow_nan=False)
NAMES = st.text(max_size=12)


@st.composite
def made_by_the_core(draw):
    """As `list_candidates` makes them: ranks in order, tight boxes, masks of one size."""
    size = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    masks = draw(st.lists(arrays.arrays(bool, size), max_size=5))
    return [
        {
            "rank": i + 1,
            "score": draw(NUMBERS),
            "bbox_xywh": boxes.from_masks(mask[None])[0].tolist(),
            "mask": to_rle(mask),
            "parts": draw(st.dictionaries(NAMES, NUMBERS, max_size=4)),
        }
        for i, mask in enumerate(masks)
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | NAMES,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(NAMES, of, max_size=3),
)


@given(candidates=made_by_the_core())
def test_what_the_core_makes_is_read_as_it_was(candidates):
    content = encode(candidates)
    assert decode(content) == candidates
    assert content[:1] == b"\x01"


@given(candidates=st.lists(JSON, max_size=3))
def test_anything_else_is_read_as_it_was_too(candidates):
    assert decode(encode(candidates)) == candidates


@pytest.mark.parametrize(
    "change",
    [
        {"rank": 7},
        {"bbox_xywh": [0, 0, 1, 1]},
        {"parts": {"look": "high"}},
        {"more": 1},
        {"mask": {"size": [3, 3], "counts": "54"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_does_not_follow_from_the_rest_is_kept(change):
    mask = np.zeros((8, 9), bool)
    mask[2:5, 3:7] = True
    one = {"score": 0.25, "bbox_xywh": [3.0, 2.0, 4.0, 3.0], "mask": to_rle(mask), "parts": {"look": 0.5}}
    candidates = [{"rank": 1, **one}, {"rank": 2, **one, **change}]
    assert decode(encode(candidates)) == candidates


def test_they_are_several_times_smaller_than_json():
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[:480, :640]
    candidates = []
    for i in range(5):
        mask = np.hypot(rows - rng.uniform(100, 380), (columns - rng.uniform(100, 540)) * rng.uniform(0.5, 2)) < 90
        parts = {
            name: float(rng.random()) for name in ("look", "look_rank", "probability", "predicted_iou", "stability")
        }
        box = boxes.from_masks(mask[None])[0].tolist()
        candidates.append(
            {"rank": i + 1, "score": float(rng.random()), "bbox_xywh": box, "mask": to_rle(mask), "parts": parts}
        )
    assert len(encode(candidates)) * 3 < len(json.dumps(candidates))


def test_a_newer_form_is_refused():
    with pytest.raises(ValueError, match="newer version"):
        decode(b"\x07abc")
