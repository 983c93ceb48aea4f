"""The last stage of a worker's pipeline: cleans and records the answers to one item while the model is at work on the next."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from backend.runs.item import RunItem


class Recorder:
    """Does the last of the work on one item at a time in a thread; so no more than one waits to be recorded.

    Args:
        on_failure: Called, in the thread of `settle`, with an item and why its work failed.
        on_end: Called with each item whose work is over.
    """

    def __init__(self, on_failure: Callable[[RunItem, Exception], object], on_end: Callable[[RunItem], object]) -> None:
        self._on_failure, self._on_end = on_failure, on_end
        self._pending: tuple[RunItem, Future[None]] | None = None
        self._thread = ThreadPoolExecutor(1, "record")

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.settle()
        finally:
            self._thread.shutdown(wait=False)

    def submit(self, item: RunItem, record: Callable[[], None]) -> None:
        """Have an item recorded, after the former one is."""
        self.settle()
        self._pending = item, self._thread.submit(record)

    def settle(self) -> None:
        """Wait until the former item is recorded, or why it could not be.

        Raises:
            Unreachable: As `on_failure` raises it.
        """
        if self._pending is None:
            return
        (item, recorded), self._pending = self._pending, None
        try:
            recorded.result()
        except Exception as error:
            self._on_failure(item, error)
        finally:
            self._on_end(item)
