"""A thread beside a worker's jobs that keeps the correction store up to date."""

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
import structlog

from backend.corrections.reconciler import reconcile
from backend.corrections.store import CorrectionStore
from backend.db.tables import connection
from backend.label_studio.client import LabelStudioClient
from ris_core.errors import RisError

log = structlog.get_logger(__name__)

READ_EVERY_S = 2.0
"""How often new events are looked for."""
RECONCILE_EVERY_S = 120.0
"""How often Label Studio's API is asked for changes whose events were lost."""
EVENTS_AT_ONCE = 20
"""Events that are read without a pause."""
PAUSE_S = 0.05
"""Pause after them, so that webhooks can be stored: SQLite has one writer at a time, and Label Studio waits one second."""
JOIN_S = 10.0
"""How long the end of the thread is waited for."""


class CorrectionSync:
    """A context in which a thread reads events and reconciles. Every worker may have one: each fact is added once.

    Args:
        open_store: Opens the correction store; called in the thread, so that a worker does not wait for it.
        open_studio: Opens Label Studio for a project, or raises `BadSettings`.
    """

    def __init__(
        self, open_store: Callable[[], CorrectionStore], open_studio: Callable[[int], LabelStudioClient]
    ) -> None:
        self._open_store, self._open_studio = open_store, open_studio
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="correction-sync", daemon=True)

    def __enter__(self) -> "CorrectionSync":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        correction_store: CorrectionStore | None = None
        reconciled_at = time.monotonic()
        while not self._stop.wait(READ_EVERY_S):
            try:
                correction_store = correction_store or self._open_store()
                self._read(correction_store)
                if time.monotonic() - reconciled_at > RECONCILE_EVERY_S:
                    reconciled_at = time.monotonic()
                    self._reconcile(correction_store)
            except RisError as error:
                log.warning("corrections are not read now, and will be tried again", error=str(error))
            except Exception:
                log.exception("unexpected")  # the thread must outlive any error: nobody would start it again

    def _read(self, correction_store: CorrectionStore) -> None:
        while correction_store.read_events(EVENTS_AT_ONCE) == EVENTS_AT_ONCE and not self._stop.wait(PAUSE_S):
            pass

    def _reconcile(self, correction_store: CorrectionStore) -> None:
        with correction_store.reading() as db:
            projects = list(db.scalars(sa.select(connection.c.project).order_by(connection.c.project)))
        for project in projects:
            if self._stop.is_set():
                return
            try:
                reconcile(self._open_studio(project), correction_store, project)
            except RisError as error:  # a project that was deleted must not stop the others
                log.warning("a project cannot be reconciled", project=project, error=str(error))
