"""The simulated projects of `ris bench memory`: what is saved is what is told."""

import numpy as np

from benchmarks.region_memory import MemoryCase, annotate, poison, resample
from demo.new_things import NAMES, call_by_made_up_names, make_new_scene, new_nouns
from ris_core.learning.memory_fitting import ChosenProposal, MemoryExample


def case(image: int) -> MemoryCase:
    """Three proposals that show three things exactly; the first thing is meant and answers."""
    visual = np.eye(3, dtype=np.float32)
    overlaps = np.eye(3)
    choose = lambda memory: ChosenProposal(0, 0.9)  # noqa: E731
    return MemoryCase(
        MemoryExample("dog", frozenset({"dog"}), image, visual, overlaps[0], True, choose), "dog", overlaps, 0
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
