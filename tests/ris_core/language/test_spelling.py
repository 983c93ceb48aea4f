"""What a word may have been meant as: one slip away, and never of a word that is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ris_core.language.hypernyms import HYPERNYMS, is_kind_of
from ris_core.language.spelling import suggest

KNOWN = ("dog", "horse", "house", "zebra", "umbrella", "kitchen", "light", "gray")
SLIPS = {
    "zerba": "zebra",  # two letters swapped
    "umbrela": "umbrella",  # one missing
    "kitchenn": "kitchen",  # one too many
    "ligth": "light",
    "horze": "horse",  # another one
    "hourse": "horse",  # of two that are as near, the more usual
}


@pytest.mark.parametrize(("word", "meant"), SLIPS.items())
def test_a_slip_is_seen(word, meant):
    assert suggest([word], KNOWN) == {word: meant}


@pytest.mark.parametrize("word", ["zebra", "zebras", "horses", "grey", "dgo", "unicorn", "zbera!", "4th", ""])
def test_known_short_and_strange_words_are_left_alone(word):
    assert suggest([word], KNOWN) == {}


@given(st.sampled_from([word for word in KNOWN if len(word) > 4]), st.data())
def test_any_swap_of_two_letters_is_seen(word, data):
    at = data.draw(st.integers(0, len(word) - 2))
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    assert suggest([swapped], KNOWN) in ({swapped: word}, {})
    assert swapped in KNOWN or suggest([swapped], KNOWN)


KINDS = [
    ("tree", "Plant"),
    ("trees", "plants"),
    ("frog", "Animal"),
    ("man", "People"),
    ("bus", "Vehicles"),
    ("cup", "container"),
]


@pytest.mark.parametrize(("noun", "kind"), KINDS)
def test_common_nouns_are_of_their_kind(noun, kind):
    assert is_kind_of(noun, kind)


@pytest.mark.parametrize(("noun", "kind"), [("tree", "Animal"), ("tree", "Object"), ("", "Plant"), ("plant", "tree")])
def test_other_nouns_are_not(noun, kind):
    assert not is_kind_of(noun, kind)


def test_the_list_is_in_lower_case_and_in_the_singular():
    words = set().union(*HYPERNYMS, *HYPERNYMS.values())
    assert words == {word.lower().strip() for word in words}
