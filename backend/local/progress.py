"""Progress, step by step: "3/8 Backend … ok (0.4 s, already running)"."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO


@dataclass
class Step:
    """The step at work.

    Attributes:
        note: What to say about it besides that it went well.
    """

    number: int
    name: str
    note: str = ""


class Steps:
    """Numbers the steps of a known list as they are taken.

    Args:
        names: All steps, in order.
        out: Where to write; standard output if not given.
    """

    def __init__(self, names: Sequence[str], out: TextIO | None = None) -> None:
        self._names = list(names)
        self._out = out or sys.stdout
        self._taken = 0

    @contextmanager
    def take(self, name: str) -> Iterator[Step]:
        """Announce the next step, then say how it went and how long it took; errors pass through.

        Raises:
            ValueError: If it is not this step's turn.
        """
        expected = self._names[self._taken] if self._taken < len(self._names) else None
        if name != expected:
            raise ValueError(f"Step {name!r} is not the next one, which is {expected!r}.")
        self._taken += 1
        step = Step(self._taken, name)
        self._write(f"{step.number}/{len(self._names)} {name} … ")
        started_s = time.monotonic()
        try:
            yield step
        except BaseException:
            self._write(f"failed ({time.monotonic() - started_s:.1f} s)\n")
            raise
        note = f", {step.note}" if step.note else ""
        self._write(f"ok ({time.monotonic() - started_s:.1f} s{note})\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
