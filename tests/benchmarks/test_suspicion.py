"""The benchmark of suspicion, on a made-up scene: what is planted, and that it is counted."""

import json

import numpy as np
import pytest

from benchmarks import suspicion, suspicion_boxes
from benchmarks.simulated_annotator import measure_iou
from benchmarks.suspicion_boxes import BoxedRegion
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


def test_boxes_are_those_of_masks_and_proposals_under_the_label_that_the_words_mean():
    mask, proposed = to_rle(rectangle(5)), to_rle(rectangle(70))
    region = suspicion.SuspectRegion("1", "7", "car", "the bus", 0.9, 0.0, 0.0, mask, proposed)
    lonely = suspicion.SuspectRegion("2", "7", "bus", "", None, None, None, proposed, None)
    boxed = [BoxedRegion(region, "bus"), BoxedRegion(lonely, "bus")]
    classes = {"bus": 0, "car": 1}
    annotated = suspicion_boxes._annotated(boxed, classes)
    assert annotated["bboxes"].tolist() == [[5, 10, 35, 40], [70, 10, 100, 40]]
    assert annotated["labels"].tolist() == [1, 0]
    buses, cars = suspicion_boxes._predicted(boxed, classes)
    assert buses.tolist() == [[70, 10, 100, 40, 0.9]]
    assert cars.shape == (0, 5)
