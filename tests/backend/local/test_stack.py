"""What needs no models; the whole stack is started in tests/e2e."""

import io
import socket
from pathlib import Path

import pytest

from backend.base import processes
from backend.base.errors import BadSettings, Unreachable
from backend.local import stack
from backend.local.progress import Steps
from backend.settings.environment import Settings
from backend.transport import redis_server

pytestmark = pytest.mark.slow


def test_environment_gives_a_child_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # away from any .env
    given = {
        "BASIC_AUTH_PASS": "hunter2",
        "IMAGE_HOSTS": "a.example,b.example:81",
        "RIS_STATE_DIR": tmp_path,
        "PORT": 9123,
    }
    settings = Settings(**given)
    variables = stack.environment(settings)
    for name in variables:
        monkeypatch.setenv(name, variables[name])
    assert Settings() == settings


def test_environment_leaves_unset_settings_out():
    assert "REDIS_URL" not in stack.environment(Settings(REDIS_URL=None))


def test_host_that_others_reach_needs_credentials(tmp_path: Path):
    settings = Settings(HOST="0.0.0.0", RIS_STATE_DIR=tmp_path, BASIC_AUTH_USER=None)
    with pytest.raises(BadSettings, match="BASIC_AUTH_USER"):
        stack.up(settings, Steps(stack.STEPS, io.StringIO()))


def test_taken_port_is_an_error_that_names_it(tmp_path: Path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(BadSettings, match=f"Port {port} is taken"):
            stack.up(Settings(PORT=port, RIS_STATE_DIR=tmp_path), Steps(stack.STEPS, io.StringIO()))
        assert not (tmp_path / "run").exists()
        assert not redis_server.is_running(tmp_path)


def test_down_stops_redis_and_every_child(tmp_path: Path):
    redis_server.ensure(None, tmp_path)
    child = processes.launch(processes.Program("sleeper", ("sleep", "60")), tmp_path)
    assert list(stack.down(tmp_path)) == ["sleeper", "redis"]
    assert not child.is_running
    assert not redis_server.is_running(tmp_path)


def test_down_where_nothing_runs_stops_nothing(tmp_path: Path):
    assert list(stack.down(tmp_path / "absent")) == []


def test_only_one_start_at_a_time(tmp_path: Path):
    with stack.lock(tmp_path), pytest.raises(Unreachable, match="under way"), stack.lock(tmp_path):
        pass


def test_code_version_changes_with_the_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "backend").mkdir()
    module = tmp_path / "backend" / "app.py"
    module.write_text("one")
    monkeypatch.setattr(stack, "_ROOT", tmp_path)
    before = stack.code_version()
    module.write_text("two")
    assert stack.code_version() != before
