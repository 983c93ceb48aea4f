"""The queue is filled with what is missing, by one process at a time."""

import pytest

from backend.transport import queueing, redis_client, worker_registry
from backend.transport.queueing import WORK_ON_RUN


@pytest.fixture
def conn(redis_url):
    return redis_client.connect(redis_url)


def fill(conn, *job_ids):
    return queueing.fill(conn, WORK_ON_RUN, job_ids, "bulk", 60)


def test_jobs_that_wait_or_are_at_work_are_not_queued_again(conn):
    assert fill(conn, "run-a-0", "run-a-1") == 2
    assert queueing.take(conn, "w", 0.01) == ("bulk", "run-a-0")
    assert fill(conn, "run-a-0", "run-a-1", "run-a-2") == 1
    queueing.drop_taken(conn, "w", "bulk", "run-a-0")
    assert fill(conn, "run-a-0") == 1
    assert conn.lrange("rq:queue:bulk", 0, -1) == [b"run-a-1", b"run-a-2", b"run-a-0"]


def test_one_process_at_a_time_has_its_turn(conn):
    assert worker_registry.take_turn(conn)
    assert not worker_registry.take_turn(conn)
    conn.delete("ris:turn")
    assert worker_registry.take_turn(conn)


def test_word_that_a_job_of_a_run_is_over_does_not_pile_up(conn):
    for _ in range(5):
        queueing.announce(conn, "run-a-0")
    assert conn.llen("ris:over:run-a-0") == 1


def test_two_runs_take_turns(conn):
    for _ in range(2):
        fill(conn, "run-a-0", "run-a-1")
        fill(conn, "run-b-0", "run-b-1")
    taken = [queueing.take(conn, "w", 0.01) for _ in range(4)]
    queueing.drop_taken(conn, "w", "bulk", "run-a-0")
    assert [job.split("-")[1] for _, job in taken] == ["a", "a", "b", "b"]
    fill(conn, "run-a-0")
    assert queueing.take(conn, "w", 0.01) == ("bulk", "run-a-0")
