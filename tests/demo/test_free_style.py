"""Expressions that were written by hand: each is about what its scene has."""

import pytest

from demo.benchmark import read_free_scenes
from demo.free_style import read_free_expressions
from demo.scenes import make_scene
from ris_core.errors import UnknownName

SPLITS = ("tune", "test")


def test_a_third_is_held_back_and_no_scene_is_of_both():
    tune, test = (read_free_expressions(split) for split in SPLITS)
    assert (len(tune), len(test)) == (200, 100)
    assert not {one.seed for one in tune} & {one.seed for one in test}


@pytest.mark.parametrize("split", SPLITS)
def test_each_is_about_things_of_its_scene(split):
    for one in read_free_expressions(split):
        things = make_scene(one.seed).objects
        assert one.targets, one
        assert all(things[i].mask.any() for i in one.targets), one
        assert one.head[:4] in one.text or one.head == "shirt", one  # "cacti", "t-shirt"
        assert len({things[i].noun for i in one.targets}) == 1, one
        assert one.kind, one


def test_the_dataset_has_them_all_with_their_targets():
    dataset = read_free_scenes("test")
    cases = [item.load() for item in dataset.items[:3]]
    assert len(dataset.items) == 20
    assert [len(case.samples) for case in cases] == [5, 5, 5]
    assert all(case.truth(sample).any() for case in cases for sample in case.samples)


def test_an_unknown_split_is_named():
    with pytest.raises(UnknownName, match="dev"):
        read_free_expressions("dev")
