"""What overlapping gains a worker, and how busy its stages are."""

import json

from benchmarks.pipeline import StageSeconds, measure


def test_stages_overlap_and_one_worker_does_nearly_twice_as_much():
    report = measure(40)
    assert report.ratio >= 1.6, report.to_markdown()  # 1.9 where nothing else is at work: `ris bench bulk --stages`
    serial, overlapping = report.rows
    assert sum(serial.busy.values()) <= 1.0
    assert sum(overlapping.busy.values()) > 1.4
    assert overlapping.busy["model"] > 0.7


def test_report_names_every_stage_in_both_forms():
    report = measure(5, StageSeconds(0.0, 0.01, 0.0))
    assert "fetch busy | model busy | record busy" in report.to_markdown()
    assert set(json.loads(report.to_json())["rows"][1]["busy"]) == {"fetch", "model", "record"}
