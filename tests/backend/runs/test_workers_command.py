"""`ris workers`: as many processes as asked for, started again when one ends, all told to stop."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend.base.errors import BadSettings
from backend.commands import workers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
WITH_SLEEPERS = """
import subprocess
from backend.commands import workers
workers._start = lambda device: subprocess.Popen(["sleep", "60"])
workers.RESTART_S = 0.0
workers.workers(count=2, per_gpu=False)
"""


def test_workers_are_started_replaced_and_stopped():
    command = [sys.executable, "-u", "-c", WITH_SLEEPERS]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "DEVICE": "cpu"}, **pipes) as process:
        first, second = process.stdout.readline(), process.stdout.readline()
        assert (first.split()[:5], second.split()[4]) == (["worker", "1", "of", "2:", "cpu,"], "cpu,")
        os.kill(int(first.split()[-1]), signal.SIGKILL)
        assert "worker 1 ended with -9; it is started again" in process.stderr.readline()
        process.terminate()
        assert process.wait(30) == 0


def test_per_gpu_starts_one_for_each(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert workers._list_gpus() == ["cuda:0", "cuda:1", "cuda:2"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BadSettings, match="--per-gpu"):
        workers._list_gpus()
