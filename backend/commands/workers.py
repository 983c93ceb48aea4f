"""`ris workers`: several workers on one machine, each in its own process, restarted when one ends."""

import os
import signal
import subprocess
import sys
import time
from typing import Annotated

import typer

from backend.base.errors import BadSettings

POLL_S = 0.5
"""Seconds between two looks at the processes."""
RESTART_S = 2.0
"""Seconds before a worker that ended is started again."""


def workers(
    count: Annotated[int, typer.Option(min=1, help="Number of workers, all on the device in DEVICE.")] = 1,
    per_gpu: Annotated[bool, typer.Option("--per-gpu", help="Run one worker on each GPU of this machine.")] = False,
) -> None:
    """Run several workers on this machine. When this command is stopped, they finish their current requests first."""
    devices = _list_gpus() if per_gpu else [os.environ.get("DEVICE", "auto")] * count
    is_stopping = False

    def stop(*_: object) -> None:
        nonlocal is_stopping
        is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    processes = [_start(device) for device in devices]
    for number, (device, process) in enumerate(zip(devices, processes, strict=True), 1):
        print(f"worker {number} of {len(devices)}: {device}, process {process.pid}", flush=True)
    while not is_stopping:
        for index, process in enumerate(processes):
            if process.poll() is not None and not is_stopping:
                print(f"worker {index + 1} ended with {process.returncode}; it is started again", file=sys.stderr)
                time.sleep(RESTART_S)
                processes[index] = _start(devices[index])
        time.sleep(POLL_S)
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def _start(device: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "backend", "worker"]
    # in a session of its own: Ctrl-C on the terminal would otherwise end the workers at once
    return subprocess.Popen(command, env={**os.environ, "DEVICE": device}, start_new_session=True)


def _list_gpus() -> list[str]:
    import torch

    number = torch.cuda.device_count()
    if not number:
        raise BadSettings(
            "torch finds no GPU on this machine.", "Leave out --per-gpu, or check the driver with `ris doctor`."
        )
    return [f"cuda:{i}" for i in range(number)]
