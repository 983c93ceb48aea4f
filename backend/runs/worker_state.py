"""The state of a process as a worker: its name, the items it works on, whether it stops. Jobs and the supervisor's thread share it."""

import threading


class WorkerState:
    """One process as a worker.

    Attributes:
        worker: Its name; empty in a process that is no worker.
        at_work: Run and task of each item that it has claimed.
        item_s: Seconds that its models took for the last item; None before the first.
    """

    def __init__(self) -> None:
        self.worker = ""
        self.at_work: set[tuple[str, int]] = set()
        self.item_s: float | None = None
        self._is_over = threading.Event()

    def begin(self, worker: str) -> None:
        """Begin work under this name."""
        self.worker = worker
        self._is_over.clear()

    def end(self) -> None:
        """Begin nothing more: the present item is the last."""
        self._is_over.set()

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be begun."""
        return self._is_over.is_set()
