"""Places as people use them: what is asked, and that it is one thing or none."""

import numpy as np
import pytest

from demo.benchmark import EVERYDAY_SEEDS, SEEDS, UNSEEN_SEEDS, read_everyday_scenes
from demo.everyday_places import make_everyday_expressions
from demo.scenes import Scene, SceneObject, make_scene
from ris_core.errors import UnknownName

EXAMPLES = list(EVERYDAY_SEEDS["tune"])[:10]


@pytest.fixture(scope="module")
def made():
    return [(make_scene(seed), make_everyday_expressions(make_scene(seed))) for seed in EXAMPLES]


def test_an_expression_means_one_thing_of_its_noun_or_none(made):
    for scene, expressions in made:
        for one in expressions:
            assert (len(one.targets) == 0) == (one.kind == "no_target")
            assert all(one.text.startswith(f"the {scene.objects[i].noun} ") for i in one.targets)


def test_no_text_means_two_things(made):
    for _, expressions in made:
        texts = [one.text for one in expressions]
        assert len(texts) == len(set(texts))


def placed(noun: str, x: int, y: int) -> SceneObject:
    return SceneObject(noun, noun, None, None, frozenset(), np.ones((300, 300), bool), (x, y, 20, 20), False)


def test_a_diagonal_neighbour_is_there_and_nothing_is_said_of_what_lies_aside():
    """The cup is 70 px right of the tree and 40 below it; the owl 140 px right and 40 below."""
    things = (placed("tree", 60, 40), placed("cup", 130, 80), placed("owl", 200, 80))
    made = make_everyday_expressions(Scene(0, np.zeros((300, 300, 3), np.uint8), things))
    of_the_tree = {one.text: one.targets for one in made if one.text.endswith("the tree")}
    assert of_the_tree == {
        "the cup below the tree": (1,),
        "the cup to the right of the tree": (1,),
        "the cup to the left of the tree": (),
        "the owl to the right of the tree": (2,),
        "the owl to the left of the tree": (),
    }


def test_every_kind_is_asked(made):
    kinds = {one.kind for _, expressions in made for one in expressions}
    assert kinds == {"position", "relation", "no_target"}


def test_its_scenes_are_of_no_other_benchmark():
    others = {seed for seeds in (*SEEDS.values(), *UNSEEN_SEEDS.values()) for seed in seeds}
    assert others.isdisjoint(seed for seeds in EVERYDAY_SEEDS.values() for seed in seeds)


def test_the_data_set_has_the_expressions_of_its_scenes():
    dataset = read_everyday_scenes("tune")
    assert len(dataset.items) == len(EVERYDAY_SEEDS["tune"])
    case = dataset.items[0].load()
    assert [sample.text for sample in case.samples] == [
        one.text for one in make_everyday_expressions(make_scene(EVERYDAY_SEEDS["tune"][0]))
    ]
    with pytest.raises(UnknownName, match="no split named 'val'"):
        read_everyday_scenes("val")
