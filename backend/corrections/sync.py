"""Keeps the ledger of corrections up to date from a thread of its own, beside a worker's jobs."""

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
"""How often Label Studio is asked for what events did not bring."""
EVENTS_AT_ONCE = 20
"""Events read without a pause."""
PAUSE_S = 0.05
"""Pause after them, in which webhooks are stored: SQLite has one writer at a time, and Label Studio waits one second."""
JOIN_S = 10.0


class CorrectionSync:
    """Reads events and reconciles while it is entered. Any number of workers may have one: what is done twice changes nothing.

    Args:
        open_ledger: Opens the ledger; called in the thread, so that a worker does not wait for it.
        open_studio: Opens Label Studio for a project, or raises `BadSettings`.
    """

    def __init__(
        self, open_ledger: Callable[[], CorrectionStore], open_studio: Callable[[int], LabelStudioClient]
    ) -> None:
        self._open_ledger, self._open_studio = open_ledger, open_studio
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bookkeeper", daemon=True)

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
                correction_store = correction_store or self._open_ledger()
                self._read(correction_store)
                if time.monotonic() - reconciled_at > RECONCILE_EVERY_S:
                    reconciled_at = time.monotonic()
                    self._reconcile(correction_store)
            except RisError as error:
                log.warning("the ledger of corrections waits", error=str(error))
            except Exception:
                log.exception("unexpected")

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
            except RisError as error:  # one project that is gone does not keep the others
                log.warning("a project is not reconciled", project=project, error=str(error))
