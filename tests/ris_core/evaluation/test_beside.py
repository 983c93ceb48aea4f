import pytest

from ris_core.errors import BadInput
from ris_core.evaluation.beside import EarlierRun
from ris_core.evaluation.journal import Journal
from tests.ris_core.evaluation.made import asked, outcome, record

DATASET = ["scenes", "test", "digest"]
OURS = [record(name, asked(outcome(8, 10), outcome(9, 10), names=("guided", "oracle"))) for name in "12"]


@pytest.fixture
def other(tmp_path):
    header = {"dataset": DATASET, "methods": {"m": "demo-paper.m.abc"}, "calibrated": {"m": True}}
    with Journal(tmp_path / "journal.jsonl", header) as journal:
        journal.append(record("2", asked(outcome(2, 10))))
        journal.append(record("1", asked(outcome(1, 10))))
    return tmp_path


def test_methods_of_another_run_are_named_after_their_profile_and_the_oracle_stays(other):
    beside = EarlierRun.read(other)
    assert beside.calibrated == {"m (demo-paper)": True}
    joined = beside.join(OURS, DATASET)
    assert [list(r.asked[0].outcomes) for r in joined] == [["guided", "oracle", "m (demo-paper)"]] * 2
    assert [r.asked[0].outcomes["m (demo-paper)"].intersection_px for r in joined] == [1, 2]
    assert [r.asked[0].outcomes["oracle"].intersection_px for r in joined] == [9, 9]


def test_runs_over_other_expressions_are_not_compared(other):
    with pytest.raises(BadInput, match="is a run over scenes test digest, this one is over scenes tune other"):
        EarlierRun.read(other).join(OURS, ["scenes", "tune", "other"])


def test_a_run_that_lacks_an_image_is_not_compared(other):
    with pytest.raises(BadInput, match="lacks 1 of the images, 3 among them"):
        EarlierRun.read(other).join([*OURS, record("3")], DATASET)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"There is no run in .*: it has no journal\.jsonl\. Name the --out of a run"):
        EarlierRun.read(tmp_path)
