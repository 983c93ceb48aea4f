"""A worker's shift: its name, what it has in hand, and whether it was told to stop. Jobs and the steward's thread share it."""

import threading


class WorkerState:
    """One process's time as a worker.

    Attributes:
        worker: Its name; empty in a process that is none.
        at_work: Run and task of the item in hand.
    """

    def __init__(self) -> None:
        self.worker = ""
        self.at_work: tuple[str, int] | None = None
        self._is_over = threading.Event()

    def begin(self, worker: str) -> None:
        """Work begins under this name."""
        self.worker = worker
        self._is_over.clear()

    def end(self) -> None:
        """Begin nothing more: the item in hand is the last."""
        self._is_over.set()

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._is_over.is_set()
