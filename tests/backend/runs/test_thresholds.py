"""A pilot: tasks at random first, and a threshold that is chosen from their stored answers, without a model."""

from dataclasses import replace

import numpy as np
import pytest

from backend.inference.expressions import AnswerOptions
from backend.label_studio.label_config import read_config
from backend.runs import control
from backend.runs.answers import drop_repeated, make_item_answer
from backend.runs.item import RunItem
from backend.runs.queries import Query
from backend.runs.spec import BadRun
from backend.runs.thresholds import THRESHOLDS, try_thresholds, with_min_score
from ris_core.types import Image, Prediction
from tests.backend.runs.fake_studio import CONFIG, PROJECT
from tests.toy import toy_pixels, toy_segmenter

RED = "the red square"


def draw_prediction(rng, text):
    """Squares, some empty, with any scores and any of them selected."""
    number = int(rng.integers(1, 7))
    masks = np.zeros((number, 24, 24), bool)
    for mask in masks[rng.random(number) < 0.9]:
        y, x = rng.integers(0, 14, 2)
        mask[y : y + 9, x : x + 9] = True
    boxes = np.array(
        [(*np.argwhere(one).min(0)[::-1], 9, 9) if one.any() else (0, 0, 0, 0) for one in masks], np.float32
    )
    scores = np.sort(rng.random(number))[::-1]
    parts = [{"probability": float(score)} if rng.random() < 0.8 else {} for score in scores]
    selected = tuple(np.flatnonzero(rng.random(number) < 0.4).tolist())
    decision = "no_match" if not selected else rng.choice(["match", "ambiguous"])
    expression = toy_segmenter().parser.parse(text)
    return Prediction(expression, masks, scores, boxes, parts, str(decision), selected, "v1")


@pytest.mark.parametrize("seed", range(40))
def test_a_threshold_on_stored_answers_is_the_same_as_one_from_the_start(seed):
    rng, control_tag = np.random.default_rng(seed), read_config(CONFIG).controls[0]
    queries = [Query(RED), Query(RED, is_many=True), Query("Red: the square", "Red", is_many=bool(seed % 2))]
    queries.append(queries[0])  # of two queries for the same one repeats the other
    predictions = [draw_prediction(rng, query.expression) for query in queries[:3]]
    predictions.append(predictions[0])

    encoded = toy_segmenter().encode(Image.from_array(toy_pixels()))

    def answers(min_score):
        options = AnswerOptions(3, min_score)
        pairs = zip(predictions, queries, strict=True)
        return drop_repeated([make_item_answer(one, encoded, query, control_tag, options) for one, query in pairs])

    item = RunItem("r", 1, "", tuple(queries), "ready", 1, 0, answers=tuple(answers(None)))
    for threshold in (*THRESHOLDS, *(one["score"] for one in item.answers[0].candidates)):
        assert with_min_score(item, threshold) == answers(threshold)


def test_a_threshold_below_zero_or_of_an_older_version_is_refused(rig):
    rig.add_tasks(2)
    run = rig.carry_on(rig.start(RED, pilot=1))
    with pytest.raises(BadRun, match="from 0 to 1"):
        control.resume(rig.run_store, run, min_score=float("nan"))
    [item] = rig.run_store.counts.answered(run.id, 9)
    old = [{name: value for name, value in one.items() if name != "answers"} for one in item.answers[0].candidates]
    rig.items.replace_answers(run.id, PROJECT, {item.task: [replace(item.answers[0], candidates=old)]})
    with pytest.raises(BadRun, match="older version"):
        control.resume(rig.run_store, run, min_score=0.5)
    control.resume(rig.run_store, run)
    assert (rig.carry_on(run).state, len(rig.studio.predictions)) == ("done", 2)


def test_a_pilot_draws_its_tasks_at_random_and_the_same_ones_after_a_crash(rig, monkeypatch):
    rig.add_tasks(40)
    run = rig.start(RED, pilot=6)
    assert (run.state, rig.states(run)) == ("preview", {"new": 6, "held": 34})
    drawn = [item.task for item in rig.items.in_state(run.id, "new")]
    assert drawn != sorted(rig.studio.tasks)[:6]
    rig.items.release_sample(run.id, 6)  # as a planner that died before it noted that it was done
    assert rig.states(run) == {"new": 6, "held": 34}
    other = rig.start("Blue: the blue square", pilot=6, push=False)
    assert [item.task for item in rig.items.in_state(other.id, "new")] != drawn


def test_a_threshold_is_applied_to_the_pilot_and_to_the_rest(rig):
    rig.add_tasks(8)
    run = rig.start(RED, pilot=3)
    with pytest.raises(BadRun, match="3 of the first tasks are not answered yet"):
        control.resume(rig.run_store, run, min_score=0.5)
    run = rig.carry_on(run)
    assert rig.studio.predictions == []
    kept = try_thresholds(rig.run_store.counts.answered(run.id, 99))
    assert (kept[0].masks, kept[0].tasks, kept[0].of_tasks) == (3, 3, 3)
    score = rig.run_store.counts.answered(run.id, 1)[0].answers[0].candidates[0]["score"]
    control.resume(rig.run_store, run, min_score=min(1.0, score + 1e-6))
    assert rig.run_store.counts.found(run.id)[0] == 3
    assert rig.carry_on(run).state == "done"
    assert [one["result"] for one in rig.studio.predictions] == [[]] * 8
    with pytest.raises(BadRun, match="min_score is fixed"):
        control.resume(rig.run_store, rig.run_store.get(run.id), min_score=0.1)


def test_a_run_with_another_start_has_no_new_threshold(rig):
    rig.add_tasks(2)
    run = rig.carry_on(rig.start(RED))
    with pytest.raises(BadRun, match="min_score is fixed"):
        control.resume(rig.run_store, run, min_score=0.1)
