"""The benchmark of audits, on few projects."""

import json

from benchmarks import audit


def test_it_saves_decisions_where_scores_separate_and_says_so():
    costs = audit.measure(3)
    assert [one.regions for one in costs] == [1_000, 10_000] * 2
    *_, separated = costs
    assert separated.decisions < 800
    assert separated.error < separated.wrong
    assert json.loads(audit.to_json(costs))[0]["population"] in audit.to_markdown(costs)
