import json

import pytest
import sqlalchemy as sa

from backend.db.tables import webhook
from tests.backend.corrections.made import START, annotation, box, brush, deletion, event, hand_out, rle, send

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)


def newest(outcomes) -> dict[str, str]:
    """Of the only annotation's newest version."""
    found = outcomes()
    return found[max(found, key=lambda key: key[1])]


def test_an_accepted_an_edited_and_a_drawn_region(store, correction_store, outcomes):
    hand_out(store, 5, [("a", 1)], [rle(0, 0)])
    hand_out(store, 5, [("b", 1)], [rle(20, 0)])
    regions = [brush("a", box(0, 0), "the box"), brush("b", box(20, 0, 8), "the box"), brush("c", box(0, 15))]
    send(store, event(annotation(1, 5, regions)))
    assert correction_store.read_events() == 1
    assert newest(outcomes) == {"a": "accepted", "b": "edited", "c": "missed"}
    ious = outcomes("iou")[1, START + 100]
    assert ious == {"a": 1.0, "b": pytest.approx(0.8), "c": None}
    assert outcomes("area_change")[1, START + 100]["b"] == pytest.approx(-0.2)


def test_what_was_suggested_and_not_taken_is_unanswered_what_was_there_and_is_gone_is_rejected(
    store, correction_store, outcomes
):
    hand_out(store, 5, [("bulk", 1)], [rle(0, 0)], kind="open", at=10)
    hand_out(store, 5, [("said", 1)], [rle(20, 0)])
    send(store, event(annotation(1, 5, [], parent_prediction=3)))
    correction_store.read_events()
    assert newest(outcomes) == {"bulk": "rejected", "said": "unanswered"}


def test_without_a_parent_nothing_of_the_bulk_was_offered(store, correction_store, outcomes):
    hand_out(store, 5, [("bulk", 1)], [rle(0, 0)], kind="open", at=10)
    send(store, event(annotation(1, 5, [])))
    correction_store.read_events()
    assert newest(outcomes) == {}


def test_a_region_of_another_task_is_foreign(store, correction_store, outcomes):
    hand_out(store, 6, [("a", 1)], [rle(0, 0)])
    noted = brush("bulk", box(20, 0), "the box")
    noted["meta"]["ris"] = {"task": "6", "run": "r"}
    send(store, event(annotation(1, 5, [brush("a", box(0, 0), "the box"), noted])))
    correction_store.read_events()
    assert newest(outcomes) == {"a": "foreign", "bulk": "foreign"}


def test_a_skipped_task_has_no_outcomes(store, correction_store, outcomes):
    hand_out(store, 5, [("a", 1)], [rle(0, 0)])
    send(store, event(annotation(1, 5, [brush("a", box(0, 0))], was_cancelled=True)))
    correction_store.read_events()
    assert outcomes() == {(1, START + 100): {}}


def test_the_next_candidate_of_the_same_words_replaces_the_first(store, correction_store, outcomes):
    masks = [rle(0, 0), rle(20, 0)]
    hand_out(store, 5, [("first", 1)], masks, at=10)
    hand_out(store, 5, [("next", 2)], masks, at=20)
    send(store, event(annotation(1, 5, [brush("next", box(20, 0), "the box")])))
    correction_store.read_events()
    assert newest(outcomes) == {"next": "replaced"}
    assert outcomes("offered_region")[1, START + 100] == {"next": "first"}


def test_the_next_candidate_under_the_same_id_replaces_the_first(store, correction_store, outcomes):
    """As the page has it: "next" puts another candidate in the place of what was accepted."""
    masks = [rle(0, 0), rle(20, 0)]
    hand_out(store, 5, [("a", 1)], masks, at=10, prompt="p", chosen=False)
    hand_out(store, 5, [("a", 2)], masks, at=20, prompt="p", chosen=True)
    send(store, event(annotation(1, 5, [brush("a", box(20, 0), "the box")])))
    correction_store.read_events()
    assert newest(outcomes) == {"a": "replaced"}


def test_going_back_to_the_first_candidate_accepts_it(store, correction_store, outcomes):
    masks = [rle(0, 0), rle(20, 0)]
    hand_out(store, 5, [("a", 1)], masks, at=10, prompt="p", chosen=False)
    hand_out(store, 5, [("a", 2)], masks, at=20, prompt="p", chosen=True)
    hand_out(store, 5, [("a", 1)], masks, at=30, prompt="p", chosen=True)
    send(store, event(annotation(1, 5, [brush("a", box(0, 0), "the box")])))
    correction_store.read_events()
    assert newest(outcomes) == {"a": "accepted"}


