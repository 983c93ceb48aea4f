"""A worker's job for a run: answers one item after the other, for a few seconds or until an annotator waits.

It is a pipeline of three threads: one fetches and decodes the images of the next items (`prefetching`), the main thread has the models,
and one cleans and records the answers (`recording`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from backend.base.redaction import reason_of
from backend.inference.cache_room import CacheTooSmall, check_room
from backend.inference.expressions import AnswerOptions, find_candidates
from backend.inference.request_context import InferenceContext, TaskSource
from backend.inference.service import InferenceService
from backend.label_studio.label_config import read_config
from backend.runs import answers
from backend.runs.item import RunItem
from backend.runs.item_failures import OtherVersion, record_failure
from backend.runs.prefetching import AHEAD, Prefetched, Prefetcher
from backend.runs.recording import Recorder
from backend.runs.run import Run
from backend.runs.stages import StageTimes
from backend.runs.store import RunStore
from backend.runs.worker_state import WorkerState
from ris_core.errors import BadImage
from ris_core.learning.lesson import split_version
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Prediction
from ris_core.types.components import Batched

log = structlog.get_logger(__name__)

JOB_S = 3.0
"""How long a job begins further items. Short, because encodings that annotators' pages wait for are in the same queue."""


@dataclass(frozen=True)
class RunContext:
    """What a job needs.

    Attributes:
        is_wanted: Whether an annotator waits for this worker.
        ahead: How many images are decoded before the model needs them; 0 does one item after the other, nothing beside it.
        stage_times: How long each stage is busy.
    """

    run_store: RunStore
    service: InferenceService
    worker_state: WorkerState
    is_wanted: Callable[[], bool]
    ahead: int = AHEAD
    stage_times: StageTimes = field(default_factory=StageTimes)


@dataclass(frozen=True)
class FoundItem:
    """An item whose queries the models have answered: what is left needs none.

    Attributes:
        predictions: One for each query.
    """

    context: InferenceContext
    encoded: EncodedImage
    predictions: list[Prediction]
    options: AnswerOptions


def work(context: RunContext, run_id: str, job_s: float = JOB_S) -> int:
    """Answer items of a run until the time is up, none is left, an annotator waits, or the worker stops; how many.

    Raises:
        Unreachable: If the database does not answer. The items at work are begun again later.
    """
    until = time.monotonic() + job_s
    run = context.run_store.get(run_id)
    if run.spec.kind == "warm" and _pause_without_room(context, run):
        return 0
    with _open_prefetcher(context, run, until) as prefetcher, _open_recorder(context, run, prefetcher) as recorder:
        number, goes_on = 0, True
        # At least one item, even while annotators wait: otherwise a run would stand still while they work.
        while goes_on and not _is_over(context, until) and not (number and context.is_wanted()):
            prefetched = prefetcher.take()
            if prefetched is None:
                break
            number += 1
            goes_on = _work_on(context, run, prefetched, prefetcher, recorder)
            if not prefetcher.has_next:  # where nothing was begun beside this item, nothing is before its work is over
                recorder.settle()
    return number


def _is_over(context: RunContext, until: float) -> bool:
    return context.worker_state.is_over or time.monotonic() >= until


def _open_prefetcher(context: RunContext, run: Run, until: float) -> Prefetcher:
    make_source = _source_maker(context.service, run)
    lesson = split_version(run.model_version or "")[1]  # the run goes on with what it began with

    def prepare(item: RunItem) -> InferenceContext:
        with context.stage_times.busy("fetch"):
            at_work = context.service.begin_task(make_source(item), lesson)
            if run.spec.kind == "predict" and at_work.segmenter.model_version != run.model_version:
                raise OtherVersion(at_work.segmenter.model_version)
            context.service.prepare(at_work)
            return at_work

    return Prefetcher(context.run_store.claims, run.id, context.worker_state, prepare, context.ahead, until)


