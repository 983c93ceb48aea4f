"""Cleaning what was typed, and the parser around a real spaCy pipeline."""

from pathlib import Path

import pytest
import spacy

from ris_core.errors import BadExpression, WeightsMissing
from ris_core.language.parser import MAX_CHARACTERS, Parser, clean_expression
from ris_core.runtime.weights import BUNDLED_FOLDER

pytestmark = pytest.mark.slow

PIPELINE = BUNDLED_FOLDER / "parser"


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(PIPELINE)


@pytest.mark.parametrize(
    ("typed", "cleaned"),
    [
        pytest.param("  the red\tapple\n", "the red apple", id="white space"),
        pytest.param("Left Guy", "Left Guy", id="the case is kept"),
        pytest.param("ｒｅｄ\u00a0ﬁsh", "red fish", id="compatibility characters"),
        pytest.param("red\x00apple\x07", "red apple", id="control characters"),
        pytest.param("red \ud83d apple", "red apple", id="half a surrogate pair"),
        pytest.param("🍎", "🍎", id="an emoji alone"),
        pytest.param("👩‍🚀 left", "👩‍🚀 left", id="joined emoji"),
        pytest.param("左边的红苹果", "左边的红苹果", id="Chinese"),
        pytest.param("التفاحة الحمراء", "التفاحة الحمراء", id="Arabic"),
        pytest.param("isn’t it ‘red’", "isn't it 'red'", id="curly apostrophes"),
        pytest.param("42", "42", id="a number"),
        pytest.param("a" * MAX_CHARACTERS, "a" * MAX_CHARACTERS, id="the longest"),
    ],
)
def test_clean_expression_normalises_and_keeps(typed, cleaned):
    assert clean_expression(typed) == cleaned


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        pytest.param("", "The expression '' is blank. Type what to find", id="empty"),
        pytest.param(" \n\t", r"The expression ' \\n\\t' is blank. Type what to find", id="blank"),
        pytest.param("?!...", r"The expression '\?!...' has no letter or digit. Type what to find", id="punctuation"),
        pytest.param(
            "a" * 1_001, "has 1,001 characters; at most 1,000 are read. Keep only the words", id="one too many"
        ),
        pytest.param("red apple " * 1_000, "has 9,999 characters; at most 1,000 are read", id="ten thousand"),
    ],
)
def test_clean_expression_names_the_value_and_the_remedy(typed, message):
    with pytest.raises(BadExpression, match=message):
        clean_expression(typed)


def test_parse_reads_the_target_the_landmark_and_the_relation(parser):
    expression = parser.parse("The red APPLE  left of the dog")
    assert expression.raw == "The red APPLE  left of the dog"
    assert expression.text == "the red apple left of the dog"
    assert (expression.target_phrase, expression.head) == ("the red apple", "apple")
    assert expression.other_phrases == ("the dog",)
    assert (expression.position, expression.relation, expression.is_whole) == ("none", "left", False)


def test_parse_joins_tokens_with_single_blanks(parser):
    assert parser("The car that isn't red, please!").text == "the car that is n't red , please !"


def test_parse_takes_emoji_and_other_scripts(parser):
    assert parser.parse("🍎 on the left").position == "left"
    assert parser.parse("左边的红苹果").target_phrase == "左边的红苹果"


def test_parse_refuses_what_has_nothing_to_read(parser):
    with pytest.raises(BadExpression, match="no letter or digit"):
        parser.parse("--")


def test_quirks_reach_the_grammar_and_the_fingerprint(parser):
    paper = Parser(PIPELINE, quirks=frozenset({"Q-KEYWORD"}))
    assert (parser.parse("left guy").relation, paper.parse("left guy").relation) == ("none", "left")
    assert paper.fingerprint == f"{parser.fingerprint}+Q-KEYWORD"


def test_a_given_fingerprint_is_used():
    assert Parser(PIPELINE, fingerprint="abc").fingerprint == "abc"


def test_a_missing_folder_names_folder_and_command(tmp_path):
    folder = tmp_path / "parser"
    with pytest.raises(WeightsMissing, match="is missing or damaged") as caught:
        Parser(folder)
    assert str(folder) in str(caught.value)
    assert "demo.train_parser" in str(caught.value)


def test_a_missing_package_names_its_download():
    with pytest.raises(WeightsMissing, match="python -m spacy download en_core_web_xxl"):
        Parser("en_core_web_xxl")


def test_a_missing_folder_is_not_taken_for_a_package(tmp_path: Path):
    with pytest.raises(WeightsMissing, match=r"pipeline .*/mine is missing or damaged") as caught:
        Parser(str(tmp_path / "mine"))
    assert "spacy download" not in str(caught.value)


def test_a_folder_of_ones_own_that_cannot_parse_is_not_to_be_trained_over(tmp_path: Path):
    spacy.blank("en").to_disk(tmp_path / "mine")
    with pytest.raises(WeightsMissing, match="has no dependency parser") as caught:
        Parser(str(tmp_path / "mine"))
    assert "train_parser" not in str(caught.value)


def test_a_pipeline_that_cannot_parse_is_refused(tmp_path: Path):
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(WeightsMissing, match="has no dependency parser"):
        Parser(tmp_path / "blank")
