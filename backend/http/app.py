"""The HTTP app: what Label Studio calls. It answers `/health` and `/setup` at once, whatever the worker does, and loads no model."""

import binascii
import time
from base64 import b64decode
from collections.abc import Callable
from hmac import compare_digest
from typing import Any, TypeVar

import anyio
import structlog
from anyio import CapacityLimiter
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as ASGIMessage

from backend.base.errors import Busy, Unreachable
from backend.base.redaction import hide
from backend.db.snapshot import keep_copies_in
from backend.http import openapi, runs
from backend.http.bodies import TooLarge, TooSlow, read_body, read_json
from backend.http.metrics import Metrics
from backend.interactive.events import INVALID_EVENT, keep_event
from backend.interactive.predict import open_predict_service
from backend.label_studio import protocol
from backend.settings.environment import Settings
from ris_core.errors import BadInput, RisError, WeightsMissing

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

MODEL_CLASS = "ReferringSegmenter"

STATUS: dict[type[RisError], int] = {
    BadInput: 400,
    TooLarge: 413,
    TooSlow: 408,
    Busy: 503,
    Unreachable: 503,
    WeightsMissing: 503,
    RisError: 500,
}
"""HTTP status of each error; a class that is not listed has that of its nearest parent."""

HUNG_UP = 499
"""Status under which a request is counted whose caller left before its body was complete; nobody reads it."""

MAX_SETUP_BYTES = 4 << 20
MAX_PREDICT_BYTES = 512 << 20
"""Retrieve Predictions sends all tasks at once, with the run lengths of their earlier predictions."""
MAX_WEBHOOK_BYTES = 128 << 20

SETUP_TIMEOUT_S = 2.0
"""Label Studio gives up on /setup after 3 s; its answer needs neither Redis nor the database."""

