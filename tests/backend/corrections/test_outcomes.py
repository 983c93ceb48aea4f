import numpy as np
import pytest

from backend.corrections.matching import assign, boundary_overlap, overlap, overlaps
from backend.corrections.outcomes import OfferedRegion, OfferedRegions, judge
from backend.label_studio.annotations import AnnotationVersion
from ris_core.geometry.masks import to_rle
from tests.backend.corrections.made import box, drawn, rle


def version(*regions, **more) -> AnnotationVersion:
    given = {"was_cancelled": False, "parent_prediction": None, **more}
    return AnnotationVersion(
        annotation=1,
        project=7,
        task="5",
        annotator=1,
        created_at=1.0,
        updated_at=2.0,
        lead_time_s=None,
        is_reviewed=False,
        task_data={},
        image=None,
        regions=regions,
        texts=(),
        **given,
    )


def offer(id: str, x: int = 0, y: int = 0, width: int = 10, **more) -> OfferedRegion:
    given = {"by": "bulk", "query": id, "label": "Object", "expression": "the box", "score": 0.5, **more}
    return OfferedRegion(region=id, model_version="v", mask=rle(x, y, width), **given)


def offered(*bulk: OfferedRegion, interactive=(), **more) -> OfferedRegions:
    return OfferedRegions(bulk, interactive, {one.region: one for one in (*bulk, *interactive)}, **more)


A = offer("a")
B = offer("b", x=20, candidates=(rle(20, 15),))
CASES = {
    # regions drawn, what was offered, outcomes
    "untouched": ([drawn("a", box(0, 0))], [A], {"a": "accepted"}),
    "a pixel off in a thousand": ([drawn("a", box(0, 0, 9))], [A], {"a": "edited"}),
    "moved away altogether": ([drawn("a", box(25, 15))], [A], {"a": "edited"}),
    "its id, another candidate's mask": ([drawn("b", box(20, 15))], [B], {"b": "replaced"}),
    "gone": ([], [A], {"a": "rejected"}),
    "a copy of it": ([drawn("x", box(0, 0))], [A], {"x": "accepted"}),
    "drawn anew nearly there": ([drawn("x", box(0, 0, 8))], [A], {"x": "edited"}),
    "drawn anew elsewhere": ([drawn("x", box(25, 15))], [A], {"x": "missed", "a": "rejected"}),
    "of a data set": ([drawn("x", box(25, 15), is_imported=True)], [], {"x": "imported"}),
    "of a data set, where something was suggested": (
        [drawn("x", box(0, 0), is_imported=True)],
        [A],
        {"x": "imported", "a": "rejected"},
    ),
    "imported as a prediction, and taken": ([drawn("a", box(0, 0), is_imported=True)], [A], {"a": "accepted"}),
    "imported as a prediction that nobody knows": (
        [drawn("x", box(0, 0), is_imported=True, origin="prediction")],
        [],
        {"x": "accepted"},
    ),
    "imported as a prediction that nobody knows, and changed": (
        [drawn("x", box(0, 0), is_imported=True, origin="prediction-changed")],
        [],
        {"x": "edited"},
    ),
    "drawn where another candidate was": ([drawn("x", box(20, 15))], [B], {"x": "replaced"}),
    "kept and copied": ([drawn("a", box(0, 0)), drawn("x", box(0, 0))], [A], {"a": "accepted", "x": "missed"}),
    "as predicted, of a prediction that nobody knows": (
        [drawn("p", box(0, 0), origin="prediction")],
        [],
        {"p": "accepted"},
    ),
    "as predicted, under an id of its own": ([drawn("p", box(0, 0), origin="prediction")], [A], {"p": "accepted"}),
    "as predicted, under ids of their own, in another order": (
        [drawn("p", box(20, 0), origin="prediction"), drawn("q", box(0, 0), origin="prediction")],
        [A, B],
        {"p": "accepted", "q": "accepted"},
    ),
    "one as predicted under an id of its own, one gone": (
        [drawn("p", box(20, 0), origin="prediction")],
        [A, B],
        {"p": "accepted", "a": "rejected"},
    ),
    "as predicted, and one drawn beside it": (
        [drawn("p", box(0, 0), origin="prediction"), drawn("x", box(20, 0, 8))],
        [A, B],
        {"p": "accepted", "x": "edited"},
    ),
    "changed, of a prediction that nobody knows": (
        [drawn("p", box(0, 0), origin="prediction-changed")],
        [],
        {"p": "edited"},
    ),
}


