"""Telling an address how a run ended.

Whoever may start a run chooses it: it may be in a private network, but is never a cloud's metadata service, and redirects are not
followed. Its login, path and query may be secret: only its host is ever shown.
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


def tell(run_store: RunStore) -> None:
    """Tell whoever wants to know of runs that ended or paused; once, whether they listen or not."""
    for run in run_store.list_untold():
        if run.spec.notify:
            _post(run.spec.notify, run, run_store.counts.by_state(run.id))
        run_store.note_told(run.id)


def _post(url: str, run: Run, counts: dict[str, int]) -> None:
    said = {"run": run.id, "name": run.spec.name, "project": run.project, "state": run.state, "note": run.note}
    redaction.learn_address(url)
    try:
        status = post_json(url, {**said, "items": counts}, NOT_METADATA, TIMEOUT_S)
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
