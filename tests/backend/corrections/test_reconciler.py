import json
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from backend.corrections.reconciler import reconcile
from backend.label_studio import task_listing
from backend.label_studio.client import LabelStudioClient
from tests.backend.corrections.fake_tasks import FakeTasks
from tests.backend.corrections.made import PROJECT, START, annotation, box, brush, clock, event, send


@pytest.fixture
def studio() -> FakeTasks:
    return FakeTasks(PROJECT)


@pytest.fixture
def api(serve, studio) -> LabelStudioClient:
    return LabelStudioClient(serve(studio).url, "token")


def save(studio: FakeTasks, one: dict) -> None:
    studio.happen(json.loads(event(one)))
    studio.tasks[one["task"]]["updated_at"] = one["updated_at"]


def test_only_what_changed_is_asked_for(api, studio, correction_store):
    save(studio, annotation(1, 5, [brush("a", box(0, 0))], at=100))
    assert reconcile(api, correction_store, PROJECT) == 1
    assert correction_store.seen_until(PROJECT) == clock(100)
    save(studio, annotation(2, 6, [], at=500))
    assert reconcile(api, correction_store, PROJECT) == 1
    assert reconcile(api, correction_store, PROJECT) == 0
    query = json.loads(parse_qs(urlsplit(studio.asked[-1]).query)["query"][0])
    since, after = (one["value"] for one in query["filters"]["items"])
    assert (datetime.fromisoformat(since), after) == (datetime.fromisoformat(clock(440)), 0)
    assert since.endswith(".000000Z")  # without a fraction of a second Label Studio answers 500


def test_pages_go_on_after_the_last_id(api, studio, correction_store, monkeypatch):
    monkeypatch.setattr(task_listing, "PAGE", 2)
    for number in range(5):
        save(studio, annotation(number + 1, number + 1, []))
    assert reconcile(api, correction_store, PROJECT) == 5


def test_pages_go_on_where_label_studio_caps_their_size(api, studio, correction_store):
    studio.largest_page = 2
    for number in range(5):
        save(studio, annotation(number + 1, number + 1, []))
    assert reconcile(api, correction_store, PROJECT, is_thorough=True) == 5
    assert len(correction_store.live_annotations(PROJECT)) == 5


def test_an_annotation_that_came_while_it_was_asked_is_not_taken_for_deleted(
    api, studio, correction_store, store, monkeypatch
):
    save(studio, annotation(1, 5, []))
    asked = studio.__class__.__call__

    def save_meanwhile(self, request):
        answer = asked(self, request)
        if "fields=all" in request.path:
            send(store, event(annotation(2, 5, [])))
            correction_store.read_events()
        return answer

    monkeypatch.setattr(FakeTasks, "__call__", save_meanwhile)
    reconcile(api, correction_store, PROJECT, is_thorough=True)
    assert set(correction_store.live_annotations(PROJECT)) == {1, 2}


@pytest.mark.parametrize("is_thorough", [True, False])
def test_what_went_with_its_task_is_found_if_all_tasks_are_listed(api, studio, correction_store, is_thorough):
    save(studio, annotation(1, 5, []))
    save(studio, annotation(2, 6, []))
    reconcile(api, correction_store, PROJECT)
    studio.tasks.pop(5)
    reconcile(api, correction_store, PROJECT, is_thorough=is_thorough)
    assert set(correction_store.live_annotations(PROJECT)) == ({2} if is_thorough else {1, 2})


def test_the_prediction_that_an_annotation_began_with_is_fetched(api, studio, correction_store, outcomes):
    result = [brush("a", box(0, 0)), brush("b", box(20, 0))]
    studio.predictions[9] = {"id": 9, "task": 5, "result": result, "model_version": "v", "created_at": clock(0)}
    save(studio, annotation(1, 5, [brush("a", box(0, 0, 9), origin="prediction-changed")], parent_prediction=9))
    reconcile(api, correction_store, PROJECT)
    assert outcomes()[1, START + 100] == {"a": "edited", "b": "rejected"}
    assert outcomes("iou")[1, START + 100]["a"] == pytest.approx(0.9)


def test_a_prediction_that_is_gone_is_not_asked_about_the_outcomes_stay(api, studio, correction_store, outcomes):
    unchanged = brush("a", box(0, 0), origin="prediction")
    save(studio, annotation(1, 5, [unchanged], parent_prediction=9))
    reconcile(api, correction_store, PROJECT)
    assert outcomes()[1, START + 100] == {"a": "accepted"}
