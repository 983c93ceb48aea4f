"""The desk between Label Studio and the worker: takes requests, records and queues them, waits, hands out the answers.

Knows no HTTP and no model. `app` and `label_studio.adapter` stand behind it.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog

from backend import queueing
from backend.errors import Unreachable
from backend.label_studio import protocol
from backend.label_studio.protocol import Config, Json, PredictCall, SetupCall, Task
from backend.redis_server import resolve_url
from backend.settings import Settings, read_settings
from backend.store import Connection, Kind, Store, open_store
from ris_core.errors import RisError

log = structlog.get_logger(__name__)

MAX_TASKS = 4
"""Tasks of one request that are worked on; more come from "Retrieve Predictions", whose user would wait for all."""

OPEN_DEADLINE_S = 1.0
"""How long the opening of a task may wait for an answer out of the cache; the annotator looks at a blank page."""

INVALID_EVENT = "invalid"
"""Action under which an event that cannot be read is kept."""

ENCODE_LIFETIME_S = 3600.0
"""How long the encoding of an opened task is worth doing."""

ENCODE_TIMEOUT_S = 600.0
"""How long one encoding may run."""


@dataclass(frozen=True)
class Answers:
    """The answer to a `/predict`.

    Attributes:
        results: One entry a task: a prediction, or `[]`, which stores nothing.
        kind: "interactive", "open" or "batch".
        outcomes: How many tasks were "answered", "unmatched" (nothing fits the expression), "idle" (nothing was asked), "encoding",
            "refused" (batch), "superseded", "expired" or "failed".
    """

    results: list[Any]
    kind: str
    outcomes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Ticket:
    """What became of one task so far: a request that is waited for, or an outcome."""

    request_id: str | None = None
    outcome: str = "idle"


class Desk:
    """Takes what Label Studio asks. Threads may share it.

    Args:
        store: Where everything is recorded.
        conn: Redis.
        profile: Name of the profile, until a worker has said more.
        deadline_s: Seconds that an interactive answer may take.
        max_queued: Requests that may wait in a queue.
    """

    def __init__(self, store: Store, conn: redis.Redis, profile: str, deadline_s: float, max_queued: int) -> None:
        self.store = store
        self.conn = conn
        self._deadline_s = deadline_s
        self._max_queued = max_queued
        self._version = f"{profile}.loading"
        self._told_of_clicks = False

    @property
    def last_version(self) -> str:
        """Model version as far as it is known, without asking anybody."""
        return self._version

    def model_version(self) -> str:
        """Model version that the last ready worker reported; "<profile>.loading" before the first one."""
        try:
            self._version = queueing.model_version(self.conn) or self._version
        except Unreachable as error:
            log.warning("the model version is not known", error=str(error))
        return self._version

    def set_up(self, call: SetupCall) -> None:
        """Remember a project's connection."""
        if call.project is None:
            return
        self.store.save_connection(
            Connection(
                project=call.project,
                hostname=call.hostname or "",
                access_token=call.access_token or "",
                label_config=call.label_config,
                extra_params=call.extra_params,
            )
        )

    def predict(self, call: PredictCall) -> Answers:
        """Answer a `/predict`; always with one entry a task.

        Raises:
            Unreachable: If an annotator waits and the queue is full (`Busy`), or Redis is down.
        """
        is_interactive = call.context is not None
        if len(call.tasks) > MAX_TASKS:
            log.warning("a batch is not predicted here", tasks=len(call.tasks), limit=MAX_TASKS, project=call.project)
            return Answers([[] for _ in call.tasks], "batch", Counter(refused=len(call.tasks)))
        if is_interactive:
            return self._answer_annotator(call)
        return self._answer_opening(call)

    def keep_event(self, raw: bytes | bytearray) -> tuple[str, int | None]:
        """Keep a webhook's body as it came; its action (`INVALID_EVENT` if it cannot be read) and project."""
        try:
            event = protocol.parse_json(raw)
        except ValueError:
            event = None
        event = event if isinstance(event, dict) else {}
        action, project = event.get("action"), protocol.read_project(event.get("project"))
        if not isinstance(action, str) or not action:
            action = INVALID_EVENT
        text = raw.decode(errors="replace").replace("\0", "\ufffd")  # PostgreSQL takes no zero bytes
        self.store.add_webhook(action[:64], project, text)
        return action[:64], project

    def _answer_annotator(self, call: PredictCall) -> Answers:
        tickets = [self._submit(task, call) for task in call.tasks]
        deadline = time.monotonic() + self._deadline_s
        found = [self._collect(ticket, deadline) for ticket in tickets]
        nothing = protocol.prediction([], 0.0, self._version)
        return Answers(
            [answer or nothing for answer, _ in found], "interactive", Counter(outcome for _, outcome in found)
        )

    def _answer_opening(self, call: PredictCall) -> Answers:
        """From the cache, if at once; `[]` else, since an empty prediction would be stored and never asked for again."""
        tickets = [self._submit_opened(task, call) for task in call.tasks]
        deadline = time.monotonic() + OPEN_DEADLINE_S
        found = [self._collect_opened(ticket, deadline) for ticket in tickets]
        results = [answer if answer and answer["result"] else [] for answer, _ in found]
        return Answers(results, "open", Counter(outcome for _, outcome in found))

    def _submit(self, task: Task | None, call: PredictCall) -> _Ticket:
        """Queue what an annotator asks of a task."""
        if task is None:
            return _Ticket(outcome="failed")
        try:
            config, body = self._read(task, call)
            prompt = protocol.read_prompt(call.context, config)
            if prompt is None:
                self._tell_of_clicks(call.context)
                return _Ticket()
            last_texts = self.store.last_prompt(task.project, task.id, prompt.id)
            expressions = protocol.find_asked(prompt.texts, last_texts)
            self.store.remember_prompt(task.project, task.id, prompt.id, prompt.texts)
        except Unreachable:
            raise
        except RisError as error:
            log.warning("nothing is predicted", task=task.id, project=task.project, error=str(error))
            return _Ticket(outcome="failed")
        if not expressions:
            return _Ticket()
        body["expressions"] = list(expressions)
        return _Ticket(self._queue_interactive(task, prompt.id, body))

    def _submit_opened(self, task: Task | None, call: PredictCall) -> _Ticket:
        """Queue an opened task: its own expression if it has one, and in any case its encoding."""
        if task is None:
            return _Ticket(outcome="failed")
        try:
            config, body = self._read(task, call)
            expressions = protocol.split_expressions(protocol.read_field(task.data, config.expression_key) or "")
            request_id = None
            if expressions:
                asked = {**body, "expressions": list(expressions)}
                request_id = self._queue(
                    "open", task, asked, OPEN_DEADLINE_S, queueing.SEGMENT_TASK, "interactive", self._deadline_s
                )
            self._queue("encode", task, body, ENCODE_LIFETIME_S, queueing.ENCODE_TASK, "bulk", ENCODE_TIMEOUT_S)
        except RisError as error:  # nobody asked for anything: the page opens without a prediction
            log.warning("an opened task is not predicted", task=task.id, project=task.project, error=str(error))
            return _Ticket(outcome="failed")
        return _Ticket(request_id, outcome="encoding")

    def _read(self, task: Task, call: PredictCall) -> tuple[Config, Json]:
        """The label config, and what the worker needs to know about a task: no token among it."""
        known = self.store.get_connection(task.project)
        label_config = call.label_config or (known.label_config if known else "")
        body: Json = {
            "data": dict(task.data),
            "label_config": label_config,
            "hostname": (known.hostname if known else "") or None,
            "expressions": [],
            "extra_params": dict(known.extra_params) if known else {},
        }
        return protocol.read_config(label_config), body

    def _queue_interactive(self, task: Task, prompt_id: str, body: Mapping[str, Any]) -> str:
        request_id = self._queue(
            "interactive",
            task,
            body,
            self._deadline_s,
            queueing.SEGMENT_TASK,
            "interactive",
            self._deadline_s,
            prompt_id,
        )
        for older in self.store.supersede(task.project, task.id, task.user, request_id):
            queueing.announce(self.conn, older)  # whoever waits for it need not wait until a worker drops it
        return request_id

    def _queue(
        self,
        kind: Kind,
        task: Task,
        body: Mapping[str, Any],
        lifetime_s: float,
        function_name: str,
        queue: str,
        timeout_s: float,
        prompt_id: str | None = None,
    ) -> str:
        request_id = self.store.add_request(
            kind, task.id, body, lifetime_s=lifetime_s, project=task.project, prompt_id=prompt_id, user=task.user
        )
        return queueing.enqueue(self.conn, function_name, request_id, queue, timeout_s, self._max_queued)

    def _collect(self, ticket: _Ticket, deadline: float) -> tuple[Json | None, str]:
        """Wait for a request; its answer, if it has one, and its outcome."""
        if ticket.request_id is None:
            return None, ticket.outcome
        queueing.wait_for(self.conn, ticket.request_id, max(0.0, deadline - time.monotonic()))
        request = self.store.get_request(ticket.request_id)
        if request is None or request.state in ("queued", "running"):
            log.warning("no answer in time", request=ticket.request_id)
            return None, "expired"
        if request.state != "done":
            log.warning("no answer", request=request.id, task=request.task, state=request.state, error=request.error)
            return None, request.state
        if not request.answer:  # an opened task whose features are not in the cache yet
            return None, ticket.outcome
        return request.answer, "answered" if request.answer["result"] else "unmatched"

    def _collect_opened(self, ticket: _Ticket, deadline: float) -> tuple[Json | None, str]:
        try:
            return self._collect(ticket, deadline)
        except Unreachable as error:
            log.warning("an opened task is not predicted", request=ticket.request_id, error=str(error))
            return None, "failed"

    def _tell_of_clicks(self, context: Sequence[Json] | None) -> None:
        if context and not self._told_of_clicks:
            self._told_of_clicks = True
            log.info(
                "clicks and boxes are not answered yet; type an expression", from_name=context[-1].get("from_name")
            )


def open_desk(settings: Settings | None = None) -> Desk:
    """The desk that the settings describe; read from the environment if none are given.

    Raises:
        BadSettings: If a setting cannot be used.
        Unreachable: If the database cannot be opened. Redis may be down: it is asked when it is needed.
    """
    settings = settings or read_settings()
    return Desk(
        store=open_store(settings.sql_url),
        conn=queueing.connect(resolve_url(settings.redis_url, settings.state_dir)),
        profile=settings.profile,
        deadline_s=settings.predict_deadline_s,
        max_queued=settings.max_queued,
    )
