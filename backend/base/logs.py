"""Logging: one line an event, key=value for people; bodies never reach it because nobody hands them over.

Whatever is written goes through `redaction.hide` first: our own events, the lines of libraries, and tracebacks, also those that
end a process or a thread. Values that callers chose are shortened and made printable, and a log that cannot be written stops
nobody.
"""

import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

from backend.base.redaction import hide

LONGEST_VALUE = 500
"""Characters of one value that are logged: enough for an error and its remedy."""


def configure_logging(level: str) -> None:
    """Send everything at or above a level to standard error.

    Args:
        level: "DEBUG", "INFO", "WARNING" or "ERROR".
    """
    stream = cast(TextIO, Discreet(sys.stderr))  # it writes and flushes, no more
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=stream)
    logging.getLogger().setLevel(level)
    logging.captureWarnings(True)
    for chatty in ("httpx", "httpcore", "alembic", "urllib3"):
        logging.getLogger(chatty).setLevel("WARNING")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide_secrets,  # before values are cut short: half a secret would not be known
            tame,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )


def report_crashes() -> None:
    """Have errors that end this process, or one of its threads, written without secrets."""

    def write(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        Discreet(sys.stderr).write("".join(traceback.format_exception(kind, error, trace)))

    def write_thread(crash: threading.ExceptHookArgs) -> None:
        if crash.exc_type is not SystemExit:
            write(crash.exc_type, crash.exc_value, crash.exc_traceback)

    sys.excepthook = write
    threading.excepthook = write_thread


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blot secrets out of the values of an event, however deep they are in it."""
    return {name: _hide(value) for name, value in event.items()}


def tame(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Shorten the values of an event, and write what does not print, as in escapes for a terminal, as Python would."""
    return {name: _tame(value) for name, value in event.items()}


class Discreet:
    """A text stream that shows no secret, and whose failures are nobody's: where the disk is full, work goes on without its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, or do not."""
        with contextlib.suppress(OSError, ValueError):  # full, or closed
            self._stream.write(hide(text))

    def flush(self) -> None:
        """Flush, or do not."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _hide(value: Any) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {_hide(key): _hide(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hide(item) for item in value]
    return value  # the stream sees what is written of it


def _tame(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_tame(item) for item in value]
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST_VALUE:
        value = f"{value[:LONGEST_VALUE]}… ({len(value)} characters)"
    return value if value.isprintable() else value.encode("unicode_escape").decode()
