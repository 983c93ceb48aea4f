"""Keeps the list of regions up to date while somebody looks: a little with each page, and what takes long beside them."""

import threading
import time

import structlog

from backend.corrections.store import CorrectionStore
from backend.review.listing import refresh
from backend.review.suspects import has_unscored, score_listed
from ris_core.errors import RisError

log = structlog.get_logger(__name__)

PAGE_S = 0.3
"""How long a page waits for tasks to be listed, and for regions to be scored."""
REST = 20
"""A project is not scored anew before so many times the seconds that it took have passed."""


class Lister:
    """Lists noted tasks, and scores what has no score of suspicion. Threads may share it."""

    def __init__(self, correction_store: CorrectionStore) -> None:
        self._correction_store = correction_store
        self._busy: set[int] = set()
        self._rests_until: dict[int, float] = {}
        self._lock = threading.Lock()

    def catch_up(self, project: int) -> int:
        """List the noted tasks of a project; returns how many wait still, which are listed meanwhile."""
        with self._lock:
            is_busy = project in self._busy
        waiting = refresh(self._correction_store, project, 0.0 if is_busy else PAGE_S)
        if not is_busy and (waiting or self._is_to_score(project)):
            with self._lock:
                is_new = project not in self._busy
                self._busy.add(project)
            if is_new:
                thread = threading.Thread(target=self._go_on, args=(project,), name="region-lister", daemon=True)
                thread.start()
                thread.join(0.0 if waiting else PAGE_S)
        return waiting

    def _go_on(self, project: int) -> None:
        try:
            refresh(self._correction_store, project)
            if self._is_to_score(project):
                began = time.monotonic()
                score_listed(self._correction_store, project)
                ended = time.monotonic()
                self._rests_until[project] = ended + REST * (ended - began)
        except RisError as error:  # the next page tries again
            log.warning("regions are not listed now", project=project, error=str(error))
        finally:
            with self._lock:
                self._busy.discard(project)

    def _is_to_score(self, project: int) -> bool:
        if time.monotonic() < self._rests_until.get(project, 0.0):
            return False
        with self._correction_store.reading() as db:
            return has_unscored(db, project)
