import io

import numpy as np
import pytest
from PIL import Image

from demo.captions import words
from demo.expressions import make_expressions
from demo.gallery import GALLERY, Exhibit
from demo.scenes import Scene, make_scene
from demo.training import TRAIN_SEED

pytestmark = pytest.mark.slow

named = pytest.mark.parametrize("exhibit", GALLERY, ids=lambda exhibit: exhibit.expression)


def test_there_are_twelve_scenes_and_none_twice():
    assert len({exhibit.seed for exhibit in GALLERY}) == len(GALLERY) == 12


@named
def test_scene_was_never_trained_on(exhibit: Exhibit):
    assert exhibit.seed < TRAIN_SEED


@named
def test_expression_is_true_of_its_target_and_of_nothing_else(exhibit: Exhibit):
    """As the benchmark has it; else by noun and colour alone, to which what stands after them only adds."""
    scene, said = make_scene(exhibit.seed), exhibit.expression.removeprefix("the ")
    asked = {expression.text.removeprefix("the "): expression.targets for expression in make_expressions(scene)}
    assert exhibit.targets == (asked[said] if said in asked else find_all(scene, said.split()))


def find_all(scene: Scene, said: list[str]) -> tuple[int, ...]:
    """The things of the first noun that is said, with the colours before it."""
    noun = next(word for word in said if word in {thing.noun for thing in scene.objects})
    colours = {*said[: said.index(noun)]}
    return tuple(i for i, thing in enumerate(scene.objects) if thing.noun == noun and colours <= thing.colours)


@named
def test_words_are_known_to_the_demo_models(exhibit: Exhibit):
    assert set(exhibit.expression.split()) <= set(words()) | {"the"}


def test_picture_is_the_scene_pixel_by_pixel():
    exhibit = GALLERY[0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(exhibit.draw()))), make_scene(exhibit.seed).image)


def test_truth_is_the_union_of_the_targets():
    objects = make_scene(2).objects
    assert np.array_equal(Exhibit(2, "the crabs", (2, 3)).truth(), objects[2].mask | objects[3].mask)
