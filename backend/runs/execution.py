"""A worker's job for a run: answers one item after the other, for a few seconds or until an annotator waits."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from rq.timeouts import JobTimeoutException

from backend.base.errors import BadConfig, ImageUnreachable, Unreachable
from backend.base.redaction import reason_of
from backend.db.records import Answer
from backend.inference.cache_room import CacheTooSmall, check_room
from backend.inference.expressions import AnswerOptions
from backend.inference.request_context import InferenceContext, TaskSource
from backend.inference.service import InferenceService
from backend.label_studio.label_config import read_config
from backend.runs import answers
from backend.runs.item import RunItem
from backend.runs.run import Run
from backend.runs.store import RunStore
from backend.runs.worker_state import WorkerState
from ris_core.errors import BadExpression, BadImage, BadImageCause, RisError
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types.components import Batched

log = structlog.get_logger(__name__)

JOB_S = 3.0
"""How long a job begins further items. Short, because encodings that annotators' pages wait for are in the same queue."""
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


@dataclass(frozen=True)
class RunContext:
    """What a job needs.

    Attributes:
        is_wanted: Whether an annotator waits for this worker.
    """

    run_store: RunStore
    service: InferenceService
    worker_state: WorkerState
    is_wanted: Callable[[], bool]


def work(context: RunContext, run_id: str, job_s: float = JOB_S) -> int:
    """Answer items of a run until the time is up, none is left, an annotator waits, or the worker stops; how many.

    Raises:
        Unreachable: If the database does not answer. The present item is begun again later.
    """
    until = time.monotonic() + job_s
    number = 0
    run = context.run_store.get(run_id)
    if run.spec.kind == "warm" and _pause_without_room(context, run):
        return 0
    make_source = _source_maker(context.service, run)
    # At least one item, even while annotators wait: otherwise a run would stand still while they work.
    while not context.worker_state.is_over and time.monotonic() < until and not (number and context.is_wanted()):
        item = context.run_store.claims.claim(run.id, context.worker_state.worker)
        if item is None:
            break
        context.worker_state.at_work = (item.run, item.task)
        try:
            goes_on = _work_on(context, run, item, make_source)
        finally:
            context.worker_state.at_work = None
        number += 1
        if not goes_on:
            break
    return number


def _work_on(context: RunContext, run: Run, item: RunItem, make_source: Callable[[RunItem], TaskSource]) -> bool:
    """Answer an item, or record why not; whether the job may go on."""
    claims, started_at = context.run_store.claims, time.perf_counter()
    with structlog.contextvars.bound_contextvars(run=run.id, task=item.task):
        try:
            at_work = context.service.begin_task(make_source(item))
            if run.spec.kind == "predict" and at_work.segmenter.model_version != run.model_version:
                _pause_for_version(context.run_store, run, item, at_work.segmenter.model_version)
                return False
            image_sha256, encode_fp, item_answers = _answer_in_memory(context.service, run, item, at_work)
        except ImageUnreachable as error:
            return _leave_for_later(context.run_store, run, item, error)
        except JobTimeoutException as error:
            claims.fail(item, f"It took too long ({reason_of(error)}). Look at the image's size.", "took too long")
            return False  # RQ's alarm rings once a job, so nothing would stop the next item
        except Unreachable:
            raise
        except RisError as error:
            claims.fail(item, str(error), _reason(error))
            log.warning("item failed", error=str(error))
        except Exception as error:
            claims.fail(
                item,
                f"internal error ({type(error).__name__}: {reason_of(error)}); see the worker's log",
                "internal error",
            )
            log.exception("item failed")
        else:
            version = at_work.segmenter.model_version
            is_kept = claims.finish(item, run.project, item_answers, image_sha256, encode_fp, version, at_work.parts_s)
            seconds = round(time.perf_counter() - started_at, 3)
            log.info("item", attempt=item.attempt, seconds=seconds, is_kept=is_kept, **at_work.parts_s)
        if run.strikes:
            context.run_store.end_hold(run.id)
    return True


