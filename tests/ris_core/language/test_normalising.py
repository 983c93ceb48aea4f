"""Short forms, slips and turns of phrase are written out before an expression is read; nouns never are."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ris_core.language import lexicon
from ris_core.language.normalising import CLOSED, is_foreign, normalise
from ris_core.language.parser import Parser
from ris_core.runtime.weights import BUNDLED_FOLDER


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\u043a\u043e\u0437\u0430 \u0441\u043b\u0435\u0432\u0430", True),  # Russian: the goat at the left
        ("\u5de6\u306e\u72ac", True),  # Japanese: the dog at the left
        ("h\u00f8yre m\u00e5ke", True),  # Norwegian: the right gull
        ("kahverengi k\u00f6pek soldaki", True),  # Turkish
        ("ikinci koyun sagdaki", True),
        ("the \u043a\u043e\u0437\u0430 on the left", False),
        ("caf\u00e9 table", False),
        ("scrunchie", False),
        ("pomelo durian", False),
        ("#2", False),
        ("the goat", False),
    ],
)
def test_a_text_without_any_english_is_told_from_rare_words(text, expected):
    assert is_foreign(text) == expected


@pytest.fixture(scope="module")
def parser() -> Parser:
    """The bundled one."""
    return Parser(BUNDLED_FOLDER / "parser")


def test_the_list_of_english_words_is_read_without_importing_its_package():
    code = "import sys; from ris_core.language.normalising import is_foreign; is_foreign('the goat'); print('open_clip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


WRITTEN_OUT = {
    # short forms
    "rt mug": "right mug",
    "lft shelf w/ books": "left shelf with books",
    "waiter w tray": "waiter with tray",
    "cyclist w/o helmet": "cyclist w/o helmet",  # read as "without" by the lexicon
    "blk kettle in bg": "black kettle in background",
    "kettle infront of the stove": "kettle in front of the stove",
    # slips of closed-class words
    "the rihgt mug": "the right mug",
    "bottem shelf": "bottom shelf",
    "the thrid mug": "the third mug",
    "bule kettle": "blue kettle",
    "mug betwen the plates": "mug between the plates",
    # words written apart or together
    "left most lamp": "leftmost lamp",
    "top-most shelf": "topmost shelf",
    # counting
    "second to last lamp": "the second lamp from the right",
    "3rd from the last lamp": "the 3rd lamp from the right",
    "lamp number two from the left": "second lamp from the left",
    # exceptions without a noun
    "all mugs except the largest": "all mugs except the largest one",
    "every mug but the second from the left": "every mug but the second one from the left",
    "any lamp other than the left": "any lamp other than the left one",
    # landmarks
    "the stove's left neighbour": "the thing to the left of the stove",
    "mug with the kettle on its right": "mug to the left of the kettle",
    "mug farthest from the left": "mug rightmost",
    "mug far from the stove": "mug farthest from the stove",
    "the red one of the mugs": "the red mug",
    "mug that has the kettle to its left": "mug to the right of the kettle",
    "the mug with a lamp above it": "the mug below the lamp",
    "a plant that has a mug behind it": "a plant in front of the mug",
    "the mug with a lamp next to it": "the mug next to the lamp",
    "the mug with a lid on it": "the mug with a lid on it",
    "a mug coloured blue": "a mug that is blue",
    # telegrams
    "foreground bushes": "bushes in the foreground",
    "mug yellow": "yellow mug",
    "left mug yellow": "left yellow mug",
    # courtesies
    "the kettle, please": "the kettle",
    "pls the kettle thx!": "the kettle",
    "hi, the kettle, thanks a": "the kettle, thanks a",
    # what cannot be seen
    "the\u200b ket\u00adtle\u202c": "the kettle",
}


@pytest.mark.parametrize(("typed", "written"), WRITTEN_OUT.items())
def test_it_is_written_out(typed, written):
    assert normalise(typed) == written


KEPT = (
    "the lift door",  # no slip of "left"
    "the night table",
    "a grown man",
    "the shirt in red",
    "man in black",
    "the dark blue mug",
    "the cup with a red rim",
    "the zerba behind the tree",  # a noun, however it is spelled
    "number 7",
    "bus number 4",
    "the man on the right of the picture",
    "everything except the lamp",
    "not the left mug",  # says only what is not meant
)


@pytest.mark.parametrize("text", KEPT)
def test_other_words_are_left_alone(text):
    assert normalise(text) == text


@given(
    st.lists(
        st.sampled_from(["the", "mug", "kettle", "red", "on", "shelf", "large", "two", "with", "handle"]),
        min_size=1,
        max_size=6,
    )
)
def test_normalising_twice_changes_nothing_more(words):
    once = normalise(" ".join(words))
    assert normalise(once) == once


def test_no_word_of_the_closed_list_is_taken_for_a_slip():
    assert [word for word in CLOSED if normalise(word) != word and " " not in normalise(word)] == []


READ = {
    "the girl in a yellow dress and boots": 1,
    "the man with a hat and a red scarf": 1,
    "the lamp and the kettle": 2,
    "cup, chair and clock": 3,
    "the man with a hat and the dog": 2,
    "the lamp between the shelf and the stove": 1,
}


@pytest.mark.parametrize(("text", "things"), READ.items())
def test_what_is_worn_is_no_second_thing(parser, text, things):
    assert len(parser.parse(text).referents) == things


ACCOUNTED = {
    "left woman long hair": "hair",
    "man looking at a laptop": "laptop",
    "the girl in a yellow dress and boots": "boots",
    "guy far right blue shirt": "shirt",
    "oak tree center": "oak",
    "purple clouds middle": "cloud",
}


@pytest.mark.parametrize(("text", "word"), ACCOUNTED.items())
def test_a_word_that_no_reader_takes_joins_the_look(parser, text, word):
    [thing] = parser.parse(text).referents
    assert word in thing.phrase.split()


def test_what_was_typed_is_kept_as_it_is(parser):
    expression = parser.parse("The Rihgt mug, pls")
    assert (expression.raw, expression.text) == ("The Rihgt mug, pls", "the rihgt mug , pls")
    [thing] = expression.referents
    assert (thing.phrase, [clause.keyword for clause in thing.clauses]) == ("mug", ["right"])


def test_colours_are_in_the_closed_list():
    assert set(lexicon.COLOURS) <= set(CLOSED)


@pytest.mark.parametrize(
    ("text", "is_blank"),
    [
        ("corner", True),
        ("4", True),
        ("number 7", True),
        ("no. 7", True),
        ("10:00", True),
        ("4 o'clock", True),
        ("the edge", True),
        ("the mug number 7", False),
        ("mug at 4 o'clock", False),
        ("the mug", False),
        ("middle right", False),
        ("it", False),
    ],
)
def test_places_and_numbers_alone_name_nothing(parser, text, is_blank):
    assert parser.parse(text).names_nothing is is_blank


@pytest.mark.parametrize(
    "text", ["the white board by the door", "every one of the mugs", "some one in red", "any thing on the shelf"]
)
def test_words_that_mean_something_apart_are_not_joined(text):
    assert normalise(text) == text


def test_every_one_of_several_is_all_of_them(parser):
    [thing] = parser.parse("every one of the mugs").referents
    assert (thing.head, thing.number) == ("mug", None)


def test_one_of_several_is_one(parser):
    [thing] = parser.parse("any one of the mugs").referents
    assert (thing.head, thing.number) == ("mug", 1)


@pytest.mark.parametrize("text", ["on t he shelf", "ont he shelf"])
def test_a_blank_in_the_wrong_place_is_moved(text):
    assert normalise(text) == "on the shelf"


def test_he_stays_he():
    assert normalise("what he wears at home") == "what he wears at home"


TWO_PERSONS = {
    "the chef with the ladle and the umpire with the mask": ["chef with ladle", "umpire with mask"],
    "a lady in a veil and a man in a cap": ["lady in veil", "man in cap"],
    "the cook with the ladle and the kettle with the lid": ["cook with ladle and kettle with lid"],
    "the chef with a ladle and a pan": ["chef with ladle and pan"],
}


@pytest.mark.parametrize(("text", "phrases"), TWO_PERSONS.items())
def test_two_persons_are_two_if_each_is_told_by_what_is_its_own(parser, text, phrases):
    assert [thing.phrase for thing in parser.parse(text).referents] == phrases
