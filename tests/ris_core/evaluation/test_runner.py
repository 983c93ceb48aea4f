"""Runs of the toy segmenter, whose proposals are exactly the quarters of `toy_pixels`."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ris_core.errors import BadInput
from ris_core.evaluation.journal import Journal
from ris_core.evaluation.refer import read_refer
from ris_core.evaluation.report import build
from ris_core.evaluation.runner import run
from ris_core.methods.global_local import GlobalLocalMethod as GlobalLocal
from tests.ris_core.evaluation.files import BLUE, GREEN, RED, annotation, ref, write_refer
from tests.toy import ColourEncoder, toy_segmenter

HALF_OF_RED = [0, 0, 15, 0, 15, 20, 0, 20]
ANNOTATIONS = [
    annotation(i, [polygon], image_id=m) for m in (1, 2, 3) for i, polygon in [(10 * m, RED), (10 * m + 1, BLUE)]
]
ANNOTATIONS += [annotation(40, [HALF_OF_RED]), annotation(41, [GREEN])]
REFS = [ref(m * 2 + k, 10 * m + k, ("red", "blue")[k], image_id=m) for m in (1, 2, 3) for k in (0, 1)]


class CountingEncoder(ColourEncoder):
    def __init__(self):
        self.images = 0

    def encode(self, image, proposals):
        self.images += 1
        return super().encode(image, proposals)


def dataset(root, *refs, name="refcoco"):
    return read_refer(write_refer(root, name, list(refs), ANNOTATIONS), name, "val")


def records(root, data, segmenters=None, **settings):
    segmenters = segmenters or {"toy": toy_segmenter()}
    with Journal(root / "run.jsonl", {"of": "test"}) as journal:
        run(data, segmenters, journal, encode=next(iter(segmenters.values())).encode, **settings)
        return journal.records


def test_answers_are_counted_as_worked_out_by_hand(tmp_path):
    """Red is found exactly: 600 of 600 px; half of red is asked as "red": 300 of 600; green is asked as "blue": 0 of 1,200."""
    data = dataset(tmp_path, ref(1, 10, "red"), ref(2, 40, "red"), ref(3, 41, "blue"))
    asked = records(tmp_path, data)["1"].asked
    counted = {a.id: (a.outcomes["toy"].intersection_px, a.outcomes["toy"].union_px) for a in asked}
    assert counted == {"1.10": (600, 600), "2.20": (300, 600), "3.30": (0, 1200)}
    oracle = {a.id: (a.outcomes["oracle"].intersection_px, a.outcomes["oracle"].union_px) for a in asked}
    assert oracle == {"1.10": (600, 600), "2.20": (300, 600), "3.30": (600, 600)}
    assert [a.truth_px for a in asked] == [600, 300, 600]


def test_the_numbers_of_a_data_set_are_as_worked_out_by_hand(tmp_path):
    """The three answers above, on two images: mIoU (1 + 0.5 + 0) / 3, oIoU 900 / 2,400; oracle (1 + 0.5 + 1) / 3, 1,500 / 1,800."""
    data = dataset(tmp_path, ref(1, 20, "red", image_id=2), ref(2, 40, "red"), ref(3, 41, "blue"))
    made = build(data, records(tmp_path, data).values(), about={}, calibrated={"toy": False})
    rows = {row.label: [cell.value for cell in row.cells[:3]] for row in made.tables[0].rows}
    assert rows["toy"] == pytest.approx([0.5, 0.375, 1 / 3])
    assert rows["oracle"] == pytest.approx([2.5 / 3, 1500 / 1800, 2 / 3])


def test_what_means_nothing_and_what_means_several_is_asked_too(tmp_path):
    data = dataset(tmp_path, ref(1, [-1], "purple"), ref(2, [10, 11], "red"), name="grefcoco")
    nothing, several = records(tmp_path, data)["1"].asked
    assert (nothing.targets, nothing.truth_px, nothing.outcomes["oracle"].answer_px) == (0, 0, 0)
    assert nothing.outcomes["toy"].answer_px == 600
    assert (several.targets, several.outcomes["oracle"].intersection_px, several.outcomes["oracle"].union_px) == (
        2,
        1200,
        1200,
    )


def test_an_image_is_encoded_once_for_all_expressions_and_methods(tmp_path):
    encoder = CountingEncoder()
    one = toy_segmenter(encoder=encoder)
    other = replace(one, method=GlobalLocal(visual_mix=0.0, text_mix=1.0))
    found = records(tmp_path, dataset(tmp_path, *REFS), {"one": one, "other": other})
    assert encoder.images == 3
    assert sum(len(record.asked) for record in found.values()) == 6
    assert all(set(a.outcomes) == {"one", "other", "oracle"} for record in found.values() for a in record.asked)


def test_an_expression_without_a_word_is_answered_by_nothing_and_the_run_goes_on(tmp_path):
    unreadable, red = records(tmp_path, dataset(tmp_path, ref(1, 10, "."), ref(2, 10, "red")))["1"].asked
    assert (unreadable.kind, unreadable.outcomes["toy"].answer_px, unreadable.outcomes["toy"].union_px) == (
        "unreadable",
        0,
        600,
    )
    assert red.outcomes["toy"].answer_px == 600


def test_without_proposals_the_answer_is_empty_unless_the_papers_quirk_ends_the_run(tmp_path):
    data, nothing = dataset(tmp_path, ref(1, 10, "red")), {"toy": toy_segmenter(cells=0)}
    with pytest.raises(BadInput, match=r"image 1, .*Q-EMPTY-HY.*protocol fixed"):
        records(tmp_path, data, nothing, quirks=frozenset({"Q-EMPTY-HY"}))
    [asked] = records(tmp_path, data, nothing)["1"].asked
    assert (asked.outcomes["toy"].answer_px, asked.outcomes["toy"].union_px, asked.outcomes["toy"].score) == (0, 600, 0)


def test_progress_counts_images_and_estimates_what_is_left(tmp_path):
    seen = []
    records(tmp_path, dataset(tmp_path, *REFS), report=seen.append)
    assert [(p.done, p.total, p.asked) for p in seen] == [(1, 3, 2), (2, 3, 4), (3, 3, 6)]
    assert seen[-1].remaining_s == 0
    assert seen[0].remaining_s == pytest.approx(2 * seen[0].elapsed_s)


def test_a_run_that_was_stopped_goes_on_and_loses_or_doubles_nothing(tmp_path):
    whole = records(tmp_path / "whole", dataset(tmp_path / "data", *REFS))

    def stop(progress):
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            records(tmp_path / "stopped", dataset(tmp_path / "data", *REFS), report=stop)
    resumed = []
    found = records(tmp_path / "stopped", dataset(tmp_path / "data", *REFS), report=resumed.append)
    assert [p.done for p in resumed] == [3]
    assert {i: r.asked for i, r in found.items()} == {i: r.asked for i, r in whole.items()}


KILLED = """
import os
from pathlib import Path
from tests.ris_core.evaluation.test_runner import REFS, dataset, records
root = Path({root!r})
records(root, dataset(root, *REFS), report=lambda progress: progress.done == 2 and os.kill(os.getpid(), 9))
"""


def test_a_killed_process_leaves_a_journal_that_goes_on(tmp_path):
    here = Path(__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": str(here)}
    done = subprocess.run([sys.executable, "-c", KILLED.format(root=str(tmp_path))], cwd=here, env=env, timeout=60)
    assert done.returncode == -9
    encoder = CountingEncoder()
    found = records(tmp_path, dataset(tmp_path, *REFS), {"toy": toy_segmenter(encoder=encoder)})
    assert encoder.images == 1
    ids = [json.loads(line)["image_id"] for line in (tmp_path / "run.jsonl").read_text().splitlines()[1:]]
    assert sorted(ids) == ["1", "2", "3"]
    assert sum(len(record.asked) for record in found.values()) == 6
