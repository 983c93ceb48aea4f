"""Two real workers: both take what was learnt with the next task, and let it go again, without a restart."""

import pytest

from backend.transport import queueing
from backend.transport.worker_registry import list_workers
from tests.backend.worker.test_worker import Bench
from tests.toy import guided_toy, toy_lesson

pytestmark = pytest.mark.slow


def ask_both(bench) -> set[tuple[str, int]]:
    """Version and number of regions of answers, until both workers have given some."""
    before = {info.name: info.jobs for info in list_workers(bench.conn)}
    answers = set()
    for _ in range(200):
        request_id = bench.ask()
        assert queueing.wait_for(bench.conn, request_id, 30)
        answer = bench.store.get_request(request_id).answer
        answers.add((answer["model_version"], len(answer["result"])))
        if all(info.jobs > before[info.name] for info in list_workers(bench.conn)):
            return answers
    raise AssertionError("one worker answers everything")


def test_two_workers_take_a_lesson_and_let_it_go_without_a_restart(store, redis_url, tmp_path):
    bench = Bench(store, redis_url, tmp_path / "state")
    bench.touch("guided")
    try:
        bench.start_worker()
        bench.start_worker()
        plain, lesson = guided_toy().model_version, toy_lesson(no_match_below=1.1)
        assert ask_both(bench) == {(plain, 1)}
        store.lessons.apply(1, lesson, {}, 1)
        assert ask_both(bench) == {(lesson.model_version, 0)}
        store.lessons.undo(1)
        assert ask_both(bench) == {(plain, 1)}
    finally:
        bench.close()
