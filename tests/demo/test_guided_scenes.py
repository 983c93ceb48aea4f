"""The method `guided` on a scene that was never trained on: two tomatoes and two clocks."""

import numpy as np
import pytest

from demo.scenes import make_scene
from demo.sprites import vocabulary
from ris_core import Image, load_segmenter
from ris_core.errors import NegatedTarget, UnknownWord
from ris_core.geometry import masks
from ris_core.output.explain import explain

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


@pytest.mark.parametrize("text", ["the red chair", "a purple tomato", "owl on the left", "all owls"])
def test_what_is_not_there_is_not_found(ask, text):
    prediction = ask(text)
    assert (prediction.decision, prediction.selected) == ("no_match", ())
    assert prediction.scores[0] < 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the kitten", ("kitten",)),
        ("zebra on the left", ("zebra",)),
        ("the vegetable left of the clock", ("vegetable",)),
    ],
)
def test_an_unknown_noun_is_named_and_nothing_is_offered_for_it(ask, text, words):
    with pytest.raises(UnknownWord) as caught:
        ask(text)
    assert caught.value.words == words


@pytest.mark.parametrize(
    ("text", "unused"), [("the shiny yellow tomato", ("shiny",)), ("the yellow tomato above the kitten", ("kitten",))]
)
def test_other_unknown_words_are_named_and_not_used(scene, ask, text, unused):
    prediction = ask(text)
    assert (found(scene, prediction), prediction.expression.unused) == (["tomato2"], unused)
    assert f"Not used: {unused[0]}" in " ".join(prediction.warnings)


@pytest.mark.parametrize(
    "text", ["not the yellow tomato", "no tomato", "without the tomato", "tomato, no", "don’t take the tomato"]
)
def test_a_negated_target_is_refused_with_what_to_say_instead(ask, text):
    with pytest.raises(
        NegatedTarget, match=r"only says what is not meant\. Say what is, as in “the cup that is not red”"
    ):
        ask(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("everything except the tomatoes", ["clock1", "clock3"]),
        ("all but the clocks", ["tomato0", "tomato2"]),
        ("the non-gray tomato", ["tomato2"]),
        ("the tomato that isn’t gray", ["tomato2"]),
    ],
)
def test_what_is_excluded_is_left_out(scene, ask, text, expected):
    assert found(scene, ask(text)) == expected


@pytest.mark.parametrize("size", ["big", "small", "tall", "huge", "little", "bigger", "smallest", "leftmost"])
def test_a_size_takes_nothing_from_the_only_thing_of_its_phrase(scene, ask, size):
    assert found(scene, ask(f"the {size} yellow tomato")) == ["tomato2"]


def test_one_of_two_is_ambiguous(ask):
    prediction = ask("the tomato")
    assert prediction.decision == "ambiguous"
    assert prediction.scores[0] < ask("the yellow tomato").scores[0]


def test_the_explanation_names_what_moved_the_answer(ask):
    assert "moved up by" in explain(ask("tomato at the bottom"))
