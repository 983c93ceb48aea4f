"""Writing files that appear whole or not at all, under names of their own until then."""

import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A new file in the same folder, that takes the place of `file` in the end, or goes if something is raised."""
    part = file.with_name(f".{uuid.uuid4().hex}.part")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield part
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def tidy_end() -> Iterator[None]:
    """What ends a process politely raises `SystemExit` in here, so that what is half written is cleared away first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: FrameType | None) -> None:
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)  # once is enough
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
