import io

import numpy as np
import pytest
from PIL import Image

from demo.captions import words
from demo.gallery import GALLERY, Exhibit
from demo.scenes import make_scene
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
    """By noun and colour alone; what stands after them only adds to it."""
    said = exhibit.expression.split()
    objects = make_scene(exhibit.seed).objects
    noun = next(word for word in said if word in {thing.noun for thing in objects})
    colours = [word for word in said[: said.index(noun)] if word != "the"]
    fitting = [i for i, thing in enumerate(objects) if thing.noun == noun and all(c in thing.colours for c in colours)]
    assert fitting == list(exhibit.targets)


@named
def test_words_are_known_to_the_demo_models(exhibit: Exhibit):
    assert set(exhibit.expression.split()) <= set(words()) | {"the"}


def test_picture_is_the_scene_pixel_by_pixel():
    exhibit = GALLERY[0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(exhibit.draw()))), make_scene(exhibit.seed).image)


def test_truth_is_the_union_of_the_targets():
    objects = make_scene(2).objects
    assert np.array_equal(Exhibit(2, "the crabs", (2, 3)).truth(), objects[2].mask | objects[3].mask)
