"""Scores of suspicion, of regions whose fault is known."""

import pytest

from backend.corrections.matching import boundary_overlap, overlap
from backend.review.suspicion import SuspectRegion, WordCounts, score_regions
from tests.backend.corrections.made import rle


def region(id, mask, proposed, label="car", words="the red car", p=0.9, task="1", is_saved=True):
    iou = overlap(mask, proposed) if is_saved and proposed else None
    edge = boundary_overlap(mask, proposed) if is_saved and proposed else None
    return SuspectRegion(id, task, label, words, p if proposed else None, iou, edge, mask, proposed)


def scores_of(*regions):
    return {one.id: {each.kind: each for each in one.scores} for one in score_regions(regions)}


def test_what_was_accepted_as_proposed_is_not_suspicious():
    found = scores_of(region("a", rle(0, 0), rle(0, 0)), region("b", rle(0, 15), rle(0, 15), words="the blue car"))
    assert [each.score for one in found.values() for each in one.values()] == [0.0] * 8
    assert all(not each.reason for one in found.values() for each in one.values())


def test_a_confident_proposal_elsewhere_makes_the_thing_suspicious():
    found = scores_of(region("sure", rle(0, 0), rle(0, 15)), region("unsure", rle(0, 0), rle(0, 15), p=0.2, task="2"))
    assert found["sure"]["wrong thing"].score == pytest.approx(0.9)
    assert found["sure"]["wrong thing"].reason == "the proposal is another thing (p 0.90, IoU 0.00)"
    assert found["unsure"]["wrong thing"].score == pytest.approx(0.2)
    assert found["sure"]["wrong outline"].score == 0.0


def test_another_outline_of_the_same_thing_is_suspicious():
    own = scores_of(region("a", rle(0, 1), rle(0, 0)))["a"]
    assert own["wrong thing"].score == 0.0
    assert 0.1 < own["wrong outline"].score < 0.9
    assert "boundary IoU" in own["wrong outline"].reason


def test_words_whose_proposal_is_elsewhere_while_other_words_fit_are_suspicious():
    found = scores_of(
        region("a", rle(0, 0), rle(0, 15), words="the blue car"),
        region("b", rle(0, 0), rle(0, 0), words="the red\u202e car"),
    )
    assert found["a"]["wrong words"].score == pytest.approx(0.9)
    assert found["a"]["wrong words"].reason == r'it is what was proposed for "the red\u202e car"'
    assert found["b"]["wrong words"].score == 0.0


def test_of_two_proposals_at_one_place_the_less_probable_is_suspicious():
    found = scores_of(
        region("a", rle(0, 0), rle(0, 0), words="the car", p=0.5, is_saved=False),
        region("b", rle(0, 0), rle(0, 0), words="the bus", p=0.9, is_saved=False),
    )
    assert [found[name]["wrong words"].score for name in "ab"] == pytest.approx([0.4, 0.0])


def test_a_label_that_such_words_do_not_have_is_suspicious():
    regions = [
        region(f"{name}{i}", rle(0, 0), rle(0, 0), label=name, words=f"the {name} at {i}", task=f"{name}{i}")
        for name in ("car", "bus")
        for i in range(10)
    ]
    odd = region("odd", rle(0, 0), rle(0, 0), label="bus", words="the car", task="odd")
    beside = region("beside", rle(0, 0), rle(0, 0), label="bus", words="the bus beside the car", task="beside")
    found = scores_of(*regions, odd, beside)
    assert found["odd"]["wrong label"].score > 0.3
    assert found["odd"]["wrong label"].reason == '"car" mostly has the label "car"'
    assert max(one["wrong label"].score for id, one in found.items() if id != "odd") < 0.2


def test_one_example_decides_nothing():
    counts = WordCounts()
    counts.add("car", "car")
    assert counts.judge("car", "car").score == 0.0
    assert scores_of(region("a", rle(0, 0), rle(0, 0), label="x", words=""))["a"]["wrong label"].score == 0.0


def test_the_scores_take_turns():
    things = [region(f"thing{i}", rle(0, 0), rle(0, 15), p=0.9 - i / 10, task=f"t{i}") for i in range(3)]
    scored = score_regions([*things, region("outline", rle(0, 1), rle(0, 0), p=0.3, task="o")])
    assert [one.id for one in sorted(scored, key=lambda one: one.order)] == ["thing0", "outline", "thing1", "thing2"]
    assert [one.worst.kind for one in scored] == [*["wrong thing"] * 3, "wrong outline"]
    assert score_regions([]) == []
