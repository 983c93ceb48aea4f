"""Telling an address how a run ended."""

import httpx
import structlog

from backend.label_studio.client import make_http
from backend.redaction import reason_of
from backend.runs.ledger import Ledger, Run

log = structlog.get_logger(__name__)

TIMEOUT_S = 5.0


def tell(ledger: Ledger) -> None:
    """Tell whoever wants to know of runs that ended or paused; once, whether they listen or not."""
    for run in ledger.list_untold():
        if run.spec.notify:
            _post(run.spec.notify, run, ledger.tallies.counts(run.id))
        ledger.note_told(run.id)


def _post(url: str, run: Run, counts: dict[str, int]) -> None:
    said = {"run": run.id, "name": run.spec.name, "project": run.project, "state": run.state, "note": run.note}
    try:
        with make_http(TIMEOUT_S) as http:
            http.post(url, json={**said, "items": counts}).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        log.warning("nobody was told how a run ended", run=run.id, error=reason_of(error))
