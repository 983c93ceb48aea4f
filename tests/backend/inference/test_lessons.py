"""What was learnt decides the answers of its project, from the next request on, and of no other."""

from dataclasses import replace

import pytest

from backend.inference.request_context import TaskSource
from ris_core.errors import BadInput
from ris_core.learning.lesson import Lesson
from ris_core.learning.words import Words
from tests.backend.inference.test_service import CONFIG, ask, make_service
from tests.toy import guided_toy, toy_lesson, toy_segmenter


@pytest.fixture
def service(store, tmp_path):
    return make_service(store, tmp_path, guided_toy())


def test_a_lesson_counts_from_the_next_request_on_and_can_be_taken_back(service):
    before = ask(service, "the blue square").answer
    lesson = toy_lesson(no_match_below=1.1)
    service.store.lessons.apply(1, lesson, {}, 1)
    learned = ask(service, "the blue square").answer
    service.store.lessons.undo(1)
    after = ask(service, "the blue square").answer
    assert (before["model_version"], len(before["result"])) == (service.model_version, 1)
    assert (learned["model_version"], learned["result"]) == (lesson.model_version, [])
    assert (after["model_version"], len(after["result"])) == (service.model_version, 1)
    assert after["score"] == before["score"]


def test_nothing_learnt_leaves_its_project(service):
    service.store.lessons.apply(2, toy_lesson(no_match_below=1.1), {}, 2)
    assert ask(service, "the blue square").answer["model_version"] == service.model_version


def test_another_model_is_not_decided_by_it(store, tmp_path):
    other = make_service(store, tmp_path, toy_segmenter())
    store.lessons.apply(1, toy_lesson(no_match_below=1.1), {}, 1)
    assert ask(other, "the blue square").answer["model_version"] == other.model_version
    with pytest.raises(BadInput, match="Run `ris learn` again"):
        toy_lesson().apply(other.segmenter)


def test_what_is_encoded_serves_both(service, tmp_path):
    ask(service, "the blue square")
    files = sorted((tmp_path / "features").rglob("*"))
    service.store.lessons.apply(1, toy_lesson(), {}, 1)
    ask(service, "the blue square")
    assert sorted((tmp_path / "features").rglob("*")) == files


def test_a_lesson_of_before_is_found_by_its_digest(service):
    first, second = toy_lesson(0.1, Dog=0.5), toy_lesson(0.2)
    for one in (first, second):
        service.store.lessons.apply(1, one, {"answers": 120}, 1)
    source = TaskSource(1, "5", {"image": "x"}, CONFIG, None, {})
    pinned = service.begin_task(source, first.digest)
    assert (pinned.segmenter.model_version, pinned.thresholds) == (first.model_version, {"Dog": 0.5})
    assert service.begin_task(source, "").segmenter.model_version == service.model_version
    assert service.begin_task(source).segmenter.model_version == second.model_version
    assert service.store.lessons.name_version(1, service.model_version) == second.model_version


def test_undo_goes_back_to_the_lesson_before_and_the_history_keeps_all(service):
    lessons, first, second = service.store.lessons, toy_lesson(0.1), toy_lesson(0.2)
    with pytest.raises(BadInput, match="Nothing was learnt for project 1"):
        lessons.undo(1)
    lessons.apply(1, first, {"answers": 120}, 1)
    lessons.apply(1, second, {"answers": 150}, 9)
    assert lessons.undo(1).lesson == first
    changes = [(one.digest, one.replaces, one.from_project, one.about.get("answers")) for one in lessons.history(1)]
    assert changes == [
        (first.digest, "", 1, 120),
        (second.digest, first.digest, 9, 150),
        (first.digest, second.digest, 1, 120),
    ]


def test_accepted_words_are_found_for_whatever_version_they_were(service):
    lessons, words = service.store.lessons, Words({"mug": "Cup"}, {})
    assert lessons.find_words(1) == Words()
    lessons.apply(1, Lesson("demo.guided.00000001", words=words), {}, 1)
    assert lessons.find_words(1) == words
    lessons.undo(1)
    assert lessons.find_words(1) == Words()


def test_the_digest_follows_everything_that_decides():
    lesson = toy_lesson(0.1)
    others = [toy_lesson(0.2), toy_lesson(0.1, Dog=0.5), replace(lesson, base_version="other")]
    assert len({one.digest for one in (lesson, *others)}) == 4
    assert type(lesson).from_json(lesson.to_json()) == lesson
