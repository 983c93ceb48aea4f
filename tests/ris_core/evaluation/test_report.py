import json

import pytest

from ris_core.evaluation import markdown
from ris_core.evaluation.bootstrap import ConfidenceInterval
from ris_core.evaluation.dataset import Dataset
from ris_core.evaluation.report import build
from tests.ris_core.evaluation.made import asked, outcome, record

NAMES = ("a", "b", "oracle")
SCENES = Dataset("scenes", "test", (), "digest")


def ask(a, b, oracle, **more):
    """An expression that `a` and `b` answer with these IoUs of 100 px, as does the oracle."""
    made = [outcome(round(100 * iou), 100, hit=int(iou >= 0.5), score=0.75) for iou in (a, b, oracle)]
    return asked(*made, names=NAMES, **more)


NOTHING = asked(
    outcome(0, 0), outcome(0, 50, answer=50), outcome(0, 0), targets=0, truth_px=0, kind="no_target", names=NAMES
)
RECORDS = [
    record("1", ask(0.8, 0.6, 0.8), ask(0.2, 0.6, 1.0, kind="ordinal", same_class=3), objects=[(50, 0.8), (2000, 0.6)]),
    record("2", ask(0.6, 0.0, 0.8, truth_px=5000, same_class=1), NOTHING, objects=[(5000, 0.4)]),
    record("3", ask(0.4, 0.4, 0.8, targets=2, kind="plural", truth_px=20_000)),
    record("4", ask(1.0, 1.0, 1.0), part="unseen", objects=[(60, 1.0)]),
    record("5"),  # nothing was asked
]


def report(dataset=SCENES, records=RECORDS, calibrated=None, **more):
    about = {"profile": "toy"}
    return build(dataset, records, about=about, calibrated=calibrated or {"a": True, "b": False}, **more)


def rows(title, made=None):
    """Values of a table by label, to six decimals; estimates without their intervals."""
    table = next(t for t in (made or report()).tables if t.title == title)
    cells = {r.label: [c.value if isinstance(c, ConfidenceInterval) else c for c in r.cells] for r in table.rows}
    return {label: [round(c, 6) if isinstance(c, float) else c for c in row] for label, row in cells.items()}


def test_the_first_table_has_every_number_for_every_method():
    table = next(t for t in report().tables if t.title == "All expressions")
    assert " ".join(table.columns) == (
        "method mIoU oIoU Pr@0.5 Pr@0.6 Pr@0.7 Pr@0.8 Pr@0.9 acc@1 acc@3 acc@5 T-acc N-acc gIoU cIoU"
    )
    values = dict(zip(table.columns[1:], rows("All expressions")["a"], strict=True))
    assert values["mIoU"] == pytest.approx((0.8 + 0.2 + 0.6 + 0.4) / 4)
    assert values["acc@1"] == pytest.approx(0.5)
    assert values["N-acc"] == pytest.approx(1)
    assert values["gIoU"] == pytest.approx((0.8 + 0.2 + 0.6 + 0.4 + 1) / 5)


def test_kinds_have_their_rows_with_n_acc_where_nothing_is_meant():
    assert rows("By kind of expression") == {
        "noun": [2, 0.8, 0.7, 0.3],
        "ordinal": [1, 1.0, 0.2, 0.6],
        "plural": [1, 0.8, 0.4, 0.4],
        "no_target": [1, 1.0, 1.0, 0.0],
        "one target": [3, 0.866667, 0.533333, 0.4],
        "several targets": [1, 0.8, 0.4, 0.4],
        "all with a target": [4, 0.85, 0.5, 0.4],
    }


def test_sizes_classes_and_parts_are_reported_apart():
    assert {k: v[0] for k, v in rows("By size of the target").items()} == {
        "small (below 1024 px)": 2,
        "medium": 1,
        "large (from 9216 px)": 1,
    }
    assert {k: v[0] for k, v in rows("By number of objects of the target's class").items()} == {
        "alone of its class": 1,
        "3 or more": 1,
    }
    assert rows("Reported apart") == {"unseen": [1, 1.0, 1.0, 1.0]}