def _open_recorder(context: RunContext, run: Run, prefetcher: Prefetcher) -> Recorder:
    def on_failure(item: RunItem, error: Exception) -> None:
        with structlog.contextvars.bound_contextvars(run=run.id, task=item.task):
            record_failure(context.run_store, run, item, error)

    return Recorder(on_failure, prefetcher.finished)


def _work_on(context: RunContext, run: Run, prefetched: Prefetched, prefetcher: Prefetcher, recorder: Recorder) -> bool:
    """Answer an item, or record why not; whether the job may go on."""
    item, is_handed_on = prefetched.item, False
    with structlog.contextvars.bound_contextvars(run=run.id, task=item.task):
        try:
            at_work = prefetched.context.result()
            if at_work is not None:
                found = _find_in_time(context, run, item, at_work)
                recorder.submit(item, lambda: _record(context, run, item, found))
                is_handed_on = True
        except Exception as error:
            return record_failure(context.run_store, run, item, error)
        finally:
            if not is_handed_on:
                prefetcher.finished(item)
    return True


def _find_in_time(context: RunContext, run: Run, item: RunItem, at_work: InferenceContext) -> FoundItem:
    """Have the models answer an item, and note how long that takes."""
    began = time.monotonic()
    at_work.resume()
    with context.stage_times.busy("model"):
        found = _find_in_memory(context.service, run, item, at_work)
    at_work.image = None  # the next ones need the memory
    context.worker_state.item_s = time.monotonic() - began
    return found


def _record(context: RunContext, run: Run, item: RunItem, found: FoundItem) -> None:
    """Clean an item's answers and record them."""
    at_work, encoded = found.context, found.encoded
    with context.stage_times.busy("record"), structlog.contextvars.bound_contextvars(run=run.id, task=item.task):
        at_work.resume()
        control = at_work.config.controls[0]
        pairs = zip(found.predictions, item.queries, strict=True)
        made = [answers.make_item_answer(one, encoded, query, control, found.options) for one, query in pairs]
        item_answers = answers.drop_repeated(made)
        at_work.tick("clean")
        version, parts_s = at_work.segmenter.model_version, at_work.parts_s
        is_kept = context.run_store.claims.finish(
            item, run.project, item_answers, encoded.image_sha256, encoded.encode_fp, version, parts_s
        )
        seconds = round(sum(parts_s.values()), 3)
        log.info("item", attempt=item.attempt, seconds=seconds, is_kept=is_kept, **parts_s)
        if run.strikes:
            context.run_store.end_hold(run.id)


def _find_in_memory(service: InferenceService, run: Run, item: RunItem, context: InferenceContext) -> FoundItem:
    """As `_find`; if the device's memory is too small, once more with half as much in it at once.

    Raises:
        BadImage: If that is too much too.
    """
    try:
        return _find(service, run, item, context)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        log.warning("out of memory; once more with half the batch", error=reason_of(error))
    try:
        with _halved(context.segmenter):
            return _find(service, run, item, context)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        raise BadImage(f"The device's memory is too small for {_sizes(context)}. Make the image smaller.") from error


def _find(service: InferenceService, run: Run, item: RunItem, context: InferenceContext) -> FoundItem:
    encoded = service.get_encoded(context)
    if run.spec.prompts:
        service.get_embedding(context)
    spec, control = run.spec, context.config.controls[0]
    min_score = context.settings.min_score if spec.min_score is None else spec.min_score
    thresholds = context.thresholds if spec.min_score is None else {}  # what the run states itself counts
    smooth_px, words = context.settings.smooth_px, context.words
    options = AnswerOptions(spec.top_k or service.top_k, min_score, smooth_px, thresholds=thresholds, words=words)
    predictions = [
        find_candidates(context.segmenter, encoded, answers.read_query(query), control, options)
        for query in item.queries
    ]
    context.tick("segment")
    return FoundItem(context, encoded, predictions, options)


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
