"""The pages as an app of its own, which `ris serve` mounts at `/ui`."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from anyio import CapacityLimiter
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

from backend.base.redaction import hide
from backend.corrections.store import open_correction_store
from backend.exporters.image_files import Fetch
from backend.http.app import STATUS
from backend.pages import bulk, overview, pictures, queue, region, runs, sign_in
from backend.pages.access import read_access
from backend.pages.context import Overtaken, PagesContext, Refused, SignInNeeded, address_of, render
from backend.pages.kept import KeptBytes
from backend.pages.lister import Lister
from backend.pages.sessions import open_sessions
from backend.runs.run import Run
from backend.runs.spec import RunSpec
from backend.runs.store import open_run_store
from backend.settings.environment import Settings
from ris_core.errors import RisError, UnknownName

log = structlog.get_logger(__name__)

ASKING_THREADS = 8
DRAWING_THREADS = 2
"""Each may hold a decoded image."""
FETCHED_BYTES = 64 << 20
"""Of image files that are kept: the page of a region draws one many times."""
DRAWN_BYTES = 32 << 20
"""Of pictures that are kept, some 1,500 small ones."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of each answer. The style sheet has pictures as data addresses; no script and no style stands in a page."""


def create_pages(
    settings: Settings,
    find_user: Callable[[str], int | None],
    make_fetch: Callable[[int], Fetch | None],
    start_run: Callable[[RunSpec], Run],
    count_workers: Callable[[], int | None],
) -> FastAPI:
    """The app.

    Args:
        find_user, make_fetch, start_run, count_workers: As `PagesContext` has them.

    Raises:
        BadSettings: If a setting cannot be used.
        Unreachable: If the database cannot be opened.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    access = read_access(settings.review_access) if settings.review_access else None
    correction_store = open_correction_store(settings.sql_url)
    app.state.context = PagesContext(
        correction_store=correction_store,
        run_store=open_run_store(settings.sql_url),
        lister=Lister(correction_store),
        sessions=open_sessions(settings.state_dir, settings.credentials, access.fingerprint if access else ""),
        access=access,
        credentials=settings.credentials,
        studio_url=settings.label_studio_url,
        find_user=find_user,
        make_fetch=make_fetch,
        start_run=start_run,
        count_workers=count_workers,
        max_pixels=settings.max_image_pixels,
        fetched=KeptBytes(FETCHED_BYTES),
        drawn=KeptBytes(DRAWN_BYTES),
        asking=CapacityLimiter(ASKING_THREADS),
        drawing=CapacityLimiter(DRAWING_THREADS),
    )
    for room in (sign_in, overview, queue, region, pictures, bulk, runs):
        app.include_router(room.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))
    app.add_exception_handler(SignInNeeded, _send_to_sign_in)
    app.add_exception_handler(RisError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_error)
    app.middleware("http")(_protect)
    return app


async def _send_to_sign_in(request: Request, error: Exception) -> Response:
    if request.method != "GET":
        return render(request, "problem.html", 401, problem=str(error))
    query = {"next": f"{request.url.path}?{request.url.query}".rstrip("?")}
    return RedirectResponse(address_of(request, "/sign-in", query), 303)


async def _answer_error(request: Request, error: Exception) -> Response:
    known = {**STATUS, Refused: 403, UnknownName: 404, Overtaken: 409}
    if isinstance(error, RequestValidationError):
        return render(request, "problem.html", 404, problem="There is no such page.")
    status = next(known[kind] for kind in type(error).__mro__ if kind in known)
    message = hide(str(error))
    log.warning("refused", path=request.url.path, status=status, error=message)
    return render(request, "problem.html", status, problem=message)


async def _protect(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Forbid browsers what the pages do not need, and keeping what they show."""
    response = await call_next(request)
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
