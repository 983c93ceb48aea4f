"""The desk between Label Studio and the worker: takes requests, has them answered, hands out the answers and what is told.

Knows no HTTP and no model. `app` and `adapter` stand behind it.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import redis
import structlog

from backend.base.errors import Busy, Unreachable
from backend.db.request_store import ProjectConnection, RequestStore, open_request_store
from backend.inference.drafts import Draft, read_draft
from backend.inference.refinement_state import RefinementStates, RefinementTarget
from backend.interactive import retrieve_predictions
from backend.interactive.pending import OPEN_DEADLINE_S, CollectedAnswer, PendingRequest, PendingRequests
from backend.label_studio import messages, protocol
from backend.label_studio.gestures import Gesture, is_pointing, read_gesture
from backend.label_studio.label_config import MESSAGE_NAME, LabelConfig, find_message_area, read_config
from backend.label_studio.prompt import find_asked, list_absent, read_absent, read_prompt, split_expressions
from backend.label_studio.protocol import Json, PredictCall, SetupCall, Task
from backend.runs.store import RunStore
from backend.settings.environment import Settings, read_settings
from backend.settings.project import ProjectSettings, read_project_settings
from backend.transport import queueing
from backend.transport.redis_server import resolve_url
from ris_core.errors import RisError

log = structlog.get_logger(__name__)

MAX_TASKS = 4
"""Tasks of one request that are worked on; more come from "Retrieve Predictions", whose user would wait for all."""

INVALID_EVENT = "invalid"
"""Action under which an event that cannot be read is kept."""


@dataclass(frozen=True)
class PredictResponse:
    """The answer to a `/predict`.

    Attributes:
        results: One entry a task: a prediction, or `[]`, which stores nothing.
        kind: "interactive", "open" or "batch".
        outcomes: How many tasks were "answered", "unmatched" (nothing fits the expression), "idle" (nothing was asked), "encoding",
            "queued" or "refused" (batch), "superseded", "expired" or "failed".
        told: How many messages of each kind annotators were given (`messages.Kind`).
    """

    results: list[Any]
    kind: str
    outcomes: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _TaskRequest:
    """What is asked of one task: its ticket, and where messages go if there is a place for them."""

    pending: PendingRequest
    project: int | None
    message_area: str | None


class PredictService:
    """Takes what Label Studio asks. Threads may share it.

    Args:
        store: Where everything is recorded.
        conn: Redis.
        profile: Name of the profile, until a worker has said more.
        deadline_s: Seconds that an interactive answer may take.
        max_queued: Requests that may wait in a queue.
        ledger: Where several tasks at once become a run; without it they are refused.
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
        self.store = store
        self.conn = conn
        self.run_store = run_store
        self._refinement_states = RefinementStates(store)
        self._deadline_s = deadline_s
        self._pending_requests = PendingRequests(store, conn, deadline_s, max_queued)
        self._versions: dict[str | None, str] = {None: f"{profile}.loading"}  # by profile; None is the workers' own
        self._profiles: dict[int | None, str | None] = {}  # of projects that were heard of

    def known_version(self, project: int | None = None) -> str:
        """Model version that answers a project, as far as it is known, without asking anybody; without one, the workers' own."""
        profile = self._profiles.get(project)
        return self._versions.get(profile, f"{profile}.loading")

    def model_version(self, project: int | None = None) -> str:
        """Model version that answers a project, as a worker reported it last; "<profile>.loading" before that.

        Args:
            project: One that may have a profile of its own; None for the version of the workers' own profile.
        """
        try:
            if project is not None and project not in self._profiles:
                self._read_settings(project, self.store.get_connection(project))
            profile = self._profiles.get(project)
            if version := queueing.model_version(self.conn, profile):
                self._versions[profile] = version
        except RisError as error:
            log.warning("the model version is not known", project=project, error=str(error))
        return self.known_version(project)

    def set_up(self, call: SetupCall) -> None:
        """Remember a project's connection."""
        if call.project is None:
            return
        made = ProjectConnection(
            project=call.project,
            hostname=call.hostname or "",
            access_token=call.access_token or "",
            label_config=call.label_config,
            extra_params=call.extra_params,
        )
        try:
            self._read_settings(call.project, made)
        except RisError as error:
            log.warning("a project's settings cannot be used", project=call.project, error=str(error))
        self.store.save_connection(made)

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
        if is_interactive:
            return self._answer_annotator(call)
        return self._answer_opening(call)

    def turn_away(self, call: PredictCall) -> PredictResponse:
        """Answer a `/predict` for which there is no room: so many wait already; nothing is recorded.

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
        told = messages.about_error(full)
        asked = [_TaskRequest(PendingRequest(outcome="failed"), call.project, area) for area in areas]
        results = [self._make_result(one, CollectedAnswer(None, "failed"), told) for one in asked]
        return PredictResponse(results, "interactive", Counter(failed=len(asked)), Counter({told.kind: len(asked)}))

    def keep_event(self, raw: bytes | bytearray) -> tuple[str, int | None]:
        """Keep a webhook's body as it came; its action (`INVALID_EVENT` if it cannot be read) and project."""
        try:
            event = protocol.parse_json(raw)
        except ValueError:
            event = None
        event = event if isinstance(event, dict) else {}
        action, project = event.get("action"), protocol.read_project(event.get("project"))
        if not isinstance(action, str) or not action or not action.isprintable():
            action = INVALID_EVENT
        text = raw.decode(errors="replace").replace("\0", "\ufffd")  # PostgreSQL takes no zero bytes
        self.store.add_webhook(action[:64], project, text)
        return action[:64], project

    def _begin_run(self, run_store: RunStore, call: PredictCall) -> PredictResponse:
        """Several tasks come from "Retrieve Predictions": a run writes their predictions later."""
        version = self.model_version(call.project)
        known = self.store.get_connection(call.project)
        label_config = call.label_config or (known.label_config if known else "")
        field = read_project_settings(known.extra_params if known else {}).expression_field
        run = retrieve_predictions.begin(run_store, call, label_config, field, version)
        log.info("retrieve", run=run.id, project=call.project, tasks=len(call.tasks), state=run.state, note=run.note)
        outcome = "refused" if run.state == "failed" else "queued"
        return PredictResponse([[] for _ in call.tasks], "batch", Counter({outcome: len(call.tasks)}))

    def _answer_annotator(self, call: PredictCall) -> PredictResponse:
        asked = [self._submit(task, call) for task in call.tasks]
        deadline = time.monotonic() + self._deadline_s
        answers = PredictResponse([], "interactive")
        for one in asked:
            found = self._collect(one, deadline)
            said = found.message or messages.about_outcome(found.outcome)
            told = messages.join(filter(None, (said, one.pending.message)))
            answers.results.append(self._make_result(one, found, told))
            answers.outcomes[found.outcome] += 1
            if told and one.message_area:
                answers.told[told.kind] += 1
        return answers

    def _make_result(self, asked: _TaskRequest, found: CollectedAnswer, told: messages.Message | None) -> Json:
        """The answer, with what is told beside its regions, or what takes away what was told before."""
        answer = found.answer or protocol.prediction([], 0.0, self.known_version(asked.project))
        if asked.message_area is None or found.outcome == "superseded":  # the newer one's answer says more
            return answer
        if told:
            noted = {text for region in answer["result"] for text in protocol.read_untold(region)}
            protocol.note_untold(answer["result"], [text for text in told.left_out if text not in noted])
        message = protocol.message_result(asked.message_area, told.text if told else None)
        return {**answer, "result": [*answer["result"], message]}

    def _answer_opening(self, call: PredictCall) -> PredictResponse:
        """From the cache, if at once; `[]` else, since an empty prediction would be stored and never asked for again."""
        is_page = len(call.tasks) == 1  # several come from a list of tasks, also from ours of the next ones
        pending_requests = [self._submit_opened(task, call, is_page) for task in call.tasks]
        deadline = time.monotonic() + OPEN_DEADLINE_S
        found = [self._collect_opened(pending, deadline) for pending in pending_requests]
        results = [one.answer if one.answer and one.answer["result"] else [] for one in found]
        return PredictResponse(results, "open", Counter(one.outcome for one in found))

    def _submit(self, task: Task | None, call: PredictCall) -> _TaskRequest:
        """Queue what an annotator asks of a task."""
        if task is None:
            return _TaskRequest(PendingRequest(outcome="failed"), call.project, None)
        area = self._find_message_area(task, call)
        try:
            pending = self._ask(task, call, is_watched=area is not None)
        except Unreachable as error:
            if area is None:
                raise
            pending = _fail(task, error)
        except RisError as error:
            pending = _fail(task, error)
        if pending is None:
            return _TaskRequest(PendingRequest(), task.project, None)
        return _TaskRequest(pending, task.project, area)

    def _ask(self, task: Task, call: PredictCall, is_watched: bool) -> PendingRequest | None:
        """The ticket of what is asked; None if it is nothing that concerns us, so that what was told before stays."""
        config, _, body = self._read(task, call)
        prompt, draft = read_prompt(call.context, config), read_draft(task, config)
        if prompt is None:
            gesture = read_gesture(call.context, config)
            if gesture is None:
                told = _tell_unanswered(call.context, config)
                return PendingRequest(message=told) if told else None
            return self._ask_gesture(task, gesture, draft, body, is_watched)
        last_texts = self.store.last_prompt(task.project, task.id, prompt.id)
        asked = find_asked(prompt.texts, last_texts, config.controls[0])
        self.store.remember_prompt(task.project, task.id, prompt.id, prompt.texts)
        noted = _note_absent(asked)
        expressions = [text for text in asked if read_absent(text) is None]
        if not expressions:
            return PendingRequest(message=noted)
        body |= {"expressions": expressions, "draft": draft.saved_at if draft else None}
        pending = self._pending_requests.ask(task, prompt.id, body, is_watched)
        return replace(pending, message=pending.message or noted)

    def _ask_gesture(
        self, task: Task, gesture: Gesture, draft: Draft | None, body: Json, is_watched: bool
    ) -> PendingRequest:
        """What is pointed at; about what was offered for an expression, if the draft says whose it was."""
        standing = self._refinement_states.find(task.project, task.id, draft) if draft else None
        if draft and standing:
            body |= {"mends": asdict(RefinementTarget.of(standing, draft))}
        if not gesture.is_positive and not (standing and standing.offer.before(gesture.id)):
            return PendingRequest(message=messages.say("click"))
        return self._pending_requests.ask(task, gesture.id, {**body, "gesture": gesture.to_json()}, is_watched)

    def _submit_opened(self, task: Task | None, call: PredictCall, is_page: bool) -> PendingRequest:
        """Queue an opened task: its own expression if it has one, and in any case its encoding."""
        if task is None:
            return PendingRequest(outcome="failed")
        try:
            config, settings, body = self._read(task, call)
            key = settings.expression_field or config.expression_key
            written = split_expressions(protocol.read_field(task.data, key) or "", config.controls[0])
            expressions = [text for text in written if read_absent(text) is None]
            pending = PendingRequest(outcome="encoding")
            if expressions:
                pending = self._pending_requests.ask_opened(task, {**body, "expressions": expressions})
            self._pending_requests.encode(task, body, is_ahead=is_page)
        except RisError as error:  # nobody asked for anything: the page opens without a prediction
            return _fail(task, error)
        return pending

    def _read(self, task: Task, call: PredictCall) -> tuple[LabelConfig, ProjectSettings, Json]:
        """The label config, the project's settings, and what the worker needs to know about a task: no token among it."""
        known = self.store.get_connection(task.project)
        label_config = call.label_config or (known.label_config if known else "")
        body: Json = {
            "data": dict(task.data),
            "label_config": label_config,
            "hostname": (known.hostname if known else "") or None,
            "expressions": [],
            "extra_params": dict(known.extra_params) if known else {},
        }
        settings = self._read_settings(task.project, known)
        return read_config(label_config).with_prompt(settings.prompt), settings, body

    def _read_settings(self, project: int | None, known: ProjectConnection | None) -> ProjectSettings:
        self._profiles.setdefault(project, None)
        settings = read_project_settings(known.extra_params if known else {})
        self._profiles[project] = settings.profile
        return settings

    def _find_message_area(self, task: Task, call: PredictCall) -> str | None:
        """Where a message goes; None without a place for it, and where nobody did anything that could be answered."""
        if not call.context or call.context[-1].get("from_name") == MESSAGE_NAME:
            return None
        try:
            known = None if call.label_config else self.store.get_connection(task.project)
        except Unreachable:
            return None
        return find_message_area(known.label_config if known else call.label_config)

    def _collect(self, asked: _TaskRequest, deadline: float) -> CollectedAnswer:
        try:
            return self._pending_requests.collect(asked.pending, deadline)
        except Unreachable as error:
            if asked.message_area is None:
                raise
            log.warning("no answer", request=asked.pending.request_id, error=str(error))
            return CollectedAnswer(None, "failed", messages.about_error(error))

    def _collect_opened(self, pending: PendingRequest, deadline: float) -> CollectedAnswer:
        try:
            return self._pending_requests.collect(pending, deadline)
        except Unreachable as error:
            log.warning("an opened task is not predicted", request=pending.request_id, error=str(error))
            return CollectedAnswer(None, "failed")


