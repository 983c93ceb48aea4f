"""What was fetched or drawn last, so that it need not be again."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable


class KeptBytes:
    """Bytes by their keys, those that were used last. Threads may share it.

    Args:
        most: Bytes of all of them together; what has more alone is not kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """What is kept under a key, else what is made; errors of making it are passed on, and nothing is kept then."""
        if (kept := self.find(key)) is not None:
            return kept
        made = make()
        self.keep(key, made)
        return made

    def find(self, key: Hashable) -> bytes | None:
        """What is kept under a key; None if nothing is."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, value: bytes) -> None:
        """Keep something, and drop what was not used for the longest time."""
        if len(value) > self._most:
            return
        with self._lock:
            self._size += len(value) - len(self._kept.pop(key, b""))
            self._kept[key] = value
            while self._size > self._most:
                _, dropped = self._kept.popitem(last=False)
                self._size -= len(dropped)
