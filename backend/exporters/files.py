"""Files that appear whole or not at all: written under another name, and renamed at the end."""

import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

END_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A new file in the same folder, renamed to `file` at the end, or deleted if an exception is raised."""
    part = file.with_name(f".{uuid.uuid4().hex}.part")
    # not a temporary file of mode 0600: the final file gets the permissions of any new file
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield part
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Within this context SIGTERM and SIGHUP raise `SystemExit`, so that half-written files are deleted before the process ends."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs signal handlers in the main thread only
        return

    def end(number: int, _: FrameType | None) -> None:
        for each in END_SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # a second signal must not interrupt the clean-up
        sys.exit(128 + number)

    handlers = {number: signal.signal(number, end) for number in END_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
