"""Keeps the list of regions up to date while somebody looks: a little with each page, and what takes long beside them."""

import threading

import structlog

from backend.corrections.store import CorrectionStore
from backend.review.listing import refresh
from ris_core.errors import RisError

log = structlog.get_logger(__name__)

PAGE_S = 0.3
"""How long a page waits for tasks to be listed."""


class Lister:
    """Lists noted tasks. Threads may share it."""

    def __init__(self, correction_store: CorrectionStore) -> None:
        self._correction_store = correction_store
        self._busy: set[int] = set()
        self._lock = threading.Lock()

    def catch_up(self, project: int) -> int:
        """List the noted tasks of a project; returns how many wait still, which are listed meanwhile."""
        with self._lock:
            is_busy = project in self._busy
        waiting = refresh(self._correction_store, project, 0.0 if is_busy else PAGE_S)
        if waiting:
            with self._lock:
                is_new = project not in self._busy
                self._busy.add(project)
            if is_new:
                threading.Thread(target=self._go_on, args=(project,), name="region-lister", daemon=True).start()
        return waiting

    def _go_on(self, project: int) -> None:
        try:
            refresh(self._correction_store, project)
        except RisError as error:  # the next page tries again
            log.warning("regions are not listed now", project=project, error=str(error))
        finally:
            with self._lock:
                self._busy.discard(project)
