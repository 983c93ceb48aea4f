"""Progress, step by step: "3/8 Backend … ok (0.4 s, already running)"."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from backend.base.terminal import Progress


@dataclass
class Step:
    """The step in progress.

    Attributes:
        note: What to print after the seconds if it succeeds.
    """

    number: int
    name: str
    note: str = ""


class Steps:
    """Numbers the steps of a fixed list and prints a line for each that has ended.

    Args:
        names: All steps, in order.
        out: Where to write; standard output if not given.
    """

    def __init__(self, names: Sequence[str], out: TextIO | None = None) -> None:
        self._names = list(names)
        self._out = out or sys.stdout
        self._number = 0

    @contextmanager
    def take(self, name: str) -> Iterator[Step]:
        """Run the next step; print whether it succeeded and how long it took. Errors pass through.

        Raises:
            ValueError: If another step is the next one.
        """
        expected = self._names[self._number] if self._number < len(self._names) else None
        if name != expected:
            raise ValueError(f"Step {name!r} is not the next one, which is {expected!r}.")
        self._number += 1
        step = Step(self._number, name)
        title = f"{step.number}/{len(self._names)} {name}"
        started_s = time.monotonic()
        try:
            with Progress(title):
                yield step
        except BaseException:
            self._write(f"{title} … failed ({time.monotonic() - started_s:.1f} s)")
            raise
        note = f", {step.note}" if step.note else ""
        self._write(f"{title} … ok ({time.monotonic() - started_s:.1f} s{note})")

    def _write(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()
