"""Logging: one line an event, key=value for people; secrets and bodies never reach it because nobody hands them over.

Values that callers chose are shortened and made printable, and a log that cannot be written stops nobody.
"""

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

LONGEST_VALUE = 500
"""Characters of one value that are logged: enough for an error and its remedy."""


def configure_logging(level: str) -> None:
    """Send everything at or above a level to standard error.

    Args:
        level: "DEBUG", "INFO", "WARNING" or "ERROR".
    """
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for chatty in ("httpx", "httpcore", "alembic", "urllib3"):
        logging.getLogger(chatty).setLevel("WARNING")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            tame,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, Lossy(sys.stderr))),  # it writes and flushes, no more
        cache_logger_on_first_use=True,
    )


def tame(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Shorten the values of an event, and write what does not print, as in escapes for a terminal, as Python would."""
    return {name: _tame(value) for name, value in event.items()}


class Lossy:
    """A text stream whose failures are nobody's: where the disk is full, work goes on without its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, or do not."""
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush, or do not."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def _tame(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_tame(item) for item in value]
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST_VALUE:
        value = f"{value[:LONGEST_VALUE]}… ({len(value)} characters)"
    return value if value.isprintable() else value.encode("unicode_escape").decode()
