"""The commands that `make demo` prints, run as they are printed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.settings.environment import DEMO_FILE, Settings
from demo import up
from demo.up import Demo

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
NAMES = {str(name) for field in Settings.model_fields.values() for name in field.validation_alias.choices}


def run(command: str, folder: Path, **env: str) -> subprocess.CompletedProcess:
    """Run a line in a folder, with no setting but those that it says itself; this tree's `ris`."""
    root = str(Path(__file__).parents[2])
    clean = {name: value for name, value in os.environ.items() if name not in NAMES}
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**clean, "PYTHONPATH": root, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_what_is_printed_works_as_printed(demo: Demo, state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    commands = up.list_commands(demo, state_dir)
    printed = up._describe(demo, state_dir)
    assert [line for line in commands if line not in printed] == []
    said = {}
    for command in commands:
        done = run(command, tmp_path)
        said[command] = f"{command}\n{done.stdout}{done.stderr}"
        assert (done.returncode, "not set" in done.stderr) == (0, False), said[command]
        assert demo.secrets.token not in said[command]
    assert "done" in said[commands[1]]
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "dataset").is_dir()
    assert "If these are right, `ris up` restarts the worker" not in said[commands[-1]]


def test_doctor_says_where_the_settings_come_from(demo: Demo, state_dir: Path, tmp_path: Path):
    done = run(f"{sys.executable} -m backend doctor --json", tmp_path, RIS_STATE_DIR=str(state_dir))
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert (found["LABEL_STUDIO_URL"]["value"], found["LABEL_STUDIO_URL"]["origin"]) == (demo.url, "the demo")
    assert found["RIS_PROFILE"]["value"] == "demo"
    assert [name for name, finding in found.items() if name.startswith("Worker ") and finding["state"] != "ok"] == []


def test_another_label_studio_is_not_mixed_with_the_demo(demo: Demo, state_dir: Path, tmp_path: Path):
    named = {"RIS_STATE_DIR": str(state_dir), "LABEL_STUDIO_URL": "http://127.0.0.1:1"}
    done = run(f"{sys.executable} -m backend doctor --json", tmp_path, **named)
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert (found["LABEL_STUDIO_API_KEY"]["value"], found["RIS_PROFILE"]["origin"]) == ("not set", "default")


def test_only_this_user_reads_the_settings(demo: Demo, state_dir: Path):
    assert (state_dir / DEMO_FILE).stat().st_mode & 0o077 == 0
