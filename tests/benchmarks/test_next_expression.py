"""What one more expression costs is measured on expressions that nobody asked before."""

import pytest

from benchmarks import next_expression


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(next_expression, "SIZES_HW", ((48, 64),))
    monkeypatch.setattr(next_expression, "COUNTS", (3,))


@pytest.mark.usefixtures("small")
def test_every_kind_of_expression_is_measured():
    report = next_expression.measure("demo", "cpu", repeats=2, random_weights=False, tell=lambda _: None)
    assert [cost.kind for cost in report.costs] == list(next_expression.SENTENCES)
    for cost in report.costs:
        assert cost.answer_ms > 0
        assert cost.texts >= 1
    lines = report.to_markdown().splitlines()
    assert len(lines) == 4 + len(report.costs)
    assert len({line.count("|") for line in lines[2:]}) == 1


def test_no_word_comes_twice():
    words = next_expression._nouns()
    drawn = [next(words) for _ in range(1_000)]
    assert len(set(drawn)) == len(drawn)
