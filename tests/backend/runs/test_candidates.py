"""What else could be meant, as predictions beside a task's own: `--top-k`."""

import numpy as np
import pytest

from backend.inference.expressions import AnswerOptions, find_candidates
from backend.label_studio.label_config import read_config
from backend.runs.answers import make_item_answer, read_query
from backend.runs.queries import Query
from ris_core.geometry.masks import from_rle
from ris_core.types import Image, Proposals
from tests.backend.configs import control_of
from tests.backend.runs.fake_studio import CONFIG, PROJECT
from tests.toy import toy_pixels, toy_segmenter

RED = "Red: the red square"


@pytest.fixture
def done(rig):
    """A run of two tasks with three candidates a query, written."""
    rig.add_tasks(2)
    return rig.carry_on(rig.start(RED, top_k=3))


def versions(rig, task):
    return [prediction["model_version"] for prediction in rig.studio.of(task)]


def expected(run):
    return [f"{run.model_version}.candidate-2", f"{run.model_version}.candidate-3", run.model_version]


def test_each_other_candidate_has_a_version_of_its_own_and_the_best_has_the_runs(rig, done):
    assert done.state == "done"
    assert [versions(rig, task) for task in rig.studio.tasks] == [expected(done)] * 2
    second, third, best = rig.studio.of(1)
    assert best["score"] > second["score"] >= third["score"]
    assert len({region["id"] for one in (second, third, best) for region in one["result"]}) == 3


def test_scores_and_the_label_stream_go_by_the_best(rig, done):
    assert rig.studio.project["model_version"] == done.model_version
    assert rig.run_store.counts.count_written(PROJECT, done.model_version) == 2


def test_without_a_number_only_the_best_is_written(rig):
    rig.add_tasks(1)
    run = rig.carry_on(rig.start(RED))
    assert versions(rig, 1) == [run.model_version]


def test_several_instances_of_a_label_have_no_others(rig):
    rig.add_tasks(1)
    run = rig.carry_on(rig.start(per_label=True, top_k=3))
    assert versions(rig, 1) == [run.model_version]


def test_nothing_is_there_twice_when_the_answer_is_lost(rig):
    rig.add_tasks(2)
    run = rig.start(RED, top_k=3)
    rig.studio.forgets = True
    rig.carry_on(run, ticks=2)
    rig.studio.forgets = False
    assert rig.carry_on(run).state == "done"
    assert [versions(rig, task) for task in rig.studio.tasks] == [expected(run)] * 2


def test_what_is_left_of_the_others_goes_before_an_item_is_sent_again(rig):
    """As after a request of which only the beginning was carried out."""
    rig.add_tasks(1)
    run = rig.start(RED, top_k=3)
    rig.studio.forgets = True
    rig.carry_on(run, ticks=1)
    rig.studio.predictions = [one for one in rig.studio.predictions if one["model_version"] != run.model_version]
    rig.studio.forgets = False
    rig.carry_on(run)
    assert versions(rig, 1) == expected(run)


def test_replacing_takes_the_others_away_too(rig, done):
    run = rig.carry_on(rig.start("Blue: the blue square", mode="replace"))
    assert [versions(rig, task) for task in rig.studio.tasks] == [[run.model_version]] * 2


def answer(segmenter, encoded, query, control, options):
    found = find_candidates(segmenter, encoded, read_query(query), control, options)
    return make_item_answer(found, encoded, query, control, options)


def test_masks_are_as_light_as_those_of_interactive_answers():
    image = Image.from_array(np.full((40, 40, 3), (255, 0, 0), np.uint8))
    ragged = np.zeros((40, 40), bool)
    ragged[5:30, 5:30] = True
    ragged[10, 10] = ragged[12:14, 5] = False  # a pin-hole, and a notch in the rim
    ragged[36, 36] = True  # a speck
    segmenter, control = toy_segmenter(), read_config(CONFIG).controls[0]
    encoded = segmenter.encode(image, Proposals.from_masks(ragged[None]))
    found = [
        answer(segmenter, encoded, Query("the red square"), control, AnswerOptions(1, None, px)) for px in (0.0, 2.0)
    ]
    plain, smooth = (from_rle(one.candidates[0]["mask"]) for one in found)
    assert (plain[10, 10], plain[36, 36], plain[12, 5]) == (True, False, False)
    assert smooth[12, 5]


@pytest.mark.parametrize("label", ["RED_Square", "2. RedSquare", "Shape/red-square", "Square, red"])
def test_a_label_is_asked_for_in_plain_words(label):
    """A data set's name of it is no expression: the toy encoder, as CLIP, knows its words only."""
    segmenter = toy_segmenter()
    control = control_of(f'<Label value="{label}"/>', '<Label value="x"/>')
    encoded = segmenter.encode(Image.from_array(toy_pixels()))
    found = answer(segmenter, encoded, Query(label, label, is_many=True), control, AnswerOptions(1))
    plain = answer(segmenter, encoded, Query("red square", label, is_many=True), control, AnswerOptions(1))
    assert (found.expression, found.label) == (label, label)
    assert [one["score"] for one in found.candidates] == [one["score"] for one in plain.candidates]
    assert found.candidates[0]["score"] > 2 * found.candidates[1]["score"]
