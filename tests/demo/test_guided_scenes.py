"""The method `guided` on a scene that was never trained on: two tomatoes and two clocks."""

import numpy as np
import pytest

from demo.scenes import make_scene
from demo.sprites import vocabulary
from ris_core import Image, load_segmenter, masks
from ris_core.explain import explain

pytestmark = pytest.mark.slow

SEED = 500_002


@pytest.fixture(scope="module")
def scene():
    return make_scene(SEED)


@pytest.fixture(scope="module")
def ask(scene):
    nouns = list(vocabulary()["classes"])
    segmenter = load_segmenter("demo", method={"name": "guided", "calibration": "demo", "negatives": nouns})
    encoded = segmenter.encode(Image.from_array(scene.image))
    return lambda text: segmenter.segment(encoded, text)


def found(scene, prediction) -> list[str]:
    """What the selected masks show: noun and place in the scene's order."""
    truth = np.stack([thing.mask for thing in scene.objects])
    overlaps = masks.iou(prediction.masks[list(prediction.selected)], truth)
    assert (overlaps.max(1) > 0.5).all()
    return sorted(scene.objects[i].noun + str(i) for i in overlaps.argmax(1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the yellow tomato", ["tomato2"]),
        ("tomato at the bottom", ["tomato0"]),
        ("the first tomato from the left", ["tomato0"]),
        ("the tomato that is not gray", ["tomato2"]),
        ("all tomatoes", ["tomato0", "tomato2"]),
        ("the two clocks", ["clock1", "clock3"]),
        ("the clocks and the yellow tomato", ["clock1", "clock3", "tomato2"]),
    ],
)
def test_the_answer_is_what_the_words_ask_for(scene, ask, text, expected):
    prediction = ask(text)
    assert prediction.decision == "match"
    assert found(scene, prediction) == expected


@pytest.mark.parametrize("text", ["the red chair", "a purple tomato", "zebra on the left", "all owls"])
def test_what_is_not_there_is_not_found(ask, text):
    prediction = ask(text)
    assert (prediction.decision, prediction.selected) == ("no_match", ())
    assert prediction.scores[0] < 0.5


def test_one_of_two_is_ambiguous(ask):
    prediction = ask("the tomato")
    assert prediction.decision == "ambiguous"
    assert prediction.scores[0] < ask("the yellow tomato").scores[0]


def test_the_explanation_names_what_moved_the_answer(ask):
    assert "moved up by" in explain(ask("tomato at the bottom"))
