"""Against a real Redis."""

import math
import os
import time

import pytest

from backend.transport import redis_client, worker_registry
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


def test_a_worker_that_redis_has_lost_is_none_until_it_has_said_all_again(conn):
    conn.hset(worker_registry._worker_key("lost"), mapping={"last_seen": 1.0, "jobs": 7})
    assert worker_registry.list_workers(conn) == []
    assert worker_registry.workers_state(conn) == "none"


def test_a_worker_says_only_what_changed_and_all_again_once_it_was_forgotten(conn):
    first = info("w", state="ready", model_version="toy.1")
    worker_registry.report_worker(conn, first)
    conn.set(worker_registry.MODEL_VERSION_KEY, "another's")
    later = info("w", state="ready", model_version="toy.1", jobs=5)
    worker_registry.report_worker(conn, later, first)
    [seen] = worker_registry.list_workers(conn)
    assert (seen.jobs, seen.model_version, seen.state) == (5, "toy.1", "ready")
    assert worker_registry.model_version(conn) == "another's"
    conn.flushdb()
    worker_registry.report_worker(conn, later, first)
    [seen] = worker_registry.list_workers(conn)
    assert (seen.jobs, seen.profile, worker_registry.model_version(conn)) == (5, later.profile, "toy.1")


def test_workers_are_listed_as_they_report_themselves(conn):
    worker_registry.report_worker(conn, info("b", started_at=2.0))
    worker_registry.report_worker(conn, info("a", state="ready", model_version="toy.1", jobs=3))
    first, second = worker_registry.list_workers(conn)
    assert (first.name, first.state, first.model_version, first.jobs, first.profile) == (
        "a",
        "ready",
        "toy.1",
        3,
        "toy",
    )
    assert (second.name, second.state, second.model_version) == ("b", "loading", "")
    assert abs(first.last_seen - time.time()) < 60
    assert 0 < conn.ttl("ris:worker:a") <= worker_registry.WORKER_TTL_S


def test_model_version_outlives_its_worker(conn):
    assert worker_registry.model_version(conn) is None
    worker_registry.report_worker(conn, info("a", state="ready", model_version="toy.1"))
    worker_registry.report_worker(conn, info("b", state="loading"))
    worker_registry.forget_worker(conn, "a")
    assert worker_registry.model_version(conn) == "toy.1"
    assert [worker.name for worker in worker_registry.list_workers(conn)] == ["b"]


def test_version_of_a_profile_is_what_its_worker_reported(conn):
    assert worker_registry.model_version(conn, "other") is None
    worker_registry.report_worker(conn, info("a", state="ready", model_version="toy.1"))
    worker_registry.report_version(conn, "other", "other.1")
    versions = [worker_registry.model_version(conn, profile) for profile in (None, "toy", "other")]
    assert versions == ["toy.1", "toy.1", "other.1"]


WORKERS = {
    "none was ever heard of": ([], [], "none"),
    "one loads": ([{"state": "loading"}], [], "loading"),
    "one is ready": ([{"state": "loading"}, {"state": "ready"}], [], "ready"),
    "one has just gone": ([{"state": "ready"}], ["ris:worker:*"], "loading"),
    "one has long gone": ([{"state": "ready"}], ["ris:worker:*", "ris:heard"], "none"),
}


@pytest.mark.parametrize(("reports", "gone", "state"), WORKERS.values(), ids=WORKERS)
def test_state_of_the_workers_tells_what_waiting_is_worth(conn, reports, gone, state):
    for i, fields in enumerate(reports):
        worker_registry.report_worker(conn, info(f"w{i}", **fields))
    assert all(0 < conn.ttl(key) <= worker_registry.WORKER_TTL_S for key in conn.keys("ris:heard"))
    for key in [key for pattern in gone for key in conn.keys(pattern)]:
        conn.delete(key)
    assert worker_registry.workers_state(conn) == state


READY = {"state": "ready"}
BUSY = {**READY, "encoding": "7/2", "encoding_since": 1_000.0, "encode_s": 40.0}
OWN = {**BUSY, "encoding": "7/1"}
ENCODING = {
    "nobody encodes": ([READY], None),
    "no worker is ready": ([{"state": "loading"}], None),
    "there is no worker": ([], None),
    "one encodes it": ([OWN], 30.0),
    "one encodes it, one is free": ([OWN, READY], 30.0),
    "one encodes another": ([BUSY], 70.0),
    "one of two is free": ([BUSY, READY], None),
    "all encode others": ([BUSY, {**BUSY, "encoding_since": 985.0}], 55.0),
    "it takes longer than it did": ([{**OWN, "encoding_since": 900.0}], 1.0),
    "how long is not known": ([{**OWN, "encode_s": 0.0}], math.inf),
}


@pytest.mark.parametrize(("reports", "left_s"), ENCODING.values(), ids=ENCODING)
def test_how_long_a_picture_will_be_encoded(conn, reports, left_s):
    for i, fields in enumerate(reports):
        worker_registry.report_worker(conn, info(f"w{i}", **fields))
    assert worker_registry.encoding_left_s(worker_registry.list_workers(conn), "7/1", 1_010.0) == left_s
