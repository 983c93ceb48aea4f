"""Numbers worked out by hand.

Five expressions, I and U in px: A 50 of 100, B 70 of 100, C 0 of 60 (nothing given, the first candidate and the truth cover
90), D means nothing and nothing is given, E means nothing and 40 px are given.
"""

import pytest

from ris_core.evaluation import metrics
from ris_core.evaluation.results import Results
from tests.ris_core.evaluation.made import asked, outcome, record

A = asked(outcome(50, 100, hit=1), outcome(80, 100))
B = asked(outcome(70, 100, hit=3), outcome(80, 100))
C = asked(outcome(0, 60, first_union=90), outcome(40, 60))
D = asked(outcome(0, 0), targets=0)
E = asked(outcome(0, 40, answer=40), targets=0)
RESULTS = Results.of([record("1", A, B), record("2", C, D, E)])


def value(metric, results=RESULTS):
    ratio = metric(results, results.methods["m"])
    return ratio.numerator.sum() / ratio.denominator.sum()


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        pytest.param(metrics.mean_iou, (0.5 + 0.7 + 0) / 3, id="mIoU"),
        pytest.param(metrics.overall_iou, 120 / 260, id="oIoU: a missed truth enters the unions"),
        pytest.param(metrics.precision(0.5, inclusive=False), 1 / 3, id="Pr@0.5: 0.5 is not above"),
        pytest.param(metrics.precision(0.5, inclusive=True), 2 / 3, id="Pr@0.5 inclusive"),
        pytest.param(metrics.precision(0.7, inclusive=True), 1 / 3, id="Pr@0.7 inclusive"),
        pytest.param(metrics.accuracy(1), 1 / 3, id="acc@1"),
        pytest.param(metrics.accuracy(3), 2 / 3, id="acc@3"),
        pytest.param(metrics.generalized_iou, (0.5 + 0.7 + 0 + 1 + 0) / 5, id="gIoU: D counts 1, E counts 0"),
        pytest.param(metrics.cumulative_iou, 120 / (100 + 100 + 90 + 0 + 40), id="cIoU: C adds 90, D nothing, E 40"),
        pytest.param(metrics.no_target_accuracy, 1 / 2, id="N-acc"),
        pytest.param(metrics.target_accuracy, 2 / 3, id="T-acc"),
    ],
)
def test_metrics_are_as_worked_out_by_hand(metric, expected):
    assert value(metric) == pytest.approx(expected)


def test_the_share_of_the_oracle_is_a_ratio_of_means():
    ratio = metrics.share_of_oracle(RESULTS, RESULTS.methods["m"], RESULTS.methods["oracle"])
    assert ratio.numerator.sum() / ratio.denominator.sum() == pytest.approx((0.5 + 0.7) / (0.8 + 0.8 + 40 / 60))


def test_a_group_counts_only_its_own():
    ratio = metrics.mean_iou(RESULTS, RESULTS.methods["m"]).among(RESULTS.image == 0)
    assert ratio.numerator.sum() / ratio.denominator.sum() == pytest.approx(0.6)


def test_images_without_proposals_count_unless_the_papers_quirk_is_on():
    records = [record("1", A), record("2", C, proposals=0)]
    assert value(metrics.mean_iou, Results.of(records)) == pytest.approx(0.25)
    assert value(metrics.mean_iou, Results.of(records, skip_without_proposals=True)) == pytest.approx(0.5)


def test_a_union_of_nothing_has_an_iou_of_zero():
    assert value(metrics.mean_iou, Results.of([record("1", asked(outcome(0, 0)))])) == 0
