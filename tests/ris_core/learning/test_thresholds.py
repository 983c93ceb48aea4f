import numpy as np
import pytest

from ris_core.learning.thresholds import GRID, RISK, bound, choose_threshold, least_answers


def test_bound_is_that_of_clopper_and_pearson():
    risk = RISK / len(GRID)
    assert bound(0, 100) == pytest.approx(1 - risk ** (1 / 100))
    assert bound(3, 3) == bound(0, 0) == 1.0


def test_the_lowest_threshold_that_is_good_enough_is_chosen():
    probability = np.r_[np.full(100, 0.4), np.full(200, 0.95)]
    is_right = np.r_[np.zeros(100, bool), np.ones(200, bool)]
    chosen = choose_threshold("Dog", probability, is_right, max_error=0.05)
    assert (chosen.threshold, chosen.answers, chosen.wrong) == (0.5, 200, 0)
    assert chosen.most <= 0.05


def test_a_label_with_few_answers_gets_no_threshold():
    number = least_answers(0.05)
    right = np.ones(number, bool)
    assert choose_threshold("Dog", np.ones(number), right, 0.05).threshold == 0.0
    assert choose_threshold("Dog", np.ones(number - 1), right[1:], 0.05).threshold is None


def test_the_promise_is_kept_in_nineteen_of_twenty_projects():
    rng, broken = np.random.default_rng(0), 0
    for _ in range(400):
        probability = rng.random(300)
        is_right = rng.random(300) < 0.5 + 0.5 * probability
        chosen = choose_threshold("Dog", probability, is_right, 0.15)
        if chosen.threshold is not None:
            error = 1 - (0.5 + 0.5 * (1 + chosen.threshold) / 2)  # of all answers from there on
            broken += error > 0.15
    assert broken <= 20
