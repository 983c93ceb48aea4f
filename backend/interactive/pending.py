"""Requests on their way: recorded and queued, waited for as long as that is worth it, and given up."""

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis
import structlog

from backend.base.errors import Unreachable
from backend.db.records import Kind, Request
from backend.db.request_store import RequestStore
from backend.inference.encoding_times import picture_key
from backend.interactive.questions import Question
from backend.label_studio import messages, protocol
from backend.label_studio.messages import Message
from backend.label_studio.protocol import Json, Task, list_regions
from backend.transport import queueing, worker_registry

log = structlog.get_logger(__name__)

OPEN_DEADLINE_S = 1.0
"""How long the opening of a task may wait for an answer out of the cache; the annotator looks at a blank page."""
ENCODE_LIFETIME_S = 3600.0
"""How long the encoding of an opened task is worth doing."""
WATCH_S = 2.0
"""How often it is looked whether a worker is still there, while an answer is waited for."""


@dataclass(frozen=True)
class PendingRequest:
    """A request that is waited for; or, without one, what became of a task.

    Attributes:
        request_id: The request; None if there is none, or it is over.
        outcome: What became of the task if there is no answer.
        message: What the annotator is told about it.
        is_watched: Give up early if no worker can answer: the annotator can be told so.
        picture: What it is about, as workers name what they encode.
    """

    request_id: str | None = None
    outcome: str = "idle"
    message: Message | None = None
    is_watched: bool = False
    picture: str = ""


@dataclass(frozen=True)
class CollectedAnswer:
    """What came of a request.

    Attributes:
        answer: The prediction, if there is one.
        message: What the annotator is told.
        kept: Of what was typed, what brought something; None if that is not known.
    """

    answer: Json | None
    outcome: str
    message: Message | None = None
    kept: tuple[str, ...] | None = None