def _answer_in_memory(
    service: InferenceService, run: Run, item: RunItem, context: InferenceContext
) -> tuple[str, str, list[Answer]]:
    """As `_answer`; if the device's memory is too small, once more with half as much in it at once.

    Raises:
        BadImage: If that is too much too.
    """
    try:
        return _answer(service, run, item, context)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        log.warning("out of memory; once more with half the batch", error=reason_of(error))
    try:
        with _halved(context.segmenter):
            return _answer(service, run, item, context)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        raise BadImage(f"The device's memory is too small for {_sizes(context)}. Make the image smaller.") from error


def _answer(
    service: InferenceService, run: Run, item: RunItem, context: InferenceContext
) -> tuple[str, str, list[Answer]]:
    encoded = service.get_encoded(context)
    if run.spec.prompts:
        service.get_embedding(context)
    spec, control = run.spec, context.config.controls[0]
    min_score = context.settings.min_score if spec.min_score is None else spec.min_score
    top_k = spec.top_k or service.top_k
    options = AnswerOptions(top_k, min_score, context.settings.smooth_px)
    item_answers = [
        answers.answer_item_query(context.segmenter, encoded, query, control, options) for query in item.queries
    ]
    context.tick("segment")
    return encoded.image_sha256, encoded.encode_fp, answers.drop_repeated(item_answers)


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


def _pause_without_room(context: RunContext, run: Run) -> bool:
    """Pause a run whose images do not fit into the feature cache, by what those measure that are encoded already."""
    segmenter = context.service.segmenter
    if context.service.cache.images.mean_bytes(segmenter.encode_fp) is None:
        return False  # nothing is measured yet: some items first
    images = sum(context.run_store.counts.by_state(run.id).values())
    try:
        check_room(context.service.cache, images, segmenter.encode_fp, with_clicks=run.spec.prompts)
    except CacheTooSmall as error:
        note = f"{error} Then `ris run resume {run.id}`."
        context.run_store.change(run.id, "paused", note, only_from=("running",))
        log.error("the run is paused", note=note)
        return True
    return False


def _pause_for_version(run_store: RunStore, run: Run, item: RunItem, version: str) -> None:
    run_store.claims.put_back(item)
    note = (
        f"A worker answers with {version}, the run with {run.model_version}. Start workers of that version and "
        f"`ris run resume {run.id}`, or go on with this one: `ris run resume {run.id} --with-version {version}`."
    )
    run_store.change(run.id, "paused", note, only_from=("running", "preview"))
    log.error("the run is paused", note=note)


def _source_maker(service: InferenceService, run: Run) -> Callable[[RunItem], TaskSource]:
    """What makes of an item what `InferenceService` takes: all but the task and its image is the same for all items of a run."""
    connection = service.store.projects.get_connection(run.project)
    label_config = run.label_config or ""
    image_key = read_config(label_config).image_key
    hostname = connection.hostname if connection else None
    extra_params = dict(connection.extra_params) if connection else {}

    def make_source(item: RunItem) -> TaskSource:
        data = {image_key: item.image}
        return TaskSource(run.project, str(item.task), data, label_config, hostname, extra_params)

    return make_source


def _reason(error: RisError) -> str:
    if isinstance(error, BadImage) and error.cause in IMAGE_REASONS:
        return IMAGE_REASONS[error.cause]
    kinds: tuple[tuple[type[RisError], str], ...] = (
        (BadImage, "image unreadable"),
        (BadExpression, "expression"),
        (BadConfig, "label config"),
    )
    return next((reason for kind, reason in kinds if isinstance(error, kind)), "cannot be answered")


def _is_out_of_memory(error: BaseException) -> bool:
    # by its name: torch takes seconds to import, and toy components have none
    return type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError)


@contextmanager
def _halved(segmenter: Segmenter) -> Iterator[None]:
    """Let the components put half as much through their models at once."""
    sizes = [(part, part.batch_size) for part in (segmenter.encoder, segmenter.proposer) if isinstance(part, Batched)]
    for part, size in sizes:
        part.batch_size = max(1, size // 2)
    try:
        yield
    finally:
        for part, size in sizes:
            part.batch_size = size


def _sizes(context: InferenceContext) -> str:
    if context.image is None:
        return "it"
    height, width = context.image.size_hw
    return f"an image of {width} x {height} pixels"
