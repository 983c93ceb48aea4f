import numpy as np
import pytest

from ris_core.evaluation import confidence

SCORE = np.array([0.95, 0.91, 0.35, 0.31, 0.0, 1.0])
RIGHT = np.array([True, False, True, False, False, True])


def test_reliability_puts_scores_into_bins_with_their_ends():
    bins = confidence.reliability(SCORE, RIGHT)
    filled = {(b.low, b.n): (b.score, b.right) for b in bins if b.n}
    assert filled == {
        (0.0, 1): pytest.approx((0.0, 0.0)),
        (0.3, 2): pytest.approx((0.33, 0.5)),
        (0.9, 3): pytest.approx((2.86 / 3, 2 / 3)),
    }
    assert sum(b.n for b in bins) == 6
    assert bins[5].score is None


def test_the_calibration_error_is_as_worked_out_by_hand():
    """(1 x 0 + 2 x |0.5 - 0.33| + 3 x |2/3 - 2.86/3|) / 6."""
    sums = confidence.binned(SCORE, RIGHT).sum(axis=0)
    assert confidence.calibration_error(sums) == pytest.approx((0 + 0.34 + 0.86) / 6)


def test_scores_that_come_true_have_no_calibration_error():
    rng = np.random.default_rng(0)
    score = rng.random(200_000)
    right = rng.random(200_000) < score
    assert confidence.calibration_error(confidence.binned(score, right).sum(axis=0)) < 0.005


def test_risk_counts_the_wrong_among_the_surest():
    assert confidence.risk_at_coverage(SCORE, RIGHT) == pytest.approx([0, 0, 1 / 3, 1 / 4, 2 / 5, 3 / 6])


def test_equal_scores_leave_the_order_open():
    """Whichever of the four comes first: the risk is the share of wrong ones at every coverage."""
    right = np.array([True, False, False, False])
    risks = confidence.risk_at_coverage(np.full(4, 0.5), right)
    assert risks == pytest.approx([0.75] * 4)
    assert risks == pytest.approx(confidence.risk_at_coverage(np.full(4, 0.5), right[::-1]))
