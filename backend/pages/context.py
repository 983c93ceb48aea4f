"""What the pages work with, and how a request gets to it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio
from anyio import CapacityLimiter
from fastapi import Request
from fastapi.responses import HTMLResponse

from backend.corrections.store import CorrectionStore
from backend.exporters.image_files import Fetch
from backend.http.bodies import read_body
from backend.pages.access import Access, Role
from backend.pages.html import render_template
from backend.pages.kept import KeptBytes
from backend.pages.lister import Lister
from backend.pages.sessions import COOKIE, ReviewSession, Sessions
from backend.runs.run import Run
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore
from ris_core.errors import BadInput, RisError

Result = TypeVar("Result")

MAX_FORM_BYTES = 16 << 10
MAX_FIELDS = 20
"""Of a form; the largest has 8."""
LONGEST_NAME = 254
"""Characters of an e-mail address."""
_MOST = 2**63


class SignInNeeded(RisError):
    """Nobody is signed in."""


class Refused(BadInput):
    """A request that may not be made so: from another page, with a form of another session, or by somebody of another role."""


class Overtaken(BadInput):
    """A decision about what is not as it was seen."""


@dataclass(frozen=True)
class PagesContext:
    """What the pages work with.

    Attributes:
        access: Who may do what; None where whoever signs in is a lead.
        credentials: User and password of the backend; None where none are set.
        studio_url: Label Studio's address for people; None if the settings do not say it.
        find_user: Label Studio's number of the user with an e-mail address; None if it has none.
        make_fetch: Returns what fetches a project's images; None where no Label Studio is known.
        start_run: Records a run, which a worker plans.
        count_workers: How many workers are ready; None if Redis does not answer.
        max_pixels: Largest image that is opened.
        fetched, drawn: Image files and pictures that were used last.
        asking, drawing: Limit the threads that ask the database, and that draw.
    """

    correction_store: CorrectionStore
    run_store: RunStore
    lister: Lister
    sessions: Sessions
    access: Access | None
    credentials: tuple[str, str] | None
    studio_url: str | None
    find_user: Callable[[str], int | None]
    make_fetch: Callable[[int], Fetch | None]
    start_run: Callable[[RunSpec], Run]
    count_workers: Callable[[], int | None]
    max_pixels: int
    fetched: KeptBytes
    drawn: KeptBytes
    asking: CapacityLimiter
    drawing: CapacityLimiter


def context_of(request: Request) -> PagesContext:
    """The context of the app that serves a request."""
    context: PagesContext = request.app.state.context
    return context


async def in_thread(request: Request, work: Callable[[], Result]) -> Result:
    """Do what asks the database, in a thread."""
    return await anyio.to_thread.run_sync(work, limiter=context_of(request).asking)


async def signed_in(request: Request) -> ReviewSession:
    """The session of a request, by the proxy or by a cookie.

    Raises:
        SignInNeeded: Without one.
        Refused: If the proxy names somebody who may not be here.
    """
    session = await in_thread(request, partial(_find_session, request))
    if session is None:
        raise SignInNeeded("You are not signed in, or your session is over: nothing was recorded.", "Sign in.")
    request.state.session = session
    return session


def at_least(role: Role) -> Callable[[Request], Awaitable[ReviewSession]]:
    """As `signed_in`, for what needs a role.

    Raises:
        Refused: If they have another one.
    """

    async def find_session(request: Request) -> ReviewSession:
        session: ReviewSession = getattr(request.state, "session", None) or await signed_in(request)
        if not session.may(role):
            raise Refused(f"This is for a {role}; you are a {session.role}: nothing was recorded.", "Ask a lead.")
        return session

    return find_session


def find_reviewer(context: PagesContext, name: str, number: int | None = None) -> int:
    """Label Studio's number of the user who is meant.

    Args:
        number: It, if somebody has said it already.

    Raises:
        BadInput: If nobody is.
    """
    if number is not None:
        return number
    if not name or len(name) > LONGEST_NAME:
        raise BadInput("Nobody is named.", "Give your e-mail address or your number in Label Studio.")
    if name.isdecimal() and name.isascii():
        if 0 < int(name) < _MOST:
            return int(name)
        raise BadInput(f"No user has the number {name[:20]}.", "Give your number in Label Studio.")
    known = context.find_user(name)
    if known is None:
        raise BadInput(f"Label Studio knows nobody as {name!r}.", "Give your e-mail address or number in Label Studio.")
    return known


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form of these pages, each once.

    Raises:
        Refused: If another page sent it.
        TooLarge, TooSlow: As `backend.http.bodies.read_body`.
        BadInput: If it is not a form, or has too many fields.
    """
    check_origin(request)
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise BadInput("The request is no form. Send what the page sends.")
    raw = await read_body(request, MAX_FORM_BYTES)
    try:
        fields = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadInput("The form cannot be read. Send what the page sends.") from None
    return dict(fields)


async def read_own_form(request: Request, session: ReviewSession) -> dict[str, str]:
    """As `read_form`, of a form that was made for a session.

    Raises:
        Refused: If it was not.
    """
    form = await read_form(request)
    if not context_of(request).sessions.is_own_form(session, form.get("token", "")):
        raise Refused("The form is not of this session: nothing was recorded.", "Load the page again.")
    return form


def check_origin(request: Request) -> None:
    """Refuse what a page of another site sends.

    Raises:
        Refused: If it says that it does.
    """
    origin, host = request.headers.get("origin"), request.headers.get("host", "").lower()
    is_other = origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}")
    if is_other or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refused("Another page sent this: nothing was recorded.", "Use the form of this page.")


def address_of(request: Request, path: str = "/", query: Mapping[str, Any] | None = None) -> str:
    """The address of a page, wherever the pages are served.

    Args:
        query: What is None or empty is left out.
    """
    known = {name: value for name, value in (query or {}).items() if value not in (None, "", ())}
    return f"{request.scope.get('root_path', '')}{path}{'?' if known else ''}{urlencode(known)}"


def is_own_address(request: Request, address: str) -> bool:
    """Whether an address is one of these pages, and not of another site."""
    root = address_of(request)
    if not address.startswith(root) or address.startswith("//"):
        return False
    parts = urlsplit(address)
    is_plain = not (parts.scheme or parts.netloc) and "\\" not in address and address.isprintable()
    return is_plain and ".." not in PurePosixPath(parts.path).parts


def render(request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from its template, with what every page shows."""
    session: ReviewSession | None = getattr(request.state, "session", None)
    token = context_of(request).sessions.form_token(session) if session else ""

    def address(path: str = "/", **query: Any) -> str:
        return address_of(request, path, query)

    def may(role: Role) -> bool:
        return session is not None and session.may(role)

    html = render_template(name, session=session, token=token, address=address, may=may, **values)
    return HTMLResponse(html, status)


def _find_session(request: Request) -> ReviewSession | None:
    context = context_of(request)
    by_cookie = context.sessions.read(request.cookies.get(COOKIE, ""))
    if context.access is None:
        return by_cookie
    headers = {name: request.headers.getlist(name) for name in request.headers}
    try:
        found = context.access.from_proxy(headers)
        if found is None:
            return by_cookie
        name, person = found
        return context.sessions.of_proxy(find_reviewer(context, name, person.number), name, person.role)
    except BadInput as error:
        raise Refused(str(error)) from None
