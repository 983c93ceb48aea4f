"""What was fetched or drawn last, so that it need not be again."""

import contextlib
import threading
from collections.abc import Callable, Hashable

from cachetools import LRUCache


class KeptBytes:
    """Bytes by their keys, those that were used last. Threads may share it.

    Args:
        most: Bytes of all of them together; what has more alone is not kept.
    """

    def __init__(self, most: int) -> None:
        self._kept: LRUCache[Hashable, bytes] = LRUCache(most, getsizeof=len)
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """What is kept under a key, else what is made; errors of making it are passed on, and nothing is kept then."""
        if (kept := self.find(key)) is not None:
            return kept
        made = make()  # outside the lock: others need not wait for it
        self.keep(key, made)
        return made

    def find(self, key: Hashable) -> bytes | None:
        """What is kept under a key; None if nothing is."""
        with self._lock:
            return self._kept.get(key)

    def keep(self, key: Hashable, value: bytes) -> None:
        """Keep something, and drop what was not used for the longest time."""
        with self._lock, contextlib.suppress(ValueError):  # of what has more than all may
            self._kept[key] = value
