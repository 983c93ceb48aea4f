"""Proposals are filtered in three ways on the same masks; the decoder and the image encoder's attention are asked in two."""

import pytest

from benchmarks import proposing

pytestmark = pytest.mark.slow


def test_all_ways_are_compared_on_the_same_masks():
    costs = proposing.measure(4)
    parts = "filters, 48 masks", "decoder, 4 points", "attention of 64 x 64 patches"
    assert [cost.part for cost in costs] == [parts[0]] * 3 + [parts[1]] * 2 + [parts[2]] * 2
    package, at_size, as_logits, _, shared, _, attention = costs
    assert package.kept >= at_size.kept > 0
    assert as_logits.kept > 0
    assert as_logits.same > 0.9
    assert shared.same > 0.999
    assert attention.same > 0.999
    assert all(cost.cpu_s > 0 for cost in costs)
    lines = proposing.to_markdown(costs).splitlines()
    assert len({line.count("|") for line in lines[2:]}) == 1
