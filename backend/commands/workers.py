"""`ris workers`: several workers on one machine, each in a process of its own, started again when one ends."""

import os
import signal
import subprocess
import sys
import time
from typing import Annotated

import typer

from backend.base.errors import BadSettings

POLL_S = 0.5
RESTART_S = 2.0
"""Pause before a worker that ended is started again."""


def workers(
    count: Annotated[int, typer.Option(min=1, help="How many, on DEVICE.")] = 1,
    per_gpu: Annotated[bool, typer.Option("--per-gpu", help="One for each GPU of this machine instead.")] = False,
) -> None:
    """Run several workers until told to stop; each finishes what it has in hand."""
    devices = _list_gpus() if per_gpu else [os.environ.get("DEVICE", "auto")] * count
    is_stopping = False

    def stop(*_: object) -> None:
        nonlocal is_stopping
        is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    running = [_start(device) for device in devices]
    for number, (device, process) in enumerate(zip(devices, running, strict=True), 1):
        typer.echo(f"worker {number} of {len(devices)}: {device}, process {process.pid}")
    while not is_stopping:
        for index, process in enumerate(running):
            if process.poll() is not None and not is_stopping:
                typer.echo(f"worker {index + 1} ended with {process.returncode}; it is started again", err=True)
                time.sleep(RESTART_S)
                running[index] = _start(devices[index])
        time.sleep(POLL_S)
    for process in running:
        process.terminate()
    for process in running:
        process.wait()


def _start(device: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "backend", "worker"]
    return subprocess.Popen(command, env={**os.environ, "DEVICE": device}, start_new_session=True)


def _list_gpus() -> list[str]:
    import torch

    number = torch.cuda.device_count()
    if not number:
        raise BadSettings(
            "torch finds no GPU on this machine. Leave --per-gpu out, or check the driver with `ris doctor`."
        )
    return [f"cuda:{i}" for i in range(number)]
