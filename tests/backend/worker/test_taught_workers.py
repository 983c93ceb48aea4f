"""Two real workers: both take what was learnt with the next task, and let it go again, without a restart."""

import json
from typing import Any

import numpy as np
import pytest

from backend.transport import queueing
from backend.transport.worker_registry import list_workers
from ris_core import Image
from ris_core.learning.lesson import Lesson
from ris_core.methods._region_memory import RegionMemory
from ris_core.methods._similarity import unit
from tests.backend.worker.test_worker import Bench
from tests.toy import guided_toy, toy_lesson, toy_pixels

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(store, redis_url, tmp_path):
    made = Bench(store, redis_url, tmp_path / "state")
    made.touch("guided")
    yield made
    made.close()


def ask_both(bench, text: str = "the blue square") -> list[dict[str, Any]]:
    """Answers, until both workers have given some."""
    before = {info.name: info.jobs for info in list_workers(bench.conn)}
    answers = []
    for _ in range(200):
        request_id = bench.ask(text=text)
        assert queueing.wait_for(bench.conn, request_id, 30)
        answers.append(bench.store.get_request(request_id).answer)
        if all(info.jobs > before[info.name] for info in list_workers(bench.conn)):
            return answers
    raise AssertionError("one worker answers everything")


def count(answers: list[dict[str, Any]]) -> set[tuple[str, int]]:
    """Version and number of regions."""
    return {(one["model_version"], len(one["result"])) for one in answers}


def look(answers: list[dict[str, Any]]) -> tuple[set[str], set[str]]:
    """Versions, and all that is said of regions except their ids."""
    regions = {json.dumps({**one, "id": ""}, sort_keys=True) for answer in answers for one in answer["result"]}
    return {one["model_version"] for one in answers}, regions


def masks(regions: set[str]) -> set[str]:
    return {json.dumps(json.loads(one)["value"]["rle"]) for one in regions}


def remember_blue() -> Lesson:
    """What `guided_toy` could have learnt of a widget: that it looks like the blue quarter."""
    toy = guided_toy()
    visual = toy.method.visual(toy.encode(Image.from_array(toy_pixels())))
    centre = visual.mean(axis=0)
    return Lesson(
        toy.model_version, memory=RegionMemory(centre, {"widget": unit(visual[[2]] - centre).astype(np.float16)}, 16.0)
    )


def test_two_workers_take_a_lesson_and_let_it_go_without_a_restart(bench, store):
    bench.start_worker()
    bench.start_worker()
    plain, lesson = guided_toy().model_version, toy_lesson(no_match_below=1.1)
    assert count(ask_both(bench)) == {(plain, 1)}
    store.lessons.apply(1, lesson, {}, 1)
    assert count(ask_both(bench)) == {(lesson.model_version, 0)}
    store.lessons.undo(1)
    assert count(ask_both(bench)) == {(plain, 1)}


def test_two_workers_take_a_memory_and_keep_it_over_a_restart_and_answer_all_else_as_before(bench, store):
    first, _ = bench.start_worker(), bench.start_worker()
    plain, lesson, texts = guided_toy().model_version, remember_blue(), ("the widget", "the red square")
    widget, red = (look(ask_both(bench, text)) for text in texts)
    assert widget[0] == red[0] == {plain}

    store.lessons.apply(1, lesson, {}, 1)
    found, same = (look(ask_both(bench, text)) for text in texts)
    assert found[0] == same[0] == {lesson.model_version}
    assert same[1] == red[1]
    assert len(found[1]) == 1
    assert found[1].isdisjoint(widget[1])
    _, blue = look(ask_both(bench, "the blue square"))
    assert masks(found[1]) == masks(blue)

    first.terminate()
    assert first.wait(20) == 0, bench.log()
    bench.start_worker()
    assert [look(ask_both(bench, text)) for text in texts] == [found, same]

    store.lessons.undo(1)
    assert [look(ask_both(bench, text)) for text in texts] == [widget, red]