def test_an_update_adds_and_offers_only_what_came_since(store, correction_store, outcomes):
    hand_out(store, 5, [("old", 1)], [rle(0, 0)], at=50)
    hand_out(store, 5, [("new", 1)], [rle(20, 0)], at=150, expression="the other")
    first = annotation(1, 5, [], at=100)
    second = annotation(1, 5, [brush("x", box(0, 15))], at=200)
    send(store, event(first), event(second, "ANNOTATION_UPDATED"))
    correction_store.read_events()
    assert outcomes() == {
        (1, START + 100): {"old": "unanswered"},
        (1, START + 200): {"x": "missed", "new": "unanswered"},
    }


def test_answers_go_to_the_annotator_who_asked(store, correction_store, outcomes):
    hand_out(store, 5, [("by user", 1)], [rle(0, 0)], user=2)
    hand_out(store, 5, [("by prompt", 1)], [rle(10, 0)], prompt="p2", expression="b")
    hand_out(store, 5, [("nobody's", 1)], [rle(20, 0)], expression="c")
    prompt = {"id": "p2", "type": "textarea", "from_name": "prompt", "to_name": "image", "value": {"text": ["b"]}}
    mine = annotation(1, 5, [], completed_by=1)
    theirs = annotation(2, 5, [prompt], completed_by=2)
    send(store, event(mine), event(theirs))
    correction_store.read_events()
    found = outcomes()
    assert set(found[1, START + 100]) == {"nobody's"}
    assert set(found[2, START + 100]) == {"by user", "by prompt", "nobody's"}


def test_of_two_tabs_of_one_person_each_has_the_answers_to_its_own_prompt(store, correction_store, outcomes):
    """Also if the other tab is submitted later, or not at all."""
    prompts = [
        {"id": id, "type": "textarea", "from_name": "prompt", "to_name": "image", "value": {"text": [id]}}
        for id in ("p1", "p2")
    ]
    hand_out(store, 5, [("one", 1)], [rle(0, 0)], user=1, prompt="p1", expression="p1", at=10)
    hand_out(store, 5, [("two", 1)], [rle(10, 0)], user=1, prompt="p2", expression="p2", at=20)
    hand_out(store, 5, [("unsaved", 1)], [rle(20, 0)], user=1, prompt="p3", expression="p3", at=30)
    send(store, event(annotation(1, 5, prompts[:1], at=100)))
    send(store, event(annotation(2, 5, prompts[1:], at=200)))
    correction_store.read_events()
    found = outcomes()
    assert (set(found[1, START + 100]), set(found[2, START + 200])) == ({"one"}, {"two"})


def test_masks_that_clicks_corrected_are_told_apart(store, correction_store, outcomes):
    hand_out(store, 5, [("a", 1), ("b", 2)], [rle(0, 0), rle(20, 0)])
    clicked = brush("a", box(0, 0), "the box")
    clicked["meta"]["ris"] = {"by": "click"}
    send(store, event(annotation(1, 5, [clicked, brush("b", box(20, 0), "the box")])))
    correction_store.read_events()
    assert newest(outcomes) == {"a": "accepted", "b": "accepted"}
    assert outcomes("is_refined")[1, START + 100] == {"a": True, "b": False}


def test_what_cannot_be_read_is_kept_with_its_reason_and_holds_nothing_up(store, correction_store, outcomes):
    store.projects.add_webhook("ANNOTATION_CREATED", 7, "no json")
    store.projects.add_webhook(
        "ANNOTATION_CREATED", 7, json.dumps({"action": "ANNOTATION_CREATED", "annotation": {"id": "x"}})
    )
    broken = brush("a", box(0, 0))
    broken["value"]["rle"] = broken["value"]["rle"][:20]
    send(store, event(annotation(1, 5, [broken, brush("b", box(0, 0))])), event(annotation(2, 5, [])))
    assert correction_store.read_events() == 4
    with correction_store.reading() as db:
        problems = list(
            db.scalars(sa.select(webhook.c.problem).where(webhook.c.read_at.is_not(None)).order_by(webhook.c.id))
        )
    assert [bool(problem) for problem in problems] == [True, True, True, False]
    assert "cut short" in problems[2]
    assert outcomes()[1, START + 100] == {"b": "missed"}


def test_a_deletion_marks_and_history_is_kept(store, correction_store, outcomes):
    send(store, deletion(1), event(annotation(1, 5, [brush("a", box(0, 0))])))
    correction_store.read_events()
    assert correction_store.live_annotations(7) == {}
    assert outcomes() == {(1, START + 100): {"a": "missed"}}


def test_events_are_read_once(store, correction_store):
    send(store, event(annotation(1, 5, [])))
    assert [correction_store.read_events(), correction_store.read_events()] == [1, 0]


def test_reading_stops_at_its_limit_and_goes_on(store, correction_store):
    send(store, *(event(annotation(i, i, [])) for i in range(5)))
    assert [correction_store.read_events(limit=3), correction_store.read_events(limit=3)] == [3, 2]