def open_predict_service(settings: Settings | None = None) -> PredictService:
    """The desk that the settings describe; read from the environment if none are given.

    Raises:
        BadSettings: If a setting cannot be used.
        Unreachable: If the database cannot be opened. Redis may be down: it is asked when it is needed.
    """
    settings = settings or read_settings()
    store = open_request_store(settings.sql_url)
    return PredictService(
        store=store,
        conn=queueing.connect(resolve_url(settings.redis_url, settings.state_dir)),
        profile=settings.profile,
        deadline_s=settings.predict_deadline_s,
        max_queued=settings.max_queued,
        run_store=RunStore(store.engine),
    )


def _note_absent(asked: Sequence[str]) -> messages.Message | None:
    """What is told about expressions that mean nothing in the image, as the annotator says; None without any."""
    absent = list_absent(asked)
    return messages.say("absent", ", ".join(absent)) if absent else None


def _tell_unanswered(context: Sequence[Json] | None, config: LabelConfig) -> messages.Message | None:
    """What is told about what an annotator did that is neither a prompt nor a click or box; nothing after a submit."""
    if any(config.is_other_image(result.get("to_name")) for result in context or ()):
        return messages.say("other_image", config.image_name)
    return messages.say("click") if is_pointing(context, config) else None


def _fail(task: Task, error: RisError) -> PendingRequest:
    log.warning("nothing is predicted", task=task.id, project=task.project, error=str(error))
    return PendingRequest(outcome="failed", message=messages.about_error(error))
