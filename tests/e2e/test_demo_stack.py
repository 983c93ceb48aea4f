"""`make demo` a second time, and after an accident."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend.base import processes
from backend.label_studio.client import LabelStudioClient
from demo import label_studio, review
from demo.gallery import GALLERY
from demo.up import REVIEW, STEPS, Demo, decode_mask, measure_overlap

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


def test_killed_worker_is_replaced_and_answers(demo: Demo, client: LabelStudioClient, state_dir: Path):
    supervisor = processes.find("worker", state_dir)
    killed = processes.find_supervised(supervisor, state_dir)
    os.kill(killed.pid, signal.SIGKILL)
    exhibit = GALLERY[1]
    [region] = label_studio.ask(client, demo.backend, demo.tasks[exhibit], exhibit.expression)
    assert measure_overlap(decode_mask(region), exhibit.truth()) >= 0.8
    assert processes.find_supervised(supervisor, state_dir).pid != killed.pid
    assert processes.find("worker", state_dir) == supervisor


def test_second_start_reuses_everything_and_has_corrections_to_review(
    demo: Demo, client: LabelStudioClient, state_dir: Path
):
    before = {child.name: child.pid for child in processes.children(state_dir)}
    command = [sys.executable, "-m", "demo.up", "--state-dir", str(state_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {child.name: child.pid for child in processes.children(state_dir)} == before
    lines = done.stdout.splitlines()
    assert [line.split(" … ")[0] for line in lines[: len(STEPS)]] == [
        f"{i}/9 {name}" for i, name in enumerate(STEPS, 1)
    ]
    project = review.find(client)
    assert lines[len(STEPS)].startswith(f"9/9 {REVIEW} … ok")
    assert f"{demo.backend_url}/ui/projects/{project}\n" in done.stdout
    assert f"project {project}: 24 tasks with proposals, 20 annotated" in done.stdout
    stats = [sys.executable, "-m", "backend", "corrections", "stats", "--project", str(project), "--json"]
    own = {**os.environ, "RIS_STATE_DIR": str(state_dir)}
    told = subprocess.run(stats, cwd=ROOT, env=own, capture_output=True, text=True, timeout=120, check=True).stdout
    assert '"accepted"' in told
    assert '"edited"' in told
    assert all("already" in line for line in lines[:6])
    for said in (demo.url, label_studio.EMAIL, demo.secrets.password, *(exhibit.expression for exhibit in GALLERY[:3])):
        assert said in done.stdout
