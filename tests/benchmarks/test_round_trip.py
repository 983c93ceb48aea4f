"""What `ris bench import` counts as wrong. The trip itself takes a real Label Studio: `tests/e2e/test_import.py`."""

import json

from benchmarks.round_trip import OBJECTS, RoundTrip, _read_pairs, make_coco


def test_a_changed_mask_and_a_changed_sentence_are_told_apart(tmp_path):
    source = make_coco(tmp_path / "a", 2)
    before = _read_pairs(source)
    assert len(before) == 2 * OBJECTS
    file = source / "annotations" / "instances.json"
    content = json.loads(file.read_text())
    height, width = content["annotations"][0]["segmentation"]["size"]
    content["annotations"][1]["sentences"] = ["another"]
    content["annotations"][0]["segmentation"]["counts"] = [0, 5, height * width - 5]
    file.write_text(json.dumps(content))
    assert len(before.items() ^ _read_pairs(source).items()) == 4


def test_the_report_is_a_table_and_a_document():
    report = RoundTrip(1000, 3000, 48.5, 2.9, 30.0, 0, 0, 140 << 20)
    assert report.to_markdown().splitlines()[-1] == "| 1,000 | 3,000 | 48.5 | 2.9 | 30.0 | 0 | 0 | 140 |"
    assert json.loads(report.to_json())["wrong"] == 0
