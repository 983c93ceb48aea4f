"""Both ways of masking tokens are compared on the same masks."""

from benchmarks import masking


def test_both_ways_give_the_same_features_and_a_report():
    costs = masking.measure((2, 5), "ViT-B-32")
    assert [cost.masks for cost in costs] == [2, 5]
    for cost in costs:
        assert cost.difference < 1e-5
        assert cost.counted_s > 0
    lines = masking.to_markdown(costs).splitlines()
    assert len(lines) == 4 + len(costs)
    assert len({line.count("|") for line in lines[2:]}) == 1
