"""What follows from an item that cannot be answered: it fails, is tried later, or its run waits or pauses."""

from collections.abc import Mapping

import structlog
from rq.timeouts import JobTimeoutException

from backend.base.errors import BadConfig, ImageUnreachable, Unreachable
from backend.base.redaction import reason_of
from backend.runs.item import RunItem
from backend.runs.run import Run
from backend.runs.store import RunStore
from ris_core.errors import BadExpression, BadImage, BadImageCause, RisError

log = structlog.get_logger(__name__)

HOLD_S = (2.0, 30.0)
"""First and longest pause of a run whose images cannot be fetched because Label Studio does not answer."""
RETRY_IMAGE_S = 10.0
"""First pause before an image that could not be fetched is tried again; doubles each time."""
PASSING_CAUSES = frozenset({"down", "passing", "too_slow"})
"""Causes why an image could not be fetched that may pass soon."""
IMAGE_REASONS: Mapping[BadImageCause, str] = {
    "too_large": "image too large",
    "damaged": "image damaged",
    "empty": "image empty",
    "web_page": "web page, no image",
}
"""Reasons under which items are counted whose image cannot be opened; "image unreadable" for other causes."""


class OtherVersion(RisError):
    """This worker has another model version than the run.

    Args:
        version: This worker's.
    """

    def __init__(self, version: str) -> None:
        super().__init__(f"This worker answers with {version}.")
        self.version = version


def record_failure(run_store: RunStore, run: Run, item: RunItem, error: Exception) -> bool:
    """Record why an item is not answered; whether the job may go on.

    Raises:
        Unreachable: If that is the error, or the database does not answer: the item is begun again later.
    """
    claims = run_store.claims
    match error:
        case Unreachable() if not isinstance(error, ImageUnreachable):
            raise error
        case OtherVersion():
            _pause_for_version(run_store, run, item, error.version)
            return False
        case ImageUnreachable():
            return _leave_for_later(run_store, run, item, error)
        case JobTimeoutException():
            claims.fail(item, f"It took too long ({reason_of(error)}). Look at the image's size.", "took too long")
            return False  # RQ's alarm rings once a job, so nothing would stop the next item
        case RisError():
            claims.fail(item, str(error), _reason(error))
            log.warning("item failed", error=str(error))
        case _:
            told = f"internal error ({type(error).__name__}: {reason_of(error)}); see the worker's log"
            claims.fail(item, told, "internal error")
            log.error("item failed", exc_info=error)
    if run.strikes:
        run_store.end_hold(run.id)
    return True


def _leave_for_later(run_store: RunStore, run: Run, item: RunItem, error: ImageUnreachable) -> bool:
    """Decide what follows from an image that cannot be fetched: it is gone, the token is not accepted, or its server is down for now."""
    if error.is_own and error.cause in ("token", "moved"):
        run_store.claims.put_back(item)
        run_store.change(run.id, "paused", f"{error} Then `ris run resume {run.id}`.", only_from=("running", "preview"))
        log.error("the run is paused", error=str(error))
        return False
    if error.is_own and error.cause == "down":  # Label Studio itself: wait as long as it takes
        run_store.claims.put_back(item)
        wait_s = run_store.hold(run.id, f"Images cannot be fetched: {error}", *HOLD_S)
        log.warning("images cannot be fetched", wait_s=round(wait_s, 1), error=str(error))
        return False
    if error.cause in PASSING_CAUSES:
        run_store.claims.defer(item, str(error), RETRY_IMAGE_S * 2**item.deferrals)
    else:
        run_store.claims.fail(item, str(error), "image unreachable")
    log.warning("item not answered", error=str(error))
    return True


def _pause_for_version(run_store: RunStore, run: Run, item: RunItem, version: str) -> None:
    run_store.claims.put_back(item)
    note = (
        f"A worker answers with {version}, the run with {run.model_version}. Start workers of that version and "
        f"`ris run resume {run.id}`, or go on with this one: `ris run resume {run.id} --with-version {version}`."
    )
    run_store.change(run.id, "paused", note, only_from=("running", "preview"))
    log.error("the run is paused", note=note)


def _reason(error: RisError) -> str:
    if isinstance(error, BadImage) and error.cause in IMAGE_REASONS:
        return IMAGE_REASONS[error.cause]
    kinds: tuple[tuple[type[RisError], str], ...] = (
        (BadImage, "image unreadable"),
        (BadExpression, "expression"),
        (BadConfig, "label config"),
    )
    return next((reason for kind, reason in kinds if isinstance(error, kind)), "cannot be answered")
