"""Answers `/predict`: what is asked is read, recorded and queued, waited for, and answered. No HTTP and no model here."""

import contextlib
import time
from collections import Counter
from dataclasses import dataclass

import redis
import structlog

from backend.base.errors import Busy, Unreachable
from backend.corrections.store import CorrectionStore
from backend.db.request_store import RequestStore, open_request_store
from backend.inference.own_profile import settle_profile
from backend.inference.refinement_state import RefinementStates
from backend.inference.state_format import refuse_beside_others
from backend.interactive import retrieve_predictions
from backend.interactive.pending import OPEN_DEADLINE_S, CollectedAnswer, PendingRequest, PendingRequests
from backend.interactive.projects import Projects
from backend.interactive.questions import Question, QuestionReader
from backend.interactive.responses import PredictResponse
from backend.label_studio import messages
from backend.label_studio.label_config import is_about_message
from backend.label_studio.messages import Message
from backend.label_studio.protocol import Json, PredictCall, Task, add_result, list_regions
from backend.review.comments import read_sent_back
from backend.runs.store import RunStore
from backend.settings.environment import Settings, read_settings
from backend.transport import redis_client, worker_registry
from backend.transport.redis_server import resolve_url
from ris_core.errors import RisError

log = structlog.get_logger(__name__)

MAX_TASKS = 4
"""Tasks of one request that are worked on; more come from "Retrieve Predictions", whose user would wait for all."""


@dataclass(frozen=True)
class _Submission:
    """An annotator's question about one task, on its way.

    Attributes:
        message_area: Where messages about it go, if there is a place for them.
        question: What is asked; None if that cannot be read.
    """

    pending: PendingRequest
    project: int | None
    message_area: str | None
    question: Question | None = None


