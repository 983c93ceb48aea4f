"""The simulated projects of `ris bench memory`: what is saved is what is told."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.memory_cases import MemoryCase, annotate
from benchmarks.region_memory import count_actions, poison, resample, run_trials, sum_up, to_json, to_markdown
from demo.new_things import NAMES, call_by_made_up_names, make_new_scene, new_nouns
from ris_core.learning.memory_fitting import ChosenProposal, MemoryExample


def case(image: int) -> MemoryCase:
    """Three proposals that show three things exactly; the first thing is meant and answers."""
    visual = np.eye(3, dtype=np.float32)
    overlaps = np.eye(3)
    choose = lambda memory: ChosenProposal(0, 0.9)  # noqa: E731
    return MemoryCase(
        MemoryExample("dog", frozenset({"dog"}), image, visual, overlaps[0], True, choose),
        "dog",
        overlaps,
        0,
        lambda memory: [0, 1, 2],
    )


def test_an_annotator_saves_two_regions_of_an_image_and_mistakes_the_share():
    cases = [case(image) for image in range(100) for _ in range(4)]
    saved, labelled = annotate(cases, 200, seed=0, mistakes=0.3)
    assert (len(saved), len(labelled)) == (200, 100)
    wrong = np.mean([one.overlaps[0] == 0 for one in saved])
    assert 0.2 < wrong < 0.4
    exact, _ = annotate(cases, 50, seed=0, mistakes=0.0)
    assert all(one.overlaps[0] == 1 for one in exact)


def test_poisoned_ledgers_pass_no_gate_where_every_answer_is_right():
    assert poison([case(image) for image in range(60)], trials=3) == {
        "random regions": 0.0, "30 % mistaken": 0.0, "accepts everything": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("order", "answers", "actions"),
    [
        pytest.param([0, 1, 2], True, 1, id="right at once"),
        pytest.param([1, 2, 0], True, 3, id="the second other candidate"),
        pytest.param([1, 0, 2], False, 3, id="nothing matches, and the second candidate would"),
        pytest.param([1, 2], True, 10, id="no candidate is right: painted anew"),
        pytest.param([], False, 10, id="refused"),
    ],
)
def test_what_an_annotator_does_is_counted_as_in_the_other_simulations(order, answers, actions):
    given = ChosenProposal(order[0], 0.9) if answers else None
    one = replace(case(1), rank=lambda memory: order, example=replace(case(1).example, choose=lambda memory: given))
    assert count_actions(one, None) == actions


def test_where_every_answer_is_right_nothing_is_gained_and_nothing_harmed():
    cases = [case(image) for image in range(60) for _ in range(3)]
    trials = run_trials(cases, {"templates": [one.example for one in cases]}, orders=2)
    result = sum_up("open", "known", trials, {25: 0.0})
    assert (result.miou.before, result.miou.after, result.applied) == (1.0, 1.0, 0.0)
    assert (result.unseen, result.untouched) == ((1.0, 1.0), (1.0, 1.0))
    assert (result.actions.before, result.actions.after) == (200.0, 200.0)  # two things a task
    assert (result.harm[0].scenes, result.harm[0].expressions) == (0, 0)
    assert json.loads(to_json([result], {}))["results"][0]["actions"]["before"] == 200.0
    assert "| open | known | 100% -> 100% | 100% -> 100% | 200 -> 200 | +0 [+0, +0] |" in to_markdown([result], {})


def test_an_interval_holds_the_mean_and_takes_images_for_the_units():
    values, image = np.random.default_rng(0).normal(0.2, 1.0, 400), np.arange(400) // 4
    low, high = resample(values, image)
    assert low < values.mean() < high


def test_new_things_stand_in_their_scenes_under_their_own_noun_or_a_made_up_name():
    assert (len(new_nouns("open")), len(new_nouns("held"))) == (20, 10)
    assert len(set(NAMES.values())) == 30
    scene = make_new_scene("open", 900_000)
    new = [one for one in scene.objects if one.noun in new_nouns("open")]
    assert all("/" in one.sprite for one in new)  # the name of a drawing by another hand
    assert call_by_made_up_names("the apple left of the pineapple") == "the kivo left of the pineapple"
