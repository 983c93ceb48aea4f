"""Places as people use them: what is asked, and that it is one thing or none."""

import pytest

from demo.benchmark import EVERYDAY_SEEDS, SEEDS, UNSEEN_SEEDS, read_everyday_scenes
from demo.everyday_places import make_everyday_expressions
from demo.scenes import make_scene
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


def test_every_kind_is_asked_and_diagonal_neighbours_too(made):
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
