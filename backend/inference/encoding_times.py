"""How long a worker's last encodings took, and which picture it encodes now: so that whoever waits can be told."""

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LAST = 9
"""Encodings that the median is taken of."""


def picture_key(project: int | None, task: str) -> str:
    """The picture of a task, as workers name what they encode."""
    return f"{project or ''}/{task}"


class EncodingTimes:
    """Tells of each encoding when it begins and when it is over.

    Attributes:
        tell: Called with the fields of `worker_registry.WorkerInfo` that change.
    """

    def __init__(self) -> None:
        self.tell: Callable[..., None] = lambda **changes: None
        self._last_s: deque[float] = deque(maxlen=LAST)

    @contextmanager
    def encoding(self, picture: str, is_whole: bool = True) -> Iterator[None]:
        """A picture is encoded in here.

        Args:
            picture: Its `picture_key`.
            is_whole: It is encoded for expressions. What clicks need takes less, and does not count.
        """
        began = time.time()
        self.tell(encoding=picture, encoding_since=began)
        try:
            yield
            if is_whole:
                self._last_s.append(time.time() - began)
        finally:
            known = {"encode_s": statistics.median(self._last_s)} if self._last_s else {}
            self.tell(encoding="", encoding_since=0.0, **known)
