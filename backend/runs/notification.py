"""Notifies an address of how a run ended.

Whoever may start a run chooses the address: it may be in a private network, but is never a cloud's metadata service, and redirects
are not followed. Its login, path and query may be secret: only its host is ever shown.
"""

from urllib.parse import urlsplit

import httpx
import structlog

from backend.base import redaction
from backend.label_studio.outbound import NOT_METADATA, HostRefused, post_json
from backend.runs.run import Run
from backend.runs.store import RunStore

log = structlog.get_logger(__name__)

TIMEOUT_S = 5.0


def notify_all(run_store: RunStore) -> None:
    """Send a notification for each run that ended or paused; once, also where nobody accepts it."""
    for run in run_store.list_unnotified():
        if run.spec.notify:
            _post(run.spec.notify, run, run_store.counts.by_state(run.id))
        run_store.note_notified(run.id)


def _post(url: str, run: Run, counts: dict[str, int]) -> None:
    about = {"run": run.id, "name": run.spec.name, "project": run.project, "state": run.state, "note": run.note}
    redaction.learn_address(url)
    try:
        status = post_json(url, {**about, "items": counts}, NOT_METADATA, TIMEOUT_S)
        problem = "" if httpx.codes.is_success(status) else f"it answers {status}"
    except HostRefused as error:
        problem = str(error)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        problem = redaction.reason_of(error)
    if problem:
        log.warning("nobody was told how a run ended", run=run.id, host=_host_of(url), error=problem)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
