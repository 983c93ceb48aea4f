import os
import threading
import time

import pytest

from backend.base.errors import Busy, Unreachable
from backend.transport import queueing, redis_client, worker_registry
from backend.transport.queueing import ENCODE_AHEAD, ENCODE_TASK, SEGMENT_TASK
from backend.transport.worker_registry import WorkerInfo


@pytest.fixture
def conn(redis_url):
    return redis_client.connect(redis_url)


def info(name: str, **fields) -> WorkerInfo:
    given = {
        "machine": worker_registry.this_machine(),
        "pid": os.getpid(),
        "started_at": 1.0,
        "profile": "toy",
        "device": "cpu",
    }
    return WorkerInfo(name=name, **{**given, **fields})


def test_interactive_jobs_are_taken_before_bulk_and_oldest_first(conn):
    queueing.enqueue(conn, ENCODE_TASK, "bulk", "bulk")
    queueing.enqueue(conn, SEGMENT_TASK, "first")
    queueing.enqueue(conn, SEGMENT_TASK, "second")
    taken = [queueing.take(conn, "w", 0.01) for _ in range(4)]
    assert taken == [("interactive", "first"), ("interactive", "second"), ("bulk", "bulk"), None]


def test_job_holds_a_function_name_and_an_id_as_json(conn):
    assert queueing.enqueue(conn, SEGMENT_TASK, "r1", timeout_s=7.4) == "r1"
    job = queueing._queue(conn, "interactive").fetch_job("r1")
    assert (job.func_name, job.args, job.timeout, job.result_ttl) == (SEGMENT_TASK, ["r1"], 7, 0)
    assert b"segment_task" in job.serializer.dumps(job.func_name)


def test_full_queue_refuses_and_says_what_to_do(conn):
    queueing.enqueue(conn, SEGMENT_TASK, "r1", max_queued=1)
    with pytest.raises(Busy, match="limit is 1"):
        queueing.enqueue(conn, SEGMENT_TASK, "r2", max_queued=1)
    assert queueing.queue_lengths(conn) == {"interactive": 1, "bulk": 0}


def test_waiting_ends_when_the_job_is_announced(conn):
    threading.Timer(0.1, queueing.announce, (conn, "r1")).start()
    started = time.monotonic()
    assert queueing.wait_for(conn, "r1", 10)
    assert time.monotonic() - started < 5


def test_word_that_came_before_the_waiting_is_not_lost(conn):
    queueing.announce(conn, "r1")
    assert conn.ttl("ris:over:r1") > 0
    assert queueing.wait_for(conn, "r1", 1)


def test_waiting_ends_at_the_timeout(conn):
    started = time.monotonic()
    assert not queueing.wait_for(conn, "r1", 0.2)
    assert time.monotonic() - started >= 0.2
    assert not queueing.wait_for(conn, "r1", 0)


def test_jobs_of_a_worker_that_is_not_heard_of_go_back_to_the_front(conn):
    for name in ("first", "second", "third"):
        queueing.enqueue(conn, SEGMENT_TASK, name)
    queueing.take(conn, "dead", 0.01)
    queueing.take(conn, "dead", 0.01)
    assert sorted(queueing.recover(conn)) == ["first", "second"]
    assert [queueing.take(conn, "w", 0.01)[1] for _ in range(3)] == ["first", "second", "third"]


def test_recovered_bulk_job_returns_to_bulk(conn):
    queueing.enqueue(conn, ENCODE_TASK, "r1", "bulk")
    queueing.take(conn, "dead", 0.01)
    queueing.recover(conn)
    assert queueing.queue_lengths(conn) == {"interactive": 0, "bulk": 1}


LIVING = {
    "heard of on this machine": ({}, True),
    "heard of, but its process is gone": ({"pid": 2**22 + 1}, False),
    "heard of on another machine": ({"pid": 2**22 + 1, "machine": "elsewhere"}, True),
}


@pytest.mark.parametrize(("fields", "keeps"), LIVING.values(), ids=LIVING)
def test_jobs_stay_with_workers_that_live(conn, fields, keeps):
    queueing.enqueue(conn, SEGMENT_TASK, "r1")
    worker_registry.report_worker(conn, info("w", **fields))
    queueing.take(conn, "w", 0.01)
    assert queueing.recover(conn) == ([] if keeps else ["r1"])


def test_dropped_job_is_not_recovered(conn):
    queueing.enqueue(conn, SEGMENT_TASK, "r1")
    queueing.take(conn, "dead", 0.01)
    queueing.drop_taken(conn, "dead", "interactive", "r1")
    assert queueing.recover(conn) == []


def test_job_that_is_next_goes_before_those_that_wait(conn):
    queueing.enqueue(conn, ENCODE_TASK, "ahead", "bulk")
    queueing.enqueue(conn, ENCODE_AHEAD, "opened", "bulk", is_next=True)
    assert [queueing.take(conn, "w", 0.01)[1] for _ in range(2)] == ["opened", "ahead"]


def test_redis_that_refuses_is_named_with_a_remedy(conn):
    """As it does while its disk is full."""
    conn.set("rq:queue:bulk", "not a list")
    with pytest.raises(Unreachable, match="REDIS_URL"):
        queueing.enqueue(conn, ENCODE_TASK, "r1", "bulk")


def test_redis_that_is_not_there_is_named_with_a_remedy(tmp_path):
    conn = redis_client.connect(f"unix://{tmp_path}/none.sock")
    for call in (
        redis_client.ping,
        queueing.queue_lengths,
        worker_registry.list_workers,
        worker_registry.workers_state,
        worker_registry.model_version,
    ):
        with pytest.raises(Unreachable, match="REDIS_URL"):
            call(conn)
    with pytest.raises(Unreachable, match="REDIS_URL"):
        queueing.announce(conn, "r1")
    with pytest.raises(Unreachable, match="REDIS_URL"):
        queueing.enqueue(conn, SEGMENT_TASK, "r1")


def test_url_that_is_none_names_the_setting():
    with pytest.raises(Unreachable, match="REDIS_URL"):
        redis_client.connect("localhost:6379")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("timeout_s", [1e-4, 5e-4, 9e-4])
def test_a_wait_of_less_than_a_millisecond_ends(redis_url, timeout_s):
    """Redis rounds it down to zero, and zero is for ever; a deadline that is nearly over leaves just that."""
    assert not queueing.wait_for(redis_client.connect(redis_url), "nobody", timeout_s)
