"""A memory in a whole segmenter: what it touches is found, everything else is answered to the last bit as before."""

from dataclasses import replace

import numpy as np
import pytest

from ris_core import Image
from ris_core.errors import UnknownWord
from ris_core.language.parser import Parser
from ris_core.language.vocabulary import Vocabulary
from ris_core.learning.lesson import Lesson
from ris_core.learning.memory_examples import make_example
from ris_core.learning.memory_fitting import fit_memory
from ris_core.methods._calibration import Calibrator, Logistic
from ris_core.runtime.weights import BUNDLED_FOLDER
from tests.toy import guided_toy, toy_lesson, toy_pixels

BLUE = 2
"""Index of the quarter that is called a widget; the encoder takes the word for grey."""


@pytest.fixture(scope="module")
def encoded():
    return guided_toy().encode(Image.from_array(toy_pixels()))


@pytest.fixture(scope="module")
def lesson(encoded):
    plain = toy_lesson()
    answer = Logistic({"look": 1.0}, bias=5.0)
    plain = replace(plain, calibrator=Calibrator(Logistic({"standing": 0.2}), answer, 0.0))
    segmenter, overlaps = plain.apply(guided_toy()), np.eye(4)[BLUE]
    examples = [make_example(segmenter, encoded, "the widget", overlaps, True, image) for image in range(12)]
    return replace(plain, memory=fit_memory([one for one in examples if one]).memory)


def test_a_thing_that_the_text_fails_for_is_found(encoded, lesson):
    without, remembered = (one.apply(guided_toy()) for one in (replace(lesson, memory=None), lesson))
    blue = np.asarray(encoded.proposals.masks)[BLUE]
    assert not (without.segment(encoded, "the widget").masks[0] == blue).all()
    assert (remembered.segment(encoded, "the widget").masks[0] == blue).all()
    assert remembered.model_version != without.model_version


@pytest.mark.parametrize("text", ["the red square", "blue", "the widgets box", "green thing"])
def test_expressions_of_other_nouns_are_answered_to_the_last_bit_as_before(encoded, lesson, text):
    before, after = (one.apply(guided_toy()).segment(encoded, text) for one in (replace(lesson, memory=None), lesson))
    np.testing.assert_array_equal(before.scores, after.scores)
    np.testing.assert_array_equal(before.masks, after.masks)
    assert (before.parts, before.selected, before.decision) == (after.parts, after.selected, after.decision)


def test_a_lesson_with_a_memory_is_stored_without_loss_and_one_without_as_ever(lesson):
    back = Lesson.from_json(lesson.to_json())
    assert back.model_version == lesson.model_version
    assert back.memory is not None
    without = replace(lesson, memory=None)
    assert "memory" not in without.to_json()
    assert without.digest != lesson.digest


def test_what_names_no_single_thing_or_has_no_proposals_is_no_example(encoded):
    segmenter = guided_toy()
    empty = replace(encoded, proposals=type(encoded.proposals).from_masks(np.zeros((0, 40, 60), bool)))
    assert make_example(segmenter, empty, "the widget", np.zeros(0), True, 0) is None
    assert make_example(segmenter, encoded, "", np.zeros(4), True, 0) is None


@pytest.fixture(scope="module")
def refusing():
    """A segmenter that knows few words, and what a memory of another one changes: both as `Lesson.apply` makes them."""
    known = Vocabulary(frozenset({"square", "tree"}), frozenset({"red", "green", "blue", "yellow"}))
    plain = replace(guided_toy(), parser=Parser(BUNDLED_FOLDER / "parser"), vocabulary=known)
    own = replace(toy_lesson(), base_version=plain.model_version)
    own = replace(own, calibrator=Calibrator(Logistic({"standing": 0.2}), Logistic({"look": 1.0}, bias=5.0), 0.0))
    segmenter, encoded = own.apply(plain), plain.encode(Image.from_array(toy_pixels()))
    texts = ["the wug", "the red wug on the left", "the wug left of the blick"]
    examples = [make_example(segmenter, encoded, text, np.eye(4)[BLUE], True, n) for text in texts for n in range(12)]
    assert [one.choose(None) for one in examples] == [None] * len(examples)  # refused
    memory = fit_memory(examples).memory
    return segmenter, replace(own, memory=memory).apply(plain), encoded


@pytest.mark.slow
@pytest.mark.parametrize("text", ["the wug", "wugs", "the Wug at the bottom", "the wug next to the red square"])
def test_a_noun_that_a_memory_knows_passes_the_vocabulary_and_is_found(refusing, text):
    before, after, encoded = refusing
    with pytest.raises(UnknownWord) as caught:
        before.segment(encoded, text)
    assert "wug" in caught.value.words[0]
    answer = after.segment(encoded, text)
    assert (answer.masks[0] == np.asarray(encoded.proposals.masks)[BLUE]).all()
    assert not answer.expression.unused


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["the red square", "the wug square", "the square left of the blick", "the one on the left"]
)
def test_what_names_no_remembered_noun_is_answered_as_before_with_a_vocabulary_too(refusing, text):
    before, after = (one.segment(refusing[2], text) for one in refusing[:2])
    np.testing.assert_array_equal(before.scores, after.scores)
    np.testing.assert_array_equal(before.masks, after.masks)
    assert (before.parts, before.selected, before.decision) == (after.parts, after.selected, after.decision)
    assert before.expression == after.expression


@pytest.mark.slow
@pytest.mark.parametrize("text", ["the blick", "the wag", "the red blicks"])
def test_other_words_are_refused_with_the_same_message(refusing, text):
    before, after, encoded = refusing
    with pytest.raises(UnknownWord) as then:
        before.segment(encoded, text)
    with pytest.raises(UnknownWord) as now:
        after.segment(encoded, text)
    assert str(then.value) == str(now.value)