@pytest.mark.parametrize(("regions", "offers", "expected"), CASES.values(), ids=CASES)
def test_outcome_of_a_region_that_is(regions, offers, expected):
    assert {one.region: one.outcome for one in judge(version(*regions), offered(*offers))} == expected


def test_regions_are_assigned_so_that_all_are_most_alike_not_one_by_one():
    offers = offered(offer("a", 0, width=10), offer("b", 4, width=10))
    regions = [drawn("x", box(2, 0, 10)), drawn("y", box(0, 0, 7))]
    # x is as like b as a; y fits a only: x must leave it a
    found = {one.region: one.offered_region for one in judge(version(*regions), offers)}
    assert found == {"x": "b", "y": "a"}


def test_a_greedy_choice_would_lose():
    likeness = np.array([[0.9, 0.8], [0.8, 0.1]])
    assert assign(likeness, 0.5) == [(0, 1), (1, 0)]


def test_nothing_below_the_limit_is_assigned():
    assert assign(np.array([[0.4, 0.6], [0.6, 0.4]]), 0.5) == [(0, 1), (1, 0)]
    assert assign(np.array([[0.4]]), 0.5) == []


def test_flags_say_what_else_changed():
    changed = drawn("a", box(0, 0), "  The BOX ", label="Dog")
    [one] = judge(version(changed), offered(A))
    assert (one.outcome, one.is_relabelled, one.is_reworded) == ("accepted", True, False)
    [one] = judge(version(drawn("a", box(0, 0), "the crate")), offered(A))
    assert (one.is_relabelled, one.is_reworded) == (False, True)


def test_numbers_compare_with_what_was_offered():
    [one] = judge(version(drawn("a", box(0, 0, 15))), offered(A))
    assert (one.iou, one.area_change) == (pytest.approx(2 / 3), pytest.approx(0.5))
    assert (one.score, one.model_version, one.offered_by) == (0.5, "v", "bulk")


def test_a_suggestion_that_was_not_taken_is_not_rejected():
    asked = offer("s", by="interactive")
    assert [one.outcome for one in judge(version(), offered(interactive=[asked]))] == ["unanswered"]


def test_a_known_id_counts_however_long_ago_it_was_handed_out():
    asked = offer("s", by="interactive")
    [one] = judge(version(drawn("s", box(0, 0))), OfferedRegions(by_id={"s": asked}))
    assert one.outcome == "accepted"


def test_masks_of_different_sizes_are_not_alike():
    other = to_rle(np.ones((5, 5), bool))
    assert overlap(rle(0, 0), other) == boundary_overlap(rle(0, 0), other) == 0
    [one] = judge(version(drawn("a", np.ones((5, 5), bool))), offered(A))
    assert (one.outcome, one.iou) == ("edited", 0.0)


def test_overlaps_of_nothing_have_a_shape():
    assert overlaps([], [rle(0, 0)]).shape == (0, 1)


def test_boundary_overlap_is_stricter_about_edges_of_big_things():
    def disc(radius: float) -> np.ndarray:
        y, x = np.mgrid[:200, :200] - 100
        return x**2 + y**2 <= radius**2

    big, smaller = to_rle(disc(80)), to_rle(disc(76))
    assert overlap(big, smaller) > 0.9
    assert boundary_overlap(big, smaller) < 0.5
    assert boundary_overlap(big, big) == 1


def test_boundary_overlap_follows_its_definition():
    one, two = box(5, 5, 20, 20), box(6, 5, 20, 20)  # diagonal 50: the boundary is 1 pixel wide
    ring = [mask & ~box(x + 1, 6, 18, 18) for mask, x in ((one, 5), (two, 6))]
    expected = (ring[0] & ring[1]).sum() / (ring[0] | ring[1]).sum()
    assert boundary_overlap(to_rle(one), to_rle(two)) == pytest.approx(expected)
