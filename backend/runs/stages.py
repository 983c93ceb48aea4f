"""The stages of a worker's pipeline, and how long each is busy."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Stage = Literal["fetch", "model", "record"]


class StageTimes:
    """Seconds that each stage was busy. Each stage has a thread of its own.

    Attributes:
        busy_s: Seconds by stage, so far.
    """

    def __init__(self) -> None:
        self.busy_s: dict[Stage, float] = {"fetch": 0.0, "model": 0.0, "record": 0.0}

    @contextmanager
    def busy(self, stage: Stage) -> Iterator[None]:
        """Count the time in here."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.busy_s[stage] += time.perf_counter() - began
