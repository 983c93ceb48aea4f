import numpy as np
import pytest

from ris_core.evaluation.bootstrap import Bootstrap
from ris_core.evaluation.metrics import Ratio


def ratio(numerator, denominator=None):
    ones = np.ones(len(numerator)) if denominator is None else np.array(denominator, float)
    return Ratio(np.array(numerator, float), ones)


def test_the_value_is_the_plain_ratio_and_lies_in_its_interval():
    rng = np.random.default_rng(1)
    values = rng.random(200)
    estimate = Bootstrap(np.arange(200), 200).ratio(ratio(values))
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low < estimate.value < estimate.high
    assert estimate.n == 200


def test_the_interval_is_as_wide_as_theory_says():
    """Mean of 400 independent values: 95 % lie within 1.96 standard errors."""
    values = np.random.default_rng(2).normal(0, 1, 400)
    estimate = Bootstrap(np.arange(400), 400).ratio(ratio(values))
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_images_are_drawn_not_expressions():
    """Ten equal expressions on each of 20 images tell no more than one on each."""
    values = np.random.default_rng(3).random(20)
    few = Bootstrap(np.arange(20), 20).ratio(ratio(values))
    many = Bootstrap(np.repeat(np.arange(20), 10), 20).ratio(ratio(np.repeat(values, 10)))
    assert (few.low, few.high) == pytest.approx((many.low, many.high))
    assert many.n == 200


def test_differences_are_paired():
    """Two methods that differ by 0.1 everywhere differ by 0.1 in every draw, however much the images vary."""
    values = np.random.default_rng(4).random(50)
    bootstrap = Bootstrap(np.arange(50), 50)
    estimate = bootstrap.difference(ratio(values + 0.1), ratio(values))
    assert estimate[:3] == pytest.approx((0.1, 0.1, 0.1))
    alone = bootstrap.ratio(ratio(values))
    assert alone.high - alone.low > 0.05


def test_the_same_numbers_give_the_same_interval():
    values = np.random.default_rng(5).random(30)
    assert Bootstrap(np.arange(30), 30).ratio(ratio(values)) == Bootstrap(np.arange(30), 30).ratio(ratio(values))


@pytest.mark.parametrize("images", [0, 3])
def test_a_group_of_nothing_has_no_number(images):
    estimate = Bootstrap(np.zeros(images, int), images).ratio(ratio(np.zeros(images), np.zeros(images)))
    assert estimate == (None, None, None, 0)


def test_draws_that_miss_a_rare_group_are_left_out():
    estimate = Bootstrap(np.arange(5), 5).ratio(ratio([0.4, 0, 0, 0, 0], [1, 0, 0, 0, 0]))
    assert estimate[:3] == pytest.approx((0.4, 0.4, 0.4))
