"""`ris bench replay`: every prompt of its ledger is judged and answered again."""

import json

import pytest

from benchmarks import replaying


@pytest.mark.slow
def test_all_prompts_of_the_ledger_are_answered_again(monkeypatch):
    for name, value in {"SIZE_HW": (48, 64), "PROPOSALS": 6, "POOL": 1}.items():
        monkeypatch.setattr(replaying, name, value)
    report = replaying.measure("demo", "cpu", prompts=12, random_weights=False, tell=lambda _: None)
    assert (report.prompts, report.images) == (15, 3)
    assert report.answer_s > 0
    assert json.loads(report.to_json())["minutes_of_10000"] == report.whole_min
    assert "| 15 | " in report.to_markdown()
