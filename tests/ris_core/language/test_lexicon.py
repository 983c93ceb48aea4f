import pytest

from ris_core.language import lexicon


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("dogs", "dog"),
        ("buses", "bus"),
        ("boxes", "box"),
        ("benches", "bench"),
        ("tomatoes", "tomato"),
        ("butterflies", "butterfly"),
        ("women", "woman"),
        ("firemen", "fireman"),
        ("people", "person"),
        ("houses", "house"),
        ("tvs", "tv"),
        ("sheep", "sheep"),
        ("scissors", "scissors"),
        ("grass", "grass"),
        ("bus", "bus"),
    ],
)
def test_singular(plural, expected):
    assert lexicon.singular(plural) == expected


def test_every_keyword_has_its_opposite_twice():
    both = [keyword for keyword in lexicon.OPPOSITES if keyword != "long"]  # "short" is also the opposite of "tall"
    assert all(lexicon.OPPOSITES[lexicon.OPPOSITES[keyword]] == keyword for keyword in both)
    assert {*lexicon.SIDES.values(), *lexicon.EXTREMES.values(), *lexicon.RIMS.values()} <= set(lexicon.OPPOSITES)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("grey", "gray"),
        ("colour", "color"),
        ("light-grey", "light-gray"),
        ("aeroplane", "airplane"),
        ("greyhound", "greyhound"),
    ],
)
def test_spellings_are_one(word, expected):
    assert lexicon.spelled(word) == expected


def test_no_american_spelling_is_spelled_otherwise():
    assert not set(lexicon.SPELLINGS) & set(lexicon.SPELLINGS.values())