QUICK_THREADS = 8
"""Threads for work of milliseconds, for bodies, SQL and Redis each: where one of them hangs, the others go on.

Predictions wait in threads of their own.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application.

    Raises:
        BadSettings: If a setting cannot be used.
        Unreachable: If the database cannot be opened.
    """
    keep_copies_in(settings.state_dir)
    predict_service = open_predict_service(settings)
    app = FastAPI(title="label-studio-ris", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.predict_service = predict_service
    app.state.metrics = Metrics(predict_service)
    app.state.reading = CapacityLimiter(QUICK_THREADS)
    app.state.recording = CapacityLimiter(QUICK_THREADS)
    app.state.asking = CapacityLimiter(QUICK_THREADS)
    app.state.waiting = CapacityLimiter(settings.max_queued + QUICK_THREADS)
    app.include_router(_open_pages)
    app.include_router(_closed_pages, dependencies=[Depends(_Guard(settings))])
    app.include_router(runs.router, dependencies=[Depends(_Guard(settings))])
    app.add_exception_handler(RisError, _answer_error)
    app.add_exception_handler(ClientDisconnect, _give_up)
    app.add_middleware(_Count, metrics=app.state.metrics)
    return app


_open_pages = APIRouter()
_closed_pages = APIRouter()


@_open_pages.get("/")
@_open_pages.get("/health")
async def health() -> dict[str, str]:
    """Whether this process lives; nothing else is asked."""
    return {"status": "UP", "model_class": MODEL_CLASS}


@_closed_pages.post("/setup")
async def setup(request: Request) -> dict[str, str]:
    """Remember a project's connection; say which model answers."""
    state = request.app.state
    call = protocol.read_setup(await read_json(request, MAX_SETUP_BYTES, state.reading))
    with anyio.move_on_after(SETUP_TIMEOUT_S) as patience:
        # What takes longer is left to finish by itself; Label Studio repeats /setup whenever a page is opened.
        await _in_thread(lambda: state.predict_service.projects.set_up(call), state.recording, may_abandon=True)
        await _in_thread(
            lambda: state.predict_service.projects.model_version(call.project), state.asking, may_abandon=True
        )
    if patience.cancelled_caught:
        log.warning("the database or Redis is slow", project=call.project, waited_s=SETUP_TIMEOUT_S)
    return {"model_version": state.predict_service.projects.known_version(call.project)}


@_closed_pages.post("/predict")
async def predict(request: Request) -> Response:
    """Answer for each task: the regions of what was typed, or nothing."""
    began = time.perf_counter()
    state = request.app.state
    call = protocol.read_predict(await read_json(request, MAX_PREDICT_BYTES, state.reading))
    if state.waiting.available_tokens < 1:  # otherwise this request would wait for a thread, with no deadline
        answers = await _in_thread(lambda: state.predict_service.turn_away(call), state.recording)
    else:
        answers = await _in_thread(lambda: state.predict_service.predict(call), state.waiting)
    seconds = time.perf_counter() - began
    state.metrics.count_answers(answers, seconds)
    tasks = [task.id if task else None for task in call.tasks[:4]]
    log.info(
        "predict", kind=answers.kind, project=call.project, tasks=tasks, seconds=round(seconds, 3), **answers.outcomes
    )
    return JSONResponse({"results": answers.results})  # as it is: FastAPI would go through all run lengths first


@_closed_pages.post("/webhook")
async def webhook(request: Request) -> Response:
    """Keep an event as it came; it is read later. Label Studio waits one second and never repeats it."""
    raw = await read_body(request, MAX_WEBHOOK_BYTES)
    state = request.app.state
    action, project = await _in_thread(lambda: keep_event(state.predict_service.store, raw), state.recording)
    state.metrics.count_webhook(action)
    if action == INVALID_EVENT:
        return JSONResponse(
            {"error": "BadInput", "message": "The event is not a JSON object with an action; it was kept."}, 400
        )
    log.info("webhook", action=action, project=project)
    return JSONResponse({"status": "ok"})


@_closed_pages.get("/versions")
async def versions(request: Request) -> dict[str, list[str]]:
    """The model version that answers now."""
    state = request.app.state
    return {"versions": [await _in_thread(state.predict_service.projects.model_version, state.asking)]}


@_closed_pages.get("/metrics")
async def metrics(request: Request) -> Response:
    """Numbers for Prometheus."""
    state = request.app.state
    return Response(await _in_thread(state.metrics.render, state.asking), media_type=CONTENT_TYPE_LATEST)


@_closed_pages.get("/openapi.json")
async def describe() -> dict[str, Any]:
    """All of this as an OpenAPI document."""
    return openapi.make_document()


class _Guard:
    """Lets Label Studio in: by basic auth, or by the bearer token of webhooks. Where neither is set, everybody who can connect."""

    def __init__(self, settings: Settings) -> None:
        self._user, self._password = settings.basic_auth_user or "", _reveal(settings.basic_auth_pass)
        self._needs_basic = settings.has_credentials
        self._secret = _reveal(settings.webhook_secret)

    async def __call__(self, request: Request) -> None:
        if request.method == "POST" and "origin" in request.headers:
            raise HTTPException(
                403, "Requests from web pages are not answered."
            )  # Label Studio's server sends no Origin
        header = request.headers.get("authorization", "")
        is_webhook = request.url.path == "/webhook"
        if not self._needs_basic and not (is_webhook and self._secret):
            return
        if is_webhook and self._secret and _same(header, f"Bearer {self._secret}"):
            return
        if not (self._needs_basic and self._is_basic(header)):
            log.warning("refused", path=request.url.path, client=request.client.host if request.client else None)
            raise HTTPException(
                401,
                "Give BASIC_AUTH_USER and BASIC_AUTH_PASS in Label Studio's model settings, for webhooks in their Authorization header.",
                headers={"WWW-Authenticate": 'Basic realm="label-studio-ris", charset="UTF-8"'},
            )

    def _is_basic(self, header: str) -> bool:
        scheme, _, encoded = header.partition(" ")
        try:
            login = b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        # Label Studio sends Latin-1, others UTF-8. All are compared, always: the time tells nobody which one was wrong.
        expected = f"{self._user}:{self._password}"
        is_known = compare_digest(login, expected.encode()) | compare_digest(
            login, expected.encode("latin-1", "replace")
        )
        return (scheme.lower() == "basic") & is_known


async def _in_thread(work: Callable[[], Result], limiter: CapacityLimiter, may_abandon: bool = False) -> Result:
    return await anyio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=may_abandon)


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    message = hide(str(error))
    log.warning("refused", path=request.url.path, status=status, error=message)
    headers = {"Retry-After": "5"} if status == 503 else None
    return JSONResponse({"error": type(error).__name__, "message": message}, status, headers)


async def _give_up(request: Request, _error: Exception) -> Response:
    log.info("the caller hung up", path=request.url.path)
    return Response(status_code=HUNG_UP)


class _Count:
    """Counts each request by its answer, and answers an unexpected error without its details, which stand in the log."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        endpoint = scope["path"] if scope["path"] in _PATHS else "other"
        status: int | None = None

        async def send_on(message: ASGIMessage) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except Exception:
            log.exception("unexpected", endpoint=endpoint)
            if status is not None:  # the answer has begun, so the server can only cut it off
                raise
            error = {"error": "InternalError", "message": "Something unexpected; the backend's log says what."}
            await JSONResponse(error, 500)(scope, receive, send_on)
        finally:
            self._metrics.count_request(endpoint, status or 500)


_PATHS = frozenset({"/", "/health", "/setup", "/predict", "/webhook", "/versions", "/metrics", "/openapi.json"})


def _same(given: str, expected: str) -> bool:
    return compare_digest(given.encode(), expected.encode())


def _reveal(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
