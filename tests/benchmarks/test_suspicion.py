"""The benchmark of suspicion, on a made-up scene: what is planted, and that it is counted."""

import json

import numpy as np
import pytest

from benchmarks import suspicion
from benchmarks.simulated_annotator import measure_iou
from ris_core.geometry.masks import to_rle


def rectangle(x: int) -> np.ndarray:
    mask = np.zeros((60, 120), bool)
    mask[10:40, x : x + 30] = True
    return mask


@pytest.fixture
def scenes():
    """Scenes of two things, whose proposals are all right and confident."""
    masks = [to_rle(rectangle(x)) for x in (5, 70)]
    answers = [suspicion._Answer(f"the {name}", i, 0.9, masks[i]) for i, name in enumerate(("car", "bus"))]
    return [suspicion._Scene(image, ["car", "bus"], masks, answers) for image in range(40)]


@pytest.mark.parametrize("seed", range(8))
def test_a_spoilt_outline_is_as_wrong_as_was_fixed_beforehand(seed):
    spoilt = suspicion.spoil_outline(rectangle(40), np.random.default_rng(seed))
    low, high = suspicion.OUTLINE_IOU
    assert low <= measure_iou(spoilt, rectangle(40)) <= high


def test_one_region_in_twenty_is_spoilt_in_four_ways_by_turns(scenes):
    project = suspicion._make_project(scenes, np.random.default_rng(0))
    assert len(project) == 80
    assert sorted(one.spoilt for one in project if one.spoilt) == sorted(suspicion.KINDS)


def test_errors_are_found_where_all_else_is_right(scenes):
    results = suspicion._measure("made up", scenes, 3)
    found = {(one.order, one.kind): one for one in results}
    assert found["suspicious", "all"].found == 1.0
    assert found["suspicious", "all"].planted == 12
    assert found["random", "all"].found < 0.6
    assert json.loads(suspicion.to_json(results))[0]["world"] in suspicion.to_markdown(results)
