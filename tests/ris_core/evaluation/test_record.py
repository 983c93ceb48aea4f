import json

import numpy as np
import pytest

from ris_core.evaluation.record import EvaluatedImage, ScoredAnswer, judge, judge_oracle, overlap
from ris_core.types import Prediction
from tests.ris_core.evaluation.made import asked, outcome, record
from tests.toy import LastWordParser


def strip(start, stop):
    """Columns [start, stop) of an image of 10 x 100: 10 px each."""
    mask = np.zeros((10, 100), bool)
    mask[:, start:stop] = True
    return mask


def prediction(*candidates, selected=(0,), scores=None):
    stack = np.array(candidates, bool).reshape(-1, 10, 100)
    values = np.linspace(0.9, 0.1, len(stack)) if scores is None else np.array(scores)
    boxes = np.zeros((len(stack), 4), np.float32)
    parts = [{} for _ in stack]
    expression = LastWordParser().parse("a strip")
    return Prediction(expression, stack, values, boxes, parts, "match", tuple(selected), "toy.1")


def judged(made, *targets):
    stack = np.array(targets, bool).reshape(-1, 10, 100)
    return judge(made, stack.any(axis=0), stack)


def test_an_answer_is_counted_in_pixels():
    outcome = judged(prediction(strip(0, 30), strip(10, 50)), strip(10, 50))
    assert outcome == ScoredAnswer(200, 500, 300, 500, first_hit=2, score=0.9)


def test_exactly_half_is_right():
    assert judged(prediction(strip(0, 20)), strip(0, 10)).first_hit == 1
    assert judged(prediction(strip(0, 21)), strip(0, 10)).first_hit == 0


def test_several_selected_masks_answer_together():
    outcome = judged(prediction(strip(0, 10), strip(20, 30), selected=(0, 1)), strip(0, 10), strip(20, 30))
    assert (outcome.intersection_px, outcome.union_px, outcome.first_hit) == (200, 200, 1)


def test_a_candidate_may_be_all_targets_together():
    assert judged(prediction(strip(50, 60), strip(0, 40)), strip(0, 10), strip(10, 40)).first_hit == 2


def test_nothing_selected_is_an_empty_answer_whose_first_candidate_is_kept_in_mind():
    outcome = judged(prediction(strip(0, 30), selected=()), strip(20, 40))
    assert outcome == ScoredAnswer(0, 200, 0, 400, first_hit=0, score=0.9)


def test_nothing_meant_makes_no_candidate_right():
    assert judged(prediction(strip(0, 30))) == ScoredAnswer(0, 300, 300, 300, first_hit=0, score=0.9)


def test_no_candidate_at_all_is_silence():
    assert judged(prediction(selected=()), strip(0, 10)) == ScoredAnswer(0, 100, 0, 100, first_hit=0, score=0.0)


def test_a_score_that_is_no_number_can_be_written_down():
    assert judged(prediction(strip(0, 10), scores=[np.nan]), strip(0, 10)).score == 0


@pytest.mark.parametrize(
    ("proposals", "targets", "expected"),
    [
        pytest.param([(0, 30), (0, 12)], [(0, 10)], (100, 120, 1), id="the best one"),
        pytest.param([(0, 10), (20, 30), (0, 40)], [(0, 10), (20, 30)], (200, 200, 1), id="one for each target"),
        pytest.param([(0, 10), (0, 28)], [(0, 10), (10, 30)], (280, 300, 1), id="one for all targets"),
        pytest.param([(50, 60)], [(0, 10)], (0, 200, 0), id="none is right"),
        pytest.param([], [(0, 10)], (0, 100, 0), id="nothing is proposed"),
        pytest.param([(0, 10)], [], (0, 0, 0), id="nothing is meant"),
    ],
)
def test_the_oracle_chooses_best(proposals, targets, expected):
    offered, wanted = (np.array([strip(*ends) for ends in s], bool).reshape(-1, 10, 100) for s in (proposals, targets))
    found = judge_oracle(offered, overlap(wanted, offered), wanted.any(axis=0), wanted)
    assert (found.intersection_px, found.union_px, found.first_hit) == expected


def test_records_survive_json():
    made = record("7", asked(outcome(1, 2, hit=1, score=0.25), kind="ordinal"), part="x", objects=[(5, 0.5)])
    assert EvaluatedImage.from_json(json.loads(json.dumps(made.to_json()))) == made
