"""The benchmark of quality review: whatever is not kept as it was pressed is counted."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.review import Disagreements, Proposal, ReviewRecord, compare, read_exported
from benchmarks.review_page import Decided, Press
from ris_core.geometry.masks import to_rle

MASK = np.arange(12).reshape(3, 4) > 6
OTHER = MASK ^ (np.arange(12).reshape(3, 4) == 0)
"""One pixel more."""
PROPOSALS = {key: Proposal(key, number, MASK) for number, key in enumerate(("0/a", "1/b"))}
DECIDED = [Decided("0/a", Press("approved"), 1.0), Decided("1/b", Press("rejected", "wrong thing", "no"), 1.0)]
RIGHT = ReviewRecord(
    {"0/a": ("approved", None, None), "1/b": ("rejected", "wrong thing", "no")}, {0: [MASK], 1: []}, {0: [MASK]}
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (0, 0, 0)),
        ({"rows": {"0/a": ("approved", None, None)}}, (1, 0, 0)),  # a lost row
        ({"rows": {**RIGHT.rows, "1/b": ("rejected", "wrong thing", None)}}, (1, 0, 0)),  # a lost comment
        ({"annotated": {}}, (0, 1, 0)),
        ({"annotated": {0: [MASK, MASK]}}, (0, 1, 0)),  # written twice
        ({"annotated": {0: [OTHER]}}, (0, 1, 0)),  # another pixel
        ({"annotated": {0: [MASK], 1: [MASK]}}, (0, 1, 0)),  # what was rejected
        ({"exported": {0: [OTHER]}}, (0, 0, 1)),
        ({"exported": {1: [MASK]}}, (0, 0, 2)),  # the wrong one of the two
    ],
)
def test_whatever_is_not_as_pressed_is_counted(changes, expected):
    assert compare(DECIDED, PROPOSALS, replace(RIGHT, **changes)) == Disagreements(*expected)


def test_masks_of_a_data_set_are_read_by_task(tmp_path):
    lines = [{"mask": to_rle(MASK), "sources": [{"task": "7"}]}, {"mask": None, "sentences": ["nothing"]}]
    file = tmp_path / "records.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    [[mask]] = read_exported(file).values()
    assert np.array_equal(mask, MASK)
