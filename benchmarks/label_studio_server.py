"""A real Label Studio of a benchmark's own, that may be stopped hard and started again."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from backend.base import processes
from backend.local import stack
from demo import label_studio

START_TIMEOUT_S = 300.0
"""How long Label Studio may take to make its database."""


@dataclass(frozen=True)
class LabelStudioServer:
    """Label Studio as it runs.

    Attributes:
        restart: Stops it hard, and starts it.
    """

    url: str
    token: str
    restart: Callable[[], None]


@contextmanager
def running(folder: Path, address: str | None = None) -> Iterator[LabelStudioServer]:
    """Label Studio with its data in a folder, on loopback or on another address of this host; stopped in the end.

    Raises:
        Unreachable: If it is not installed, or does not start.
    """
    known, port = label_studio.load_secrets(folder), processes.free_port()
    program = label_studio.make_program(port, known, folder)
    if address:
        url = f"http://{address}:{port}"
        command = tuple(address if part == "127.0.0.1" else part for part in program.command)
        program = replace(program, command=command, address=url, env={**program.env, "LABEL_STUDIO_HOST": url})

    def start() -> None:
        child = processes.launch(program, folder)
        processes.wait_until_ready(child, lambda: stack.answers(f"{child.address}/health"), START_TIMEOUT_S)

    def restart() -> None:
        child = processes.find(program.name, folder)
        if child and child.is_running:
            os.killpg(child.pid, signal.SIGKILL)
            while child.is_running:  # else it would be taken for the one that is started
                time.sleep(processes.POLL_S)
        start()

    try:
        start()
        yield LabelStudioServer(program.address, known.token, restart)
    finally:
        list(stack.down(folder))
