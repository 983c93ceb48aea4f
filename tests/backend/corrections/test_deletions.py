"""What counts as deleted, and what does not: that something is not listed is no fact."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from backend.corrections import reconciler
from backend.corrections.reconciler import reconcile
from backend.db.correction_tables import annotation_deleted
from backend.db.tables import webhook
from backend.label_studio.client import LabelStudioClient
from ris_core.errors import RisError
from tests.backend.corrections.fake_tasks import FakeTasks
from tests.backend.corrections.made import PROJECT, annotation, box, brush, clock, deletion, event, send


class Studio(FakeTasks):
    """One whose answers a test can spoil.

    Attributes:
        spoil: Changes what it answers: `spoil(path, status, answer) -> (status, answer)`; bytes are sent as they are.
    """

    spoil: Callable[[str, int, Any], tuple[int, Any]] | None = None

    def __call__(self, request):
        status, headers, body = super().__call__(request)
        if self.spoil:
            status, answer = self.spoil(request.path, status, json.loads(body))
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return status, headers, body


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(reconciler, "ASK_AGAIN_S", 0.0)


@pytest.fixture
def studio() -> Studio:
    """Three tasks: one with two annotations, one with one, one that was skipped."""
    made = Studio(PROJECT)
    for one in (
        annotation(1, 5, [brush("a", box(0, 0))]),
        annotation(2, 5, []),
        annotation(3, 6, []),
        annotation(4, 7, [], was_cancelled=True),
    ):
        save(made, one)
    return made


@pytest.fixture
def api(serve, studio) -> LabelStudioClient:
    return LabelStudioClient(serve(studio).url, "token")


@pytest.fixture
def look(api, correction_store):
    """Looks at the project; ids of what is there then."""

    def thoroughly(is_thorough: bool = True) -> list[int]:
        reconcile(api, correction_store, PROJECT, is_thorough=is_thorough)
        return sorted(correction_store.live_annotations(PROJECT))

    return thoroughly


def save(studio: FakeTasks, one: dict) -> None:
    studio.happen(json.loads(event(one)))
    studio.tasks[one["task"]]["updated_at"] = one["updated_at"]


def remove(studio: FakeTasks, id: int, at: float | None = 300.0) -> None:
    """As Label Studio does; without a time nothing tells that the task changed."""
    for task in studio.tasks.values():
        left = [one for one in task["annotations"] if one["id"] != id]
        if len(left) < len(task["annotations"]):
            task |= {"annotations": left, **({"updated_at": clock(at)} if at else {})}


def deletions(correction_store) -> list[tuple[int, str]]:
    with correction_store.reading() as db:
        rows = db.execute(sa.select(annotation_deleted).order_by(annotation_deleted.c.annotation))
        return [(row.annotation, row.source) for row in rows]


def test_nothing_is_deleted_while_it_is_there(look, correction_store):
    assert [look(), look(), look(False)] == [[1, 2, 3, 4]] * 3
    assert deletions(correction_store) == []


def test_more_annotations_than_a_column_shows_are_all_there(look, studio):
    for number in range(10_000, 10_150):
        save(studio, annotation(number, 6, []))
    assert len(look()) == len(look()) == 154


@pytest.mark.parametrize("at", [300.0, None])
def test_an_annotation_that_is_gone_from_a_whole_list_is_deleted(look, studio, correction_store, at):
    look()
    remove(studio, 2, at)
    assert look() == [1, 3, 4]
    assert deletions(correction_store) == [(2, "absence")]


def test_a_skipped_one_that_is_gone_is_deleted(look, studio):
    look()
    remove(studio, 4, None)
    assert look() == [1, 2, 3]


def test_those_of_a_deleted_task_are_asked_for_one_by_one(look, studio, correction_store):
    look()
    studio.tasks.pop(5)
    assert look(False) == [1, 2, 3, 4]
    assert look() == [3, 4]
    assert {"/api/annotations/1/", "/api/annotations/2/"} <= set(studio.asked)


def test_a_task_that_is_not_listed_for_some_reason_loses_nothing(look, studio):
    look()
    hidden = lambda path, status, answer: (  # noqa: E731
        status,
        {"tasks": [one for one in answer["tasks"] if one["id"] != 5]} if "tasks?" in path else answer,
    )
    studio.spoil = hidden
    assert look() == [1, 2, 3, 4]


def test_what_was_moved_to_another_task_stays_where_its_proposals_were(look, studio, correction_store):
    """As "Remove Duplicated Tasks" does."""
    look()
    [moved] = studio.tasks.pop(6)["annotations"]
    studio.tasks[5]["annotations"].append({**moved, "task": 5})
    assert look() == [1, 2, 3, 4]
    save(studio, {**moved, "task": 5, "updated_at": clock(400)})
    assert look() == [1, 2, 3, 4]
    assert correction_store.live_annotations(PROJECT)[3] == "6"


def without(field: str) -> Callable[[Any], Any]:
    return lambda task: {name: value for name, value in task.items() if name != field}


SPOILT: dict[str, Callable[[dict], Any]] = {
    "no annotations": without("annotations"),
    "annotations left empty": lambda task: {**task, "annotations": []},
    "annotations that are null": lambda task: {**task, "annotations": None},
    "annotations as text": lambda task: {**task, "annotations": "1,2"},
    "one left out": lambda task: {**task, "annotations": task["annotations"][:1]},
    "one twice": lambda task: {**task, "annotations": [task["annotations"][0]] * 2},
    "one more than counted": lambda task: {**task, "total_annotations": 1},
    "no count": without("total_annotations"),
    "no count of skipped ones": without("cancelled_annotations"),
    "a count that is null": lambda task: {**task, "total_annotations": None},
    "a count as text": lambda task: {**task, "total_annotations": "2"},
    "a count that is true": lambda task: {**task, "total_annotations": True},
    "another project": lambda task: {**task, "project": 99},
    "annotations of another task": lambda task: {
        **task,
        "annotations": [{**a, "task": 6} for a in task["annotations"]],
    },
    "annotations of another project": lambda task: {
        **task,
        "annotations": [{**a, "project": 8} for a in task["annotations"]],
    },
    "annotations without ids": lambda task: {**task, "annotations": [without("id")(a) for a in task["annotations"]]},
    "annotations without times": lambda task: {
        **task,
        "annotations": [{**a, "updated_at": None, "created_at": None} for a in task["annotations"]],
    },
    "no id": without("id"),
    "an id as text": lambda task: {**task, "id": "5"},
    "no task": lambda task: None,
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_task_that_is_listed_as_it_never_is_ends_the_look(look, studio, correction_store, what):
    look()
    before = (
        deletions(correction_store),
        correction_store.live_annotations(PROJECT),
        correction_store.seen_until(PROJECT),
    )
    studio.tasks[5]["updated_at"] = clock(500)

    def spoil(path: str, status: int, answer: Any) -> tuple[int, Any]:
        if "/api/tasks?" in path and "fields=all" in path:
            answer["tasks"] = [SPOILT[what](one) if one["id"] == 5 else one for one in answer["tasks"]]
        return status, answer

    studio.spoil = spoil
    with pytest.raises(RisError):
        look()
    assert (
        deletions(correction_store),
        correction_store.live_annotations(PROJECT),
        correction_store.seen_until(PROJECT),
    ) == before
    studio.spoil = None
    assert look() == [1, 2, 3, 4]


HTML = b"<!DOCTYPE html><title>404</title>"
ANSWERS: dict[str, tuple[str, int, Any]] = {
    "a page for a list": ("/api/tasks?", 200, HTML),
    "no object for a list": ("/api/tasks?", 200, []),
    "a list without tasks": ("/api/tasks?", 200, {"total": 3}),
    "a list that does not exist": ("/api/tasks?", 404, {"detail": "Not found."}),
    "a list that may not be seen": ("/api/tasks?", 403, {"detail": "No."}),
    "a failure": ("/api/tasks?", 500, {"detail": "Unknown error"}),
    "a project that is gone": ("/api/projects/", 404, {"detail": "No Project matches the given query."}),
    "another project": ("/api/projects/", 200, {"id": 99, "label_config": "<View/>"}),
    "a project without label config": ("/api/projects/", 200, {"id": PROJECT}),
    "a page for an annotation": ("/api/annotations/", 404, HTML),
    "nothing for an annotation": ("/api/annotations/", 404, b""),
    "an annotation that is said to be gone": ("/api/annotations/", 410, {"detail": "Gone"}),
    "an annotation that may not be seen": ("/api/annotations/", 403, {"detail": "No."}),
    "another annotation": ("/api/annotations/", 200, annotation(2, 6, [])),
    "no annotation": ("/api/annotations/", 200, {}),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_another_answer_than_label_studios_ends_the_look(look, studio, correction_store, what):
    look()
    before = (
        deletions(correction_store),
        correction_store.live_annotations(PROJECT),
        correction_store.seen_until(PROJECT),
    )
    where, status, answer = ANSWERS[what]
    task = studio.tasks.pop(5)
    studio.spoil = lambda path, s, a: (status, answer) if where in path else (s, a)
    with pytest.raises(RisError):
        look()
    assert (
        deletions(correction_store),
        correction_store.live_annotations(PROJECT),
        correction_store.seen_until(PROJECT),
    ) == before
    studio.spoil, studio.tasks[5] = None, task
    assert look() == [1, 2, 3, 4]


def test_a_list_that_never_ends_is_noticed(look, studio):
    first = []

    def repeat(path: str, status: int, answer: Any) -> tuple[int, Any]:
        if "fields=all" not in path:
            return status, answer
        first.append(answer)
        return 200, {"tasks": first[0]["tasks"]}

    studio.spoil = repeat
    with pytest.raises(RisError, match="in order"):
        look()


def test_annotations_of_a_project_that_is_not_seen_any_more_are_not_deleted(look, studio, correction_store):
    look()
    studio.tasks.pop(5)
    asked = []

    def vanish(path: str, status: int, answer: Any) -> tuple[int, Any]:
        asked.append(path)
        is_gone = "/api/projects/" in path and any("/api/annotations/" in one for one in asked)
        return (404, {"detail": "No Project matches the given query."}) if is_gone else (status, answer)

    studio.spoil = vanish
    with pytest.raises(RisError):
        look()
    assert deletions(correction_store) == []


def test_what_was_taken_for_deleted_is_taken_back_when_it_is_seen(look, studio, correction_store):
    look()
    task = studio.tasks.pop(5)
    assert look() == [3, 4]
    studio.tasks[5] = {**task, "updated_at": clock(500)}
    assert look() == [1, 2, 3, 4]
    assert deletions(correction_store) == []


def test_an_event_takes_back_what_was_only_found_missing_before(look, studio, correction_store, store):
    look()
    send(store, event(annotation(2, 5, [], at=180), "ANNOTATION_UPDATED"))  # it came before and is read afterwards
    time.sleep(0.01)
    studio.tasks.pop(5)
    assert look() == [3, 4]
    correction_store.read_events()
    assert sorted(correction_store.live_annotations(PROJECT)) == [3, 4]
    send(store, event(annotation(1, 5, [], at=200), "ANNOTATION_UPDATED"))
    correction_store.read_events()
    assert sorted(correction_store.live_annotations(PROJECT)) == [1, 3, 4]


def test_a_deletion_that_an_event_told_stands_against_late_events(look, correction_store, store):
    look()
    send(store, deletion(1), event(annotation(1, 5, [], at=200), "ANNOTATION_UPDATED"))
    correction_store.read_events()
    assert sorted(correction_store.live_annotations(PROJECT)) == [2, 3, 4]
    assert deletions(correction_store) == [(1, "webhook")]


def test_label_studio_outweighs_an_event_of_a_deletion_after_a_while(look, studio, correction_store, store):
    look()
    send(store, deletion(1))
    correction_store.read_events()
    studio.tasks[5]["updated_at"] = clock(500)
    assert look() == [2, 3, 4]  # the event may have overtaken what Label Studio shows
    with correction_store.writing() as db:
        db.execute(sa.update(annotation_deleted).values(seen_at=time.time() - 600))
    assert look() == [1, 2, 3, 4]


def test_an_event_outweighs_what_was_only_found_missing(look, studio, correction_store, store):
    look()
    remove(studio, 1)
    look()
    send(store, deletion(1))
    correction_store.read_events()
    assert deletions(correction_store) == [(1, "webhook")]


def problems(correction_store) -> list[str | None]:
    with correction_store.reading() as db:
        return list(
            db.scalars(sa.select(webhook.c.problem).where(webhook.c.read_at.is_not(None)).order_by(webhook.c.id))
        )


def forged(**changed: Any) -> str:
    body = json.loads(event(annotation(1, changed.get("task", 5), [brush("f", box(5, 5))], at=900)))
    body["annotation"] |= changed
    body["project"] |= {"id": changed.get("project", PROJECT)}
    return json.dumps(body)


def elsewhere(*ids: int, **changed: Any) -> str:
    return json.dumps({**json.loads(deletion(*ids)), **changed})


FORGED = {
    "of another task": (forged(task=6), "task 6"),
    "of another project": (forged(project=8), "project 8"),
    "a deletion of another project": (elsewhere(1, project={"id": 8}), "project 8"),
    "a deletion of no project": (elsewhere(1, project=None), "no project"),
}
OF_ANOTHER_TASK = {
    "a deletion in another task": (elsewhere(1, task={"id": 6}), "task 6"),
    "a deletion of one of another task": (elsewhere(annotations=[{"id": 1, "task": 6}]), "task 6"),
}


@pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("what", FORGED | OF_ANOTHER_TASK)
def test_an_event_that_contradicts_where_an_annotation_is_changes_nothing(store, correction_store, outcomes, what):
    body, told = (FORGED | OF_ANOTHER_TASK)[what]
    send(store, event(annotation(1, 5, [brush("a", box(0, 0))])))
    correction_store.read_events()
    before = outcomes()
    send(store, body)
    correction_store.read_events()
    assert outcomes() == before
    assert correction_store.live_annotations(PROJECT) == {1: "5"}
    assert correction_store.live_annotations(8) == {}
    assert told in problems(correction_store)[1]
    assert problems(correction_store)[0] is None


@pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("what", FORGED)
def test_one_that_comes_first_does_not_outlast_a_look(store, serve, correction_store, outcomes, what):
    body, _ = FORGED[what]
    studio = Studio(PROJECT)
    true = annotation(1, 5, [brush("a", box(0, 0))])
    save(studio, true)
    send(store, body, event(true))
    correction_store.read_events()
    reconcile(LabelStudioClient(serve(studio).url, "token"), correction_store, PROJECT, is_thorough=True)
    assert correction_store.live_annotations(PROJECT) == {1: "5"}
    assert correction_store.live_annotations(8) == {}
    assert list(outcomes().values()) == [{"a": "missed"}]
    send(store, event({**true, "updated_at": clock(990)}, "ANNOTATION_UPDATED"))
    correction_store.read_events()
    assert problems(correction_store)[-1] is None


@pytest.mark.parametrize("task", [5, 50])
def test_another_label_studio_is_noticed(look, correction_store, serve, task):
    look()
    other = Studio(PROJECT)
    save(other, annotation(1, task, [], at=800, created_at=clock(700)))
    with pytest.raises(RisError, match="same Label Studio"):
        reconcile(LabelStudioClient(serve(other).url, "token"), correction_store, PROJECT)
    assert correction_store.live_annotations(PROJECT) == {1: "5", 2: "5", 3: "6", 4: "7"}
