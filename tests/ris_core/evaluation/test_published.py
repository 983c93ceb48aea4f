import pytest

from ris_core.evaluation.published import SPLITS, STANDINGS, published

EVERY = [(dataset, split) for dataset, splits in SPLITS.items() for split in splits]


@pytest.mark.parametrize(("dataset", "split"), [*EVERY, ("grefcoco", "val"), ("phrasecut", "test")])
def test_every_number_is_a_share_with_a_source_and_a_standing(dataset, split):
    rows = published(dataset, split)
    assert rows
    for row in rows:
        numbers = [n for n in (row.overall_iou, row.mean_iou) if n is not None]
        assert numbers
        assert all(0.1 < n < 0.9 for n in numbers)
        assert row.source
        assert row.standing in STANDINGS.values()


def test_numbers_stand_under_their_split():
    """Yu et al.: Global-Local, B/32 on FreeSOLO, as CaR quotes its mIoU."""
    columns = [("refcoco", "testB", 0.2656), ("refcoco+", "testA", 0.2564), ("refcocog", "val (google)", 0.3361)]
    for dataset, split, number in columns:
        rows = {(p.method, p.standing): p.mean_iou for p in published(dataset, split)}
        assert rows["Global-Local, B/32 (FreeSOLO)", "read"] == number


def test_both_numbers_of_a_method_stand_in_one_row():
    [row] = [p for p in published("refcoco", "val") if p.method == "Global-Local, B/32 (SAM)"]
    assert (row.overall_iou, row.mean_iou) == (0.2243, 0.3183)


def test_the_user_who_ran_hybrid_gl_did_so_on_one_split_only():
    assert not [p for p in published("refcoco", "val") if "run by a user" in p.method]
    assert published("refcoco", "train") == []
