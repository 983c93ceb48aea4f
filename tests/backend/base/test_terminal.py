"""Tables and progress: on a terminal of 80 columns, and in a pipe."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from rich.text import Text

from backend.base import terminal
from backend.base.terminal import Column, Progress, fits, print_table

COLUMNS = (Column("run", is_fixed=True), Column("tasks", is_number=True), Column("asks"))
END = b"\0"
LONG = "the dog left of the red car " * 8


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], None]], str]]:
    """Runs something with both streams on a terminal of 80 columns; what the terminal received."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    received = bytearray()

    def read() -> None:
        while not received.endswith(END):
            received.extend(os.read(reader, 4096))

    def run(work: Callable[[], None]) -> str:
        listener = threading.Thread(target=read)
        listener.start()  # beside the work: a terminal takes no more than is read from it
        with os.fdopen(writer, "w", encoding="utf-8", closefd=False) as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            patch.setattr(sys, "stderr", stream)
            work()
            stream.write(END.decode())
        listener.join(10)
        return received.removesuffix(END).decode()

    yield run
    os.close(reader)
    os.close(writer)


def test_a_piped_table_is_plain_and_complete(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_table(COLUMNS, [("3c56", "1,000", LONG), (Text("a", "red"), "2", "x" * 300)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["run   tasks  asks", f"3c56  1,000  {LONG.strip()}", f"a         2  {'x' * 300}"]


def test_what_others_wrote_is_no_markup_and_commands_no_terminal(capsys):
    print_table(COLUMNS, [("[red]a[/red]", "1", "\x1b[2J\u202e:smile:\n")])
    assert capsys.readouterr().out.splitlines()[1] == r"[red]a[/red]      1  \x1b[2J\u202e:smile:\n"


def test_long_values_are_wrapped_on_a_terminal_and_nothing_is_lost(on_terminal):
    words = [f"word{number}" for number in range(40)]
    shown = on_terminal(lambda: print_table(COLUMNS, [("3c56", "1,000", f"{' '.join(words)} {'x' * 200}")]))
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown).split("\r\n")
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("3c56  1,000  word0 word1")
    assert [word for word in words if not re.search(rf"\b{word}\b", shown)] == []
    assert shown.count("x") == 200


def test_a_table_fits_if_no_cell_is_wrapped(on_terminal):
    answers = []
    on_terminal(lambda: answers.extend(fits(COLUMNS, [("3c56", "1", "x" * width)]) for width in (67, 68)))
    assert answers == [True, False]


def test_quick_work_says_nothing_in_a_pipe(capsys):
    with Progress("Loading"):
        pass
    assert capsys.readouterr() == ("", "")


def test_long_work_says_a_line_now_and_then_in_a_pipe(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "FIRST_LINE_S", 0.05)
    monkeypatch.setattr(terminal, "EVERY_S", 60.0)
    with Progress("Evaluating", "images") as progress:
        progress.count(1_000, 1_200)
        time.sleep(0.3)
        progress.count(1_200, 1_200)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "Evaluating: 1,000 of 1,200 images\nEvaluating: 1,200 of 1,200 images, 0 s to go\n")


def test_the_remaining_time_counts_only_what_was_done_now(monkeypatch):
    now = 0.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    progress = Progress("Evaluating", "images")
    progress.count(900, 1_000)  # by an earlier run
    now = 20.0
    progress.count(910, 1_000)
    assert str(progress) == "Evaluating: 910 of 1,000 images, 3:00 min to go"
    progress.say("Writing\x1b[2J")
    now = 25.0
    assert str(progress) == r"Writing\x1b[2J … 5 s"


@pytest.mark.parametrize("error", [None, OSError("disk full")], ids=["ends well", "fails"])
def test_a_bar_moves_on_a_terminal_and_goes_away(on_terminal, monkeypatch, error):
    monkeypatch.setattr(terminal, "BAR_AFTER_S", 0.05)

    def work() -> None:
        try:
            with Progress("Downloading sam", "MB") as progress:
                progress.count(120, 375)
                time.sleep(0.3)
                if error:
                    raise error
        except OSError:
            pass
        print("end")

    shown = on_terminal(work)
    assert "Downloading sam: 120 of 375 MB" in shown
    assert shown.endswith("\x1b[2Kend\r\n")
    assert "\x1b[?25h" in shown  # the cursor is shown again


def test_quick_work_shows_no_bar_on_a_terminal(on_terminal):
    def work() -> None:
        with Progress("Loading"):
            pass

    assert on_terminal(work) == ""
