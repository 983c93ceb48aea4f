"""Accepted words: what they replace, and what they leave alone."""

import pytest

from ris_core.learning.lesson import Lesson
from ris_core.learning.words import Words, fold_phrase
from tests.ris_core.learning.made import CALIBRATOR
from tests.toy import toy_segmenter

WORDS = Words({"mug": "Cup"}, {"tap": "faucet", "water tap": "spigot", "faucet": "tap", "c++ box": "red box"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the tap on the left", "the faucet on the left"),
        ("The  TAP, left", "The  faucet, left"),
        ("water\ttap", "spigot"),  # the longest first
        ("the faucet near the tap", "the tap near the faucet"),  # nothing twice
        ("the tap's handle", "the faucet's handle"),
        ("tapestry, tap-water and a screw-tap", "tapestry, tap-water and a screw-tap"),  # whole words only
        ("the c++ box", "the red box"),
        ("die Straße \u2028 ta\u0301p", "die Straße \u2028 ta\u0301p"),
        ("", ""),
    ],
)
def test_whole_phrases_are_replaced_once(text, expected):
    assert WORDS.reword(text).text == expected
    assert Words().reword(text).text == text


def test_what_was_replaced_is_told():
    assert WORDS.reword("the tap, and another Tap").replaced == {"tap": "faucet"}
    assert WORDS.reword("the dog").replaced == {}


def test_a_label_is_found_by_the_whole_phrase():
    assert WORDS.find_label("the  Mug") == "Cup"
    assert WORDS.find_label("the thing", "mug") == "Cup"
    assert WORDS.find_label("the red mug", "mugs") is None
    assert fold_phrase("The") == "the"  # an article alone is a word


def test_words_are_part_of_the_digest_and_need_no_calibrator():
    plain = toy_segmenter()
    lesson = Lesson(plain.model_version, words=WORDS)
    assert lesson.apply(plain).model_version == lesson.model_version != plain.model_version
    assert lesson.apply(plain).method is plain.method
    assert Lesson.from_json(lesson.to_json()) == lesson
    assert lesson.digest != Lesson(plain.model_version, words=Words(WORDS.labels)).digest


def test_lessons_of_before_keep_their_digest():
    lesson = Lesson("demo.guided.12345678", CALIBRATOR, {"Cup": 0.5})
    assert lesson.digest == "121cb2dc"
    old = {name: value for name, value in lesson.to_json().items() if name != "words"}
    assert Lesson.from_json(old) == lesson
