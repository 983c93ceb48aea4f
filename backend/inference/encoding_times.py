"""How long a worker's last encodings took, and which picture it encodes now: so that whoever waits can be told."""

import statistics
import time
from collections import Counter, deque
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
        keep: Called with a profile, the median of its last encodings in seconds, and how many these were: after the first, and
            once there are enough for a steady median.
    """

    def __init__(self) -> None:
        self.tell: Callable[..., None] = lambda **changes: None
        self.keep: Callable[[str, float, int], None] = lambda profile, median_s, images: None
        self._last_s: dict[str, deque[float]] = {}
        self._images: Counter[str] = Counter()

    @contextmanager
    def encoding(self, picture: str, profile: str = "") -> Iterator[None]:
        """A picture is encoded in here.

        Args:
            picture: Its `picture_key`.
            profile: Whose models encode it for expressions. Empty for what clicks need, which takes less and does not count.
        """
        began = time.time()
        known: dict[str, float] = {}
        self.tell(encoding=picture, encoding_since=began)
        try:
            yield
            if profile:
                known["encode_s"] = self._count(profile, time.time() - began)
        finally:
            self.tell(encoding="", encoding_since=0.0, **known)

    def _count(self, profile: str, seconds: float) -> float:
        """Count an encoding; the median of the profile's last ones."""
        last_s = self._last_s.setdefault(profile, deque(maxlen=LAST))
        last_s.append(seconds)
        self._images[profile] += 1
        median_s = statistics.median(last_s)
        if self._images[profile] in (1, LAST):
            self.keep(profile, median_s, len(last_s))
        return median_s