def test_targets_below_a_hundredth_of_the_image_are_counted_once_more():
    made = report(records=[record("1", ask(0.8, 0.6, 0.8, truth_px=99), ask(0.2, 0.2, 0.2, truth_px=100))])
    assert rows("By size of the target", made)["below 1% of the image"] == [1, 0.8, 0.8, 0.6]


def test_the_first_method_is_compared_with_the_others():
    assert rows("Paired differences")["one target"] == [0.133333]
    assert "no_target" not in rows("Paired differences")


def test_shares_of_the_oracle_are_of_expressions_with_one_target():
    assert rows("Share of the oracle") == {
        "noun": [0.875, 0.375],
        "ordinal": pytest.approx([0.2, 0.6]),
        "one target": [0.615385, 0.461538],
    }


def test_calibration_says_whose_scores_claim_to_be_probabilities():
    """Scores: a is right 2 of 4 times at 0.75, and wrong once at 0: ECE (4 x 0.25 + 1 x 0) / 5."""
    assert rows("Calibration")["a"][:2] == ["yes", pytest.approx(0.2)]
    assert rows("Calibration")["b"][0] == "no"
    titles = [t.title for t in report().tables]
    assert "Reliability of a" in titles
    assert "Reliability of b" not in titles
    assert rows("Reliability of a")["0.7 to 0.8"] == [4, 0.75, 0.5]


def test_proposals_are_judged_on_all_objects():
    assert rows("Proposals") == {
        "all objects": [3, 0.6, 0.666667, 0.333333],
        "below 1% of the image": [1, 0.8, 1.0, 1.0],
        "unseen": [1, 1.0, 1.0, 1.0],
    }


def test_images_without_proposals_are_left_out_with_the_papers_quirk():
    records = [record("1", ask(0.8, 0.6, 0.8)), record("2", ask(0, 0, 0), proposals=0)]
    assert rows("All expressions", report(records=records))["a"][0] == pytest.approx(0.4)
    quirk = report(records=records, quirks=frozenset({"Q-EMPTY-GL"}))
    assert rows("All expressions", quirk)["a"][0] == pytest.approx(0.8)
    assert quirk.about == {"profile": "toy", "images": "1", "expressions": "1"}


def test_the_papers_numbers_stand_beside_ours_with_their_sources():
    made = rows("Beside the papers", report(Dataset("refcocog", "val", (), "")))
    assert made["**ours: a**"][1] == pytest.approx(0.5)
    assert made["HybridGL, pure, run by a user"] == [0.3714, 0.4666, "HybridGL's issue 1 (read)"]
    assert "Beside the papers" not in [t.title for t in report().tables]


def test_a_run_of_nothing_reports_nothing():
    made = report(records=[])
    assert list(made.tables) == []
    assert made.about["images"] == "0"
    assert "# Nothing" in markdown.render(made, "Nothing")


def test_the_page_shows_per_cent_with_intervals_and_the_document_the_same_as_shares():
    page = markdown.render(report(), "Toy")
    assert page.startswith("# Toy\n\n- profile: toy\n- images: 4\n")
    assert "| all with a target | 4 | 85.0 [80.0, 90.0] | 50.0 [40.0, 60.0] | 40.0 [0.0, 60.0] |" in page
    document = json.loads(json.dumps(report().to_json(), allow_nan=False))
    kinds = next(t for t in document["tables"] if t["title"] == "By kind of expression")
    assert kinds["rows"][-1] == {
        "label": "all with a target",
        "cells": [
            4,
            {"value": 0.85, "low": 0.8, "high": 0.9, "n": 4},
            {"value": 0.5, "low": 0.4, "high": 0.6, "n": 4},
            {"value": 0.4, "low": 0.0, "high": 0.6, "n": 4},
        ],
    }
