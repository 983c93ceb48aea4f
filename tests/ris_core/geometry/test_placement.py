"""Soft judgements of boxes; the picture is 200 x 100 px (W x H) unless said otherwise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ris_core.geometry import placement
from ris_core.geometry.placement import ProposalLayout


def layout(
    *centres_xy: tuple[float, float], sizes: tuple[float, ...] = (), size_hw: tuple[int, int] = (100, 200)
) -> ProposalLayout:
    """Squares around centres, 10 px large unless sizes are given."""
    sides = np.array(sizes or (10.0,) * len(centres_xy), float)
    corner = np.array(centres_xy) - sides[:, None] / 2
    return ProposalLayout(np.concatenate([corner, np.stack([sides, sides], 1)], 1), sides**2, size_hw)


def likely(values: np.ndarray) -> list[int]:
    return np.flatnonzero(values > 0.5).tolist()


CORNERS = layout((20, 20), (180, 20), (20, 80), (180, 80), (100, 50))


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("left", [0, 2]),
        ("right", [1, 3]),
        ("up", [0, 1]),
        ("down", [2, 3]),
        ("middle", [4]),
        ("front", [2, 3]),
        ("back", [0, 1, 4]),
    ],
)
def test_positions(keyword, expected):
    assert likely(placement.position(CORNERS, keyword)) == expected


def test_a_position_is_worth_less_the_farther_from_it():
    values = placement.position(layout((10, 50), (80, 50), (120, 50), (190, 50)), "left")
    assert (np.diff(values) < 0).all()


@pytest.mark.parametrize(
    ("keyword", "first", "second"),
    [
        pytest.param("left", (20, 50), (100, 50), id="left"),
        pytest.param("right", (100, 50), (20, 50), id="right"),
        pytest.param("up", (50, 20), (50, 80), id="up"),
        pytest.param("down", (50, 80), (50, 20), id="down"),
        pytest.param("near", (50, 50), (65, 50), id="next to"),
        pytest.param("with", (50, 50), (58, 52), id="holding"),
        pytest.param("far", (10, 50), (150, 50), id="away from"),
        pytest.param("on", (50, 40), (50, 51), id="on"),
        pytest.param("front", (50, 60), (52, 50), id="in front of"),
        pytest.param("back", (50, 40), (52, 50), id="behind"),
    ],
)
def test_relations(keyword, first, second):
    assert placement.relation(layout(first, second), keyword)[0, 1] > 0.5


@pytest.mark.parametrize(
    ("keyword", "first", "second", "expected"),
    [
        pytest.param("left", (60, 80), (90, 30), True, id="left of it and below"),
        pytest.param("down", (110, 74), (60, 48), True, id="below it and right"),
        pytest.param("near", (50, 50), (85, 50), True, id="not quite next to it"),
        pytest.param("left", (50, 90), (60, 10), False, id="rather below it"),
        pytest.param("left", (90, 30), (60, 80), False, id="at the other side"),
        pytest.param("up", (95, 75), (60, 48), False, id="below it"),
        pytest.param("near", (20, 50), (150, 50), False, id="far away"),
    ],
)
def test_with_leeway_a_relation_is_low_only_where_it_plainly_does_not_hold(keyword, first, second, expected):
    strict, lenient = (placement.relation(layout(first, second), keyword, leeway)[0, 1] for leeway in (False, True))
    assert strict < 0.5
    assert (lenient > 0.5) == expected


def test_with_leeway_a_position_is_low_only_for_what_is_plainly_elsewhere():
    values = placement.position(layout((20, 50), (110, 50), (140, 50)), "left", leeway=True)
    assert likely(values) == [0, 1]


@pytest.mark.parametrize(
    ("keyword", "expected"), [("left", [1]), ("right", [2]), ("up", []), ("middle", [0]), ("front", []), ("back", [])]
)
def test_sides_of_a_thing(keyword, expected):
    halves = ProposalLayout(
        np.array([[50, 20, 60, 40], [50, 20, 30, 40], [80, 20, 30, 40]], float),
        np.array([2400.0, 1200, 1200]),
        (100, 200),
    )
    assert likely(placement.side(halves, keyword)[:, 0]) == expected


@pytest.mark.parametrize(
    ("keyword", "first", "second"),
    [
        pytest.param("left", (100, 50), (20, 50), id="right of it"),
        pytest.param("left", (50, 90), (60, 10), id="rather below it"),
        pytest.param("near", (20, 50), (100, 50), id="far away"),
        pytest.param("on", (50, 60), (50, 49), id="under it"),
        pytest.param("on", (20, 40), (100, 51), id="not touching it"),
        pytest.param("in", (50, 50), (70, 50), id="beside it"),
        pytest.param("back", (10, 40), (150, 50), id="somewhere else"),
    ],
)
def test_relations_that_do_not_hold(keyword, first, second):
    assert placement.relation(layout(first, second), keyword)[0, 1] < 0.5


def test_in_is_the_share_of_the_first_that_the_second_covers():
    values = placement.relation(layout((50, 50), (52, 50), sizes=(10, 40)), "in")
    assert (values[0, 1] > 0.9, values[1, 0] < 0.1) == (True, True)


@pytest.mark.parametrize(("keyword", "larger"), [("big", 1), ("small", 0), ("tall", 1), ("short", 0)])
def test_comparisons_of_size(keyword, larger):
    values = placement.relation(layout((50, 50), (120, 50), sizes=(10, 20)), keyword)
    assert (values[larger, 1 - larger] > 0.9, values[1 - larger, larger] < 0.1) == (True, True)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param((100, 50), True, id="on the line"),
        pytest.param((100, 60), True, id="a little aside"),
        pytest.param((100, 95), False, id="far aside"),
        pytest.param((155, 50), False, id="past the end"),
        pytest.param((64, 50), False, id="at one of them"),
    ],
)
def test_between(at, expected):
    values = placement.between(layout(at, (60, 50), (140, 50)))
    assert (values[0, 1, 2] > 0.5) == expected
    assert values[0, 1, 2] == pytest.approx(values[0, 2, 1])


def ranks(values, weights, place=1, count=1, same=None):
    same = np.eye(len(values), dtype=bool) if same is None else same
    return placement.rank(np.array(values, float), 0.1, np.array(weights, float), same, place, count)


def test_ranks_follow_the_order():
    values = (3.0, 1.0, 2.0)
    places = [int(ranks(values, (1, 1, 1), place).argmax()) for place in (1, 2, 3)]
    assert places == [0, 2, 1]


def test_what_takes_no_part_is_not_counted():
    assert ranks((3.0, 2.0, 1.0), (1, 0, 1), place=2)[2] == pytest.approx(1, abs=1e-3)


def test_an_uncertain_rival_counts_for_as_much_as_it_is_certain():
    first = ranks((2.0, 3.0, 0.0), (1.0, 0.3, 1.0))
    assert first[0] == pytest.approx(0.7, abs=1e-3)


def test_copies_of_a_thing_are_not_ahead_of_it():
    same = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    assert ranks((2.0, 2.5, 1.0), (1, 0.9, 1), same=same)[0] == pytest.approx(1, abs=1e-3)


def test_several_places_are_a_sum():
    two = ranks((3.0, 1.0, 2.0), (1, 1, 1), place=1, count=2)
    assert two == pytest.approx([1, 0, 1], abs=1e-3)


@pytest.mark.parametrize("values", [(3.0, 1.0), (1.0, 3.0)])
def test_the_only_one_comes_first_in_every_order(values):
    assert ranks(values, (1.0, 0.0))[0] == pytest.approx(1)


def test_the_only_one_is_not_the_second():
    assert ranks((3.0, 1.0), (1.0, 0.0), place=2)[0] == pytest.approx(0)


@pytest.mark.parametrize(
    ("keyword", "first"),
    [("middle", 4), ("edge", 0), ("tall", 5), ("long", 6), ("wide", 6), ("narrow", 5), ("short", 6)],
)
def test_what_is_first_by_a_measure(keyword, first):
    boxes = np.array(
        [
            [0, 0, 20, 20],
            [40, 40, 20, 20],
            [150, 30, 20, 20],
            [60, 10, 20, 20],
            [90, 40, 20, 20],
            [20, 60, 10, 36],
            [140, 80, 50, 15],
        ]
    )
    sizes = ProposalLayout(boxes.astype(float), boxes[:, 2] * boxes[:, 3].astype(float), (100, 200))
    assert placement.measure(sizes, keyword).argmax() == first


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(1, 4), st.integers(1, 3))
def test_ranks_are_chances(weights, place, count):
    found = ranks(range(len(weights)), weights, place, count)
    assert ((found >= 0) & (found <= 1)).all()


def test_distances_are_in_sides_of_the_square_of_the_same_area():
    two = layout((0, 50), (100, 50), size_hw=(100, 100))
    assert placement.distances(two)[0, 1] == pytest.approx(1.0)
    assert placement.gaps(two)[0, 1] == pytest.approx(0.9)


def test_logistic_does_not_overflow():
    assert placement.logistic(np.array([-1e9, 0.0, 1e9])) == pytest.approx([0.0, 0.5, 1.0])
