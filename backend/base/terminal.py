"""What people see on a terminal: tables, and how far work is. Where the output goes to a file or a pipe, plain text.

Names and texts that others chose are never read as markup: cells are `rich.text.Text`, and control characters are escaped.
"""

import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from rich import progress as rich_progress
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Column as RichColumn
from rich.table import Table
from rich.text import Text

from ris_core.output.plain_text import one_line

FIRST_LINE_S = 2.0
"""Work that ends sooner prints no line of progress to a file or a pipe."""
BAR_AFTER_S = 0.5
"""Work that ends sooner shows no bar on a terminal, where it would only flicker."""
EVERY_S = 5.0
"""Seconds between two lines of progress in a file or a pipe."""
BAR_WIDTH = 20
"""Columns of a terminal."""
GAP = 2
"""Blanks between two columns of a table."""
_UNLIMITED = 100_000
"""Columns of a table that is piped: no cell is wrapped or cut."""

Cell = str | Text


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        is_fixed: Kept as wide as its longest cell while other columns can be wrapped.
        is_number: Aligned to the right, and fixed.
        width: Least width, for tables that are printed row by row.
    """

    title: str = ""
    is_fixed: bool = False
    is_number: bool = False
    width: int = 0


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], has_header: bool = True) -> None:
    """Print rows in aligned columns on standard output: wrapped to the terminal's width, or in full where it is piped."""
    texts = [[_as_text(cell) for cell in row] for row in rows]
    table = Table(box=None, padding=(0, GAP // 2), pad_edge=False, show_header=has_header, header_style="bold")
    for column, width in zip(columns, _natural_widths(columns, texts, has_header), strict=True):
        table.add_column(
            _as_text(column.title),
            justify="right" if column.is_number else "left",
            overflow="fold",  # rich would cut long words off
            width=width if column.is_fixed or column.is_number else None,
            min_width=column.width or None,
        )
    for row in texts:
        table.add_row(*row)
    stream = sys.stdout
    console = _console(stream)
    with console.capture() as capture:
        console.print(table)
    # rich fills every line up to the width of the table
    stream.write("\n".join(line.rstrip() for line in capture.get().split("\n")))


def fits(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> bool:
    """Whether a table needs no wrapped cell on standard output."""
    texts = [[_as_text(cell) for cell in row] for row in rows]
    widths = _natural_widths(columns, texts, has_header=True)
    return sum(widths) + GAP * (len(widths) - 1) <= _console(sys.stdout).width


def is_watched() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


class Progress:
    """Says on standard error how far work is, from `__enter__` to `__exit__`.

    On a terminal, a moving line that goes away in the end. Elsewhere a line every few seconds, and none for work that is quick.

    Args:
        text: What is done, as in "Loading the models".
        unit: What is counted, in the plural.
    """

    def __init__(self, text: str, unit: str = "") -> None:
        self._text, self._unit = text, unit
        self._done: float | None = None
        self._total: float | None = None
        self._started_s = self._counted_from_s = time.monotonic()
        self._counted_from: float = 0  # what an earlier run had done says nothing about the speed of this one
        self._display: _Bar | _Lines | None = None

    def __enter__(self) -> "Progress":
        stream = sys.stderr
        self._display = _Bar(self, stream) if stream.isatty() else _Lines(self, stream)
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display:
            self._display.stop()

    def say(self, text: str) -> None:
        """Begin another part of the work, of which nothing is counted yet."""
        self._text, self._done, self._total = text, None, None
        self._started_s = time.monotonic()

    def count(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """So many units are done, of `total` if that is known; of another part of the work if there is another `text`."""
        if text is not None and text != self._text:
            self.say(text)
        if self._done is None:
            self._counted_from, self._counted_from_s = done, time.monotonic()
        self._done, self._total = done, total

    @property
    def share(self) -> tuple[float, float | None]:
        """What is done, and of how much; None if that is not known."""
        return self._done or 0, self._total

    def __str__(self) -> str:
        """One line without control characters: "Evaluating: 30 of 120 images, 1:10 min to go"."""
        text = one_line(self._text)
        if self._done is None:
            return f"{text} … {_clock(time.monotonic() - self._started_s)}"
        unit = f" {self._unit}" if self._unit else ""
        if not self._total:
            return f"{text}: {self._done:,.0f}{unit}"
        remaining = "" if (seconds := self._remaining_s()) is None else f", {_clock(seconds)} to go"
        return f"{text}: {self._done:,.0f} of {self._total:,.0f}{unit}{remaining}"

    def _remaining_s(self) -> float | None:
        if self._done is None or not self._total or self._done <= self._counted_from:
            return None
        per_unit_s = (time.monotonic() - self._counted_from_s) / (self._done - self._counted_from)
        return per_unit_s * max(0.0, self._total - self._done)


class _Bar:
    """A line that moves on a terminal: with a bar where the total is known."""

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        text = _ProgressText(progress)
        self._rich = rich_progress.Progress(
            rich_progress.SpinnerColumn("line"),  # plain ASCII, for terminals that are not UTF-8
            _ShareBar(BAR_WIDTH),
            text,
            console=_console(stream),
            transient=True,
            redirect_stdout=False,  # it would send what is printed to standard error
        )
        self._rich.add_task("", total=None)
        self._timer = threading.Timer(BAR_AFTER_S, self._rich.start)
        self._timer.daemon = True

    def start(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        self._timer.cancel()
        self._timer.join()  # it may be starting the bar right now
        self._rich.stop()


class _ShareBar(rich_progress.BarColumn):
    """A bar for what is counted; nothing where the total is not known, instead of rich's moving pulse."""

    def render(self, task: rich_progress.Task) -> ProgressBar | Text:  # type: ignore[override]
        return super().render(task) if task.total else Text()


class _ProgressText(rich_progress.ProgressColumn):
    """The line of a progress beside its bar; moves the bar too, so that only rich's thread draws."""

    max_refresh = None

    def __init__(self, progress: Progress) -> None:
        super().__init__(RichColumn(no_wrap=True, overflow="ellipsis"))
        self._progress = progress

    def render(self, task: rich_progress.Task) -> Text:
        task.completed, task.total = self._progress.share
        return Text(str(self._progress))


class _Lines:
    """A line every few seconds where no terminal is."""

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        self._progress, self._stream = progress, stream
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._print, daemon=True)
        self._has_printed = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._has_ended.set()
        self._thread.join()
        done, total = self._progress.share
        if self._has_printed and total and done >= total:
            self._write()

    def _print(self) -> None:
        pause_s = FIRST_LINE_S
        while not self._has_ended.wait(pause_s):
            self._write()
            self._has_printed, pause_s = True, EVERY_S

    def _write(self) -> None:
        print(self._progress, file=self._stream, flush=True)


def _console(stream: TextIO) -> Console:
    """A console that finds no markup in texts, and puts nothing but text into files and pipes, whatever FORCE_COLOR says."""
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=is_terminal,
        color_system="auto" if is_terminal else None,
        width=None if is_terminal else _UNLIMITED,
        markup=False,
        emoji=False,
        highlight=False,
    )


def _natural_widths(columns: Sequence[Column], rows: Sequence[Sequence[Text]], has_header: bool) -> list[int]:
    """The widths at which no cell is wrapped."""
    headings = [_as_text(column.title).cell_len if has_header else 0 for column in columns]
    return [
        max([heading, column.width, *(row[index].cell_len for row in rows)])
        for index, (column, heading) in enumerate(zip(columns, headings, strict=True))
    ]


def _as_text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(one_line(cell))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"