class PredictService:
    """Answers what Label Studio asks. Threads may share it.

    Args:
        store: Where everything is recorded.
        conn: Redis.
        profile: Name of the profile, until a worker has said more.
        deadline_s: Seconds that an interactive answer may take.
        max_queued: Requests that may wait in a queue.
        run_store: Where several tasks at once become a run; without it they are refused.

    Attributes:
        projects: The projects that it has heard of.
    """

    def __init__(
        self,
        store: RequestStore,
        conn: redis.Redis,
        profile: str,
        deadline_s: float,
        max_queued: int,
        run_store: RunStore | None = None,
    ) -> None:
        self.store, self.conn, self.run_store = store, conn, run_store
        self.projects = Projects(store, conn, profile)
        self._questions = QuestionReader(store, self.projects, RefinementStates(store))
        self._requests = PendingRequests(store, conn, deadline_s, max_queued)
        self._corrections = CorrectionStore(store.engine)
        self._deadline_s = deadline_s

    def predict(self, call: PredictCall) -> PredictResponse:
        """Answer a `/predict`; always with one entry a task.

        Raises:
            Unreachable: If an annotator waits and the queue is full (`Busy`), or Redis or the database is down, and the label
                config has no place for a message that says so.
        """
        is_interactive = call.context is not None
        if self.run_store and not is_interactive and len(call.tasks) > 1:  # a page opens one
            return self._begin_run(self.run_store, call)
        if len(call.tasks) > MAX_TASKS:
            log.warning("a batch is not predicted here", tasks=len(call.tasks), limit=MAX_TASKS, project=call.project)
            return PredictResponse([[] for _ in call.tasks], "batch", Counter(refused=len(call.tasks)))
        return self._answer_annotator(call) if is_interactive else self._answer_opening(call)

    def turn_away(self, call: PredictCall) -> PredictResponse:
        """Answer a `/predict` for which there is no room, because as many wait as may; nothing is recorded.

        Raises:
            Busy: If an annotator waits and the label config has no place for a message that says so.
        """
        if call.context is None and len(call.tasks) > 1:  # a run, for which nobody waits
            return self.predict(call)
        if call.context is None:
            return PredictResponse([[] for _ in call.tasks], "open", Counter(failed=len(call.tasks)))
        full = Busy("As many requests wait as may.", "Try again later, start more workers, or raise MAX_QUEUED.")
        areas = [self._find_message_area(task, call) if task else None for task in call.tasks]
        if None in areas:
            raise full
        log.warning("nothing is predicted", project=call.project, error=str(full))
        response = PredictResponse([], "interactive")
        answer = CollectedAnswer(None, "failed", messages.about_error(full))
        for area in areas:
            response.add(answer, None, area, self.projects.known_version(call.project))
        return response

    # An annotator asks

    def _answer_annotator(self, call: PredictCall) -> PredictResponse:
        submissions = [self._submit(task, call) for task in call.tasks]
        deadline = time.monotonic() + self._deadline_s  # one for all: they are worked on at the same time
        response = PredictResponse([], "interactive")
        for one, task in zip(submissions, call.tasks, strict=True):
            answer = self._collect(one, deadline)
            entries = self._questions.tidy(one.question, answer.kept) if one.question and one.message_area else None
            version = self.projects.known_version(one.project)
            sent_back = self._find_sent_back(task) if task and one.message_area else None
            extra = messages.join(filter(None, (one.pending.message, sent_back)))
            response.add(answer, extra, one.message_area, version, entries)
        return response

    def _submit(self, task: Task | None, call: PredictCall) -> _Submission:
        """Read what is asked of a task, record and queue it."""
        if task is None:
            return _Submission(PendingRequest(outcome="failed"), call.project, None)
        area, question = self._find_message_area(task, call), None
        try:
            question = self._questions.read(task, call)
            if question is None:  # without a place for messages, so that the last one stays
                return _Submission(PendingRequest(), task.project, None)
            pending = self._requests.ask(question, is_watched=area is not None)
        except RisError as error:
            if area is None and isinstance(error, Unreachable):
                raise
            pending = _fail(task, error)
        return _Submission(pending, task.project, area, question)

    def _collect(self, submission: _Submission, deadline: float) -> CollectedAnswer:
        try:
            return self._requests.collect(submission.pending, deadline)
        except Unreachable as error:
            if submission.message_area is None:
                raise
            log.warning("no answer", request=submission.pending.request_id, error=str(error))
            return CollectedAnswer(None, "failed", messages.about_error(error))

    def _find_message_area(self, task: Task, call: PredictCall) -> str | None:
        """Where a message goes; None without a place for it, and where the annotator did nothing that can be answered."""
        if not call.context or is_about_message(call.context):
            return None
        return self.projects.find_message_area(task, call)

    def _find_sent_back(self, task: Task) -> Message | None:
        """What a reviewer says of the task's masks; told as long as they are the ones that were rejected.

        Label Studio asks nothing when a task is opened that has an annotation or a prediction, so it comes with the first answer.
        """
        if task.project is None:
            return None
        try:
            with self._corrections.reading() as db:
                regions = read_sent_back(db, task.project, task.id)
        except Unreachable as error:
            log.warning("what a reviewer says is not told", task=task.id, project=task.project, error=str(error))
            return None
        said = (
            messages.about_sent_back(one.expression or "", one.decision.reason or "", one.decision.comment or "")
            for one in regions
            if one.decision
        )
        return messages.join(said)

    # A page is opened

    def _answer_opening(self, call: PredictCall) -> PredictResponse:
        """From the cache, if at once; `[]` else, since an empty prediction would be stored and never asked for again."""
        is_page = len(call.tasks) == 1  # several come from a list of tasks, also from ours of the next ones
        submissions = [self._submit_opened(task, call, is_page) for task in call.tasks]
        deadline = time.monotonic() + OPEN_DEADLINE_S
        answers = [self._collect_opened(one.pending, deadline) for one in submissions]
        results = [self._show_opened(one, answer) for one, answer in zip(submissions, answers, strict=True)]
        return PredictResponse(results, "open", Counter(one.outcome for one in answers))

    def _submit_opened(self, task: Task | None, call: PredictCall, is_page: bool) -> _Submission:
        """Queue an opened task's own expressions, or the project's, if there are any, and in any case its encoding."""
        if task is None:
            return _Submission(PendingRequest(outcome="failed"), call.project, None)
        try:
            question = self._questions.read_opened(task, call)
            pending = self._requests.ask_opened(question)
            self._requests.encode(question, is_ahead=is_page)
        except RisError as error:  # nobody asked for anything: the page opens without a prediction
            return _Submission(_fail(task, error), task.project, None)
        return _Submission(pending, task.project, None, question)

    def _show_opened(self, submission: _Submission, answer: CollectedAnswer) -> Json | list[Json]:
        """An opened task's prediction, with the entry of the prompt that it answers."""
        if answer.answer is None or not list_regions(answer.answer):
            return []
        entry = self._questions.show_entry(submission.question) if submission.question else None
        return add_result(answer.answer, entry) if entry else answer.answer

    def _collect_opened(self, pending: PendingRequest, deadline: float) -> CollectedAnswer:
        try:
            return self._requests.collect(pending, deadline)
        except Unreachable as error:
            log.warning("an opened task is not predicted", request=pending.request_id, error=str(error))
            return CollectedAnswer(None, "failed")

    # Several tasks at once

    def _begin_run(self, run_store: RunStore, call: PredictCall) -> PredictResponse:
        """Several tasks come from "Retrieve Predictions": a run writes their predictions later."""
        version = self.projects.model_version(call.project)
        label_config, field = self.projects.read_batch(call)
        run = retrieve_predictions.begin(run_store, call, label_config, field, version)
        log.info("retrieve", run=run.id, project=call.project, tasks=len(call.tasks), state=run.state, note=run.note)
        outcome = "refused" if run.state == "failed" else "queued"
        return PredictResponse([[] for _ in call.tasks], "batch", Counter({outcome: len(call.tasks)}))


def open_predict_service(settings: Settings | None = None) -> PredictService:
    """The service that the settings describe; they are read from the environment if none are given.

    Raises:
        BadSettings: If a setting cannot be used.
        Unreachable: If the database cannot be opened. Redis may be down: it is asked when it is needed.
    """
    settings = settings or read_settings()
    conn = redis_client.connect(resolve_url(settings.redis_url, settings.state_dir))
    with contextlib.suppress(Unreachable):
        refuse_beside_others(worker_registry.list_workers(conn))  # before the database is migrated under them
    store = open_request_store(settings.sql_url)
    return PredictService(
        store=store,
        conn=conn,
        profile=settle_profile(settings.profile, store.engine, settings.device),
        deadline_s=settings.predict_deadline_s,
        max_queued=settings.max_queued,
        run_store=RunStore(store.engine),
    )


def _fail(task: Task, error: RisError) -> PendingRequest:
    log.warning("nothing is predicted", task=task.id, project=task.project, error=str(error))
    return PendingRequest(outcome="failed", message=messages.about_error(error))