class PendingRequests:
    """Records, queues and waits. Threads may share it.

    Args:
        store: Where requests and answers are.
        conn: Redis.
        deadline_s: Seconds that an interactive answer may take.
        max_queued: Requests that may wait in a queue.
    """

    def __init__(self, store: RequestStore, conn: redis.Redis, deadline_s: float, max_queued: int) -> None:
        self._store, self._conn = store, conn
        self._deadline_s, self._max_queued = deadline_s, max_queued
        self._entering = threading.Lock()  # counting the queue and joining it are two steps

    def ask(self, question: Question, is_watched: bool) -> PendingRequest:
        """Queue what an annotator asks of a task; what the same prompt asked before is superseded.

        Args:
            is_watched: Give up early if no worker can answer: the annotator can be told so.

        Raises:
            Unreachable: If the queue is full (`Busy`), or Redis or the database is down; the request is given up.
        """
        if not question.needs_worker:
            return PendingRequest(message=question.message)
        pending = self._ask(question, is_watched)
        return replace(pending, message=pending.message or question.message)

    def _ask(self, question: Question, is_watched: bool) -> PendingRequest:
        task, source_id = question.task, question.source_id
        request_id = self._record("interactive", task, question.body, self._deadline_s, source_id)
        try:
            if is_watched and worker_registry.workers_state(self._conn) == "none":
                return self._without_worker(request_id)
            longest_s = max(
                self._deadline_s, queueing.ENCODE_TIMEOUT_S
            )  # nobody waits for it that long, but the next is quick
            self._queue(request_id, queueing.SEGMENT_TASK, "interactive", longest_s)
            for older in self._store.supersede(task.project, task.id, source_id, request_id):
                queueing.announce(self._conn, older)  # whoever waits for it need not wait until a worker drops it
        except Unreachable as error:
            self._store.give_up(request_id, str(error), messages.about_error(error).to_json())
            raise
        return PendingRequest(request_id, is_watched=is_watched, picture=picture_key(task.project, task.id))

    def ask_opened(self, question: Question) -> PendingRequest:
        """Queue the expressions of an opened task, if it has some, to be answered from the cache or not at all.

        Raises:
            Unreachable: As `ask` does.
        """
        if not question.needs_worker:
            return PendingRequest(outcome="encoding")
        request_id = self._record("open", question.task, question.body, OPEN_DEADLINE_S, question.source_id or None)
        self._queue(request_id, queueing.SEGMENT_TASK, "interactive", self._deadline_s)
        return PendingRequest(request_id, outcome="encoding")

    def encode(self, question: Question, is_ahead: bool) -> None:
        """Queue the encoding of an opened task, before those of tasks that may be opened later.

        Args:
            is_ahead: The next tasks after it are to be encoded too.

        Raises:
            Unreachable: As `ask` does.
        """
        function_name = queueing.ENCODE_AHEAD if is_ahead else queueing.ENCODE_TASK
        self._encode(question.task.project, question.task.id, question.body, function_name)

    def _encode(self, project: int | None, task: str, body: Mapping[str, Any], function_name: str) -> None:
        body = {**body, "expressions": []}
        request_id = self._store.add_request("encode", task, body, lifetime_s=ENCODE_LIFETIME_S, project=project)
        self._queue(request_id, function_name, "bulk", queueing.ENCODE_TIMEOUT_S, is_next=True)

    def collect(self, pending: PendingRequest, deadline: float) -> CollectedAnswer:
        """Wait for a request, and take its answer; one that is watched and not answered by then is given up.

        Args:
            deadline: On the monotonic clock.

        Raises:
            Unreachable: If Redis or the database is down.
        """
        if pending.request_id is None:
            return CollectedAnswer(None, pending.outcome, pending.message)
        message = self._wait(pending, deadline)
        request = self._store.get_request(pending.request_id)
        if request is None:
            return CollectedAnswer(None, "failed")
        if request.state in ("queued", "running"):
            log.warning("no answer in time", request=request.id, told=message.kind)
            if not pending.is_watched or self._store.give_up(
                request.id, f"given up: {message.text}", message.to_json()
            ):
                if (
                    message.kind == "encoding" and request.state == "queued"
                ):  # it will be dropped; its picture is read all the same
                    self._encode(request.project, request.task, request.body, queueing.ENCODE_TASK)
                return CollectedAnswer(None, "expired", message)
            request = self._store.get_request(request.id) or request  # it ended just now
        return _read(request, pending)

    def _wait(self, pending: PendingRequest, deadline: float) -> Message:
        """Wait until a request is over, or waiting for it is not worth it any more; what is to be said if it is not over."""
        try:
            return self._watch(pending, deadline)
        except Unreachable as error:
            if not pending.is_watched:
                raise
            return messages.about_error(error)

    def _watch(self, pending: PendingRequest, deadline: float) -> Message:
        began, loading_since, left_s = time.monotonic(), None, None
        while not self._is_over(pending, deadline):
            if (now := time.monotonic()) >= deadline:
                break
            state = worker_registry.workers_state(self._conn) if pending.is_watched else "ready"
            if state == "none":
                return messages.say("no_worker")
            left_s = self._encoding_left_s(pending) if pending.is_watched else None
            if left_s and _is_too_long(left_s, now - began, deadline - now):
                return messages.about_encoding(left_s)
            loading_since = (loading_since or now) if state == "loading" else None
            if loading_since and now - loading_since >= messages.RETRY_S:
                return messages.say("loading")
        if left_s:
            return messages.about_encoding(left_s)
        return messages.say("loading" if loading_since else "too_slow")

    def _encoding_left_s(self, pending: PendingRequest) -> float | None:
        return worker_registry.encoding_left_s(worker_registry.list_workers(self._conn), pending.picture, time.time())

    def _is_over(self, pending: PendingRequest, deadline: float) -> bool:
        left_s = max(0.0, deadline - time.monotonic())
        return queueing.wait_for(
            self._conn, str(pending.request_id), min(left_s, WATCH_S) if pending.is_watched else left_s
        )

    def _without_worker(self, request_id: str) -> PendingRequest:
        message = messages.say("no_worker")
        self._store.give_up(request_id, "no worker was running", message.to_json())
        log.warning("no worker is running", request=request_id)
        return PendingRequest(outcome="expired", message=message)

    def _record(
        self, kind: Kind, task: Task, body: Mapping[str, Any], lifetime_s: float, prompt_id: str | None = None
    ) -> str:
        return self._store.add_request(
            kind, task.id, body, lifetime_s=lifetime_s, project=task.project, prompt_id=prompt_id, user=task.user
        )

    def _queue(self, request_id: str, function_name: str, queue: str, timeout_s: float, is_next: bool = False) -> None:
        with self._entering:
            queueing.enqueue(self._conn, function_name, request_id, queue, timeout_s, self._max_queued, is_next)


def _is_too_long(left_s: float, waited_s: float, rest_s: float) -> bool:
    """Whether an encoding takes longer than may be waited; or, where that is not known, has been waited for a while."""
    return waited_s >= messages.RETRY_S if math.isinf(left_s) else left_s > rest_s


def _read(request: Request, pending: PendingRequest) -> CollectedAnswer:
    """What a request that is over brought."""
    message = Message.from_json(request.message) if request.message else None
    if request.state != "done":
        log.warning("no answer", request=request.id, task=request.task, state=request.state, error=request.error)
        is_text_at_fault = message is not None and message.kind in messages.TEXT_FAULTS
        return CollectedAnswer(None, request.state, message, () if is_text_at_fault else None)
    if not request.answer:  # an opened task whose features are not in the cache yet
        return CollectedAnswer(None, pending.outcome)
    answer, kept = protocol.split_kept(request.answer)
    return CollectedAnswer(answer, "answered" if list_regions(answer) else "unmatched", message, kept)
