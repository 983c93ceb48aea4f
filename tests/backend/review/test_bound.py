"""The bound on an audit's errors, at every look and threshold; beside it what holds for one look only."""

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import beta, binomtest

from backend.review.bound import RISK, THRESHOLDS, ErrorBound, bound_errors, bound_overlooked, bound_wrong

PROJECTS, REGIONS, AUDITED, EVERY = 2_000, 1_000, 400, 10
LOOKS = np.arange(EVERY, AUDITED + 1, EVERY)


def test_a_lead_who_slides_and_peeks_is_told_the_truth_and_by_clopper_pearson_is_not():
    """A project fails if its bound is below the truth at any look for any threshold."""
    generator = np.random.default_rng(724)
    ours = naive = 0
    for _ in range(PROJECTS):
        probabilities = generator.beta(4, 1, REGIONS)
        is_wrong = generator.random(REGIONS) > probabilities ** generator.uniform(0.1, 2)  # calibrated or not
        is_above = probabilities >= np.array(THRESHOLDS)[:, None]
        regions, errors = is_above.sum(1), (is_above & is_wrong).sum(1)
        audited = is_above.cumsum(1)[:, LOOKS - 1]
        wrong = (is_above & is_wrong).cumsum(1)[:, LOOKS - 1]
        total = np.broadcast_to(regions[:, None], audited.shape).ravel()
        most = bound_wrong(total, audited.ravel(), wrong.ravel(), RISK / len(THRESHOLDS)).reshape(audited.shape)
        ours += bool((most < errors[:, None]).any())
        share = np.where(audited > wrong, beta.ppf(1 - RISK, wrong + 1, np.maximum(audited - wrong, 1)), 1.0)
        naive += bool((share * regions[:, None] < errors[:, None]).any())
    assert binomtest(ours, PROJECTS, RISK, alternative="less").pvalue < 0.01, ours
    assert binomtest(naive, PROJECTS, RISK, alternative="greater").pvalue < 1e-9, naive


def test_the_end_is_the_last_number_that_is_not_refuted():
    """Beside all numbers tried one after another, by the definition."""
    total, risk = 60, 0.01
    for audited, wrong in ((0, 0), (1, 0), (1, 1), (20, 0), (20, 5), (40, 39), (60, 7)):
        errors = np.arange(wrong, total - audited + wrong + 1)
        all_errors = np.arange(total + 1)
        prior = _choose(total, all_errors) + _beta(all_errors + 1, total - all_errors + 20) - _beta(1, 20)
        likely = _choose(errors, wrong) + _choose(total - errors, audited - wrong) - _choose(total, audited)
        ratio = logsumexp(prior[errors] + likely) - likely  # prior over posterior
        expected = errors[ratio < -np.log(risk)].max()
        assert bound_wrong(total, np.array([audited]), np.array([wrong]), risk)[0] == expected


def test_nothing_audited_says_nothing_and_all_audited_says_all():
    probabilities = np.linspace(0, 1, 50)
    assert {one.most for one in bound_errors(probabilities, np.full(50, np.nan))} == {1.0}
    found = (np.arange(50) % 10 == 9).astype(float)
    bounds = bound_errors(probabilities, found)
    assert bounds[0] == ErrorBound(0.0, 50, 50, 5, 0.1)
    assert bounds[0].text.endswith("at most 10.0 % of these 50 regions are wrong (50 audited, 5 wrong).")
    assert (
        bound_errors(probabilities, found, overlooked=0.5)[0].most > 0.2
    )  # who found 5 may have overlooked more than 5


def test_it_holds_with_reviewers_who_overlook_a_tenth():
    generator = np.random.default_rng(7)
    failures = 0
    for _ in range(500):
        errors = int(generator.integers(5, 200))
        is_wrong = np.zeros(REGIONS, bool)
        is_wrong[generator.permutation(REGIONS)[:errors]] = True
        seen = (is_wrong & (generator.random(REGIONS) >= 0.1)).cumsum()
        looks = np.append(LOOKS, REGIONS)
        most = bound_overlooked(np.full(len(looks), REGIONS), looks, seen[looks - 1], RISK, 0.1)
        failures += bool((most < errors).any())
    assert binomtest(failures, 500, RISK, alternative="less").pvalue < 0.05, failures


def test_what_comes_after_one_that_was_left_out_does_not_count():
    found = np.array([0, 0, np.nan, 0, 1])
    all_of_them, confident = bound_errors(np.array([0.9, 0.9, 0.2, 0.9, 0.9]), found, thresholds=(0.0, 0.8))
    assert (all_of_them.audited, all_of_them.wrong) == (2, 0)
    assert (confident.audited, confident.wrong) == (4, 1)


def test_who_overlooks_everything_says_nothing():
    with pytest.raises(ValueError, match="overlooked is 1"):
        bound_errors(np.ones(2), np.zeros(2), overlooked=1.0)


def _choose(total, count):
    return (
        gammaln(np.asarray(total) + 1.0) - gammaln(np.asarray(count) + 1.0) - gammaln(np.asarray(total) - count + 1.0)
    )


def _beta(first, second):
    return gammaln(first) + gammaln(second) - gammaln(np.asarray(first) + second)
