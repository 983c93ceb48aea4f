import pytest

from ris_core import lexicon


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
    assert all(lexicon.OPPOSITES[lexicon.OPPOSITES[keyword]] == keyword for keyword in lexicon.OPPOSITES)
    assert {*lexicon.SIDES.values(), *lexicon.EXTREMES.values()} - {"middle"} <= set(lexicon.OPPOSITES)
