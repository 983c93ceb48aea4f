"""Proposals are filtered in three ways on the same masks, and the decoder is asked in two."""

import pytest

from benchmarks import proposing

pytestmark = pytest.mark.slow


def test_all_ways_are_compared_on_the_same_masks():
    costs = proposing.measure(4)
    assert [cost.part for cost in costs] == 3 * ["filters, 48 masks"] + 2 * ["decoder, 4 points"]
    package, at_size, as_logits, _, shared = costs
    assert package.kept >= at_size.kept > 0
    assert as_logits.kept > 0
    assert as_logits.same > 0.9
    assert shared.same > 0.999
    assert all(cost.cpu_s > 0 for cost in costs)
    lines = proposing.to_markdown(costs).splitlines()
    assert len({line.count("|") for line in lines[2:]}) == 1
