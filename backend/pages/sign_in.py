"""Signing in: with the backend's user and password, where they are set, and as a user of Label Studio, who is recorded as who decides."""

from collections.abc import Callable
from hmac import compare_digest

import anyio
import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from backend.pages.context import (
    address_of,
    context_of,
    in_thread,
    is_own_address,
    read_form,
    read_own_form,
    render,
    signed_in,
)
from backend.pages.sessions import COOKIE, LIFETIME_S, ReviewSession
from ris_core.errors import BadInput, RisError

log = structlog.get_logger(__name__)
router = APIRouter()

REFUSAL_S = 0.5
"""How long a wrong password is answered later."""
LONGEST_NAME = 254
"""Characters of an e-mail address."""
_MOST = 2**63


@router.get("/sign-in")
async def ask(request: Request, next: str = "") -> Response:
    """The form."""
    return _form(request, next)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Begin a session."""
    form = await read_form(request)
    context, after = context_of(request), form.get("next", "")
    if context.credentials and not _is_known(context.credentials, form.get("user", ""), form.get("password", "")):
        log.warning("refused", path=request.url.path, client=request.client.host if request.client else None)
        await anyio.sleep(REFUSAL_S)
        return _form(request, after, "The user or the password is wrong. They are BASIC_AUTH_USER and BASIC_AUTH_PASS.")
    name = form.get("name", "").strip()
    try:
        reviewer = await in_thread(request, lambda: _find_reviewer(context.find_user, name))
    except RisError as error:
        return _form(request, after, str(error))
    response = RedirectResponse(after if is_own_address(request, after) else address_of(request), 303)
    response.set_cookie(
        COOKIE,
        context.sessions.begin(reviewer, name),
        max_age=LIFETIME_S,
        path=address_of(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    log.info("signed in", reviewer=reviewer)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, session: ReviewSession = Depends(signed_in)) -> Response:
    """End the session in this browser."""
    await read_own_form(request, session)
    response = RedirectResponse(address_of(request, "/sign-in"), 303)
    response.delete_cookie(COOKIE, path=address_of(request))
    return response


def _form(request: Request, after: str, problem: str = "") -> Response:
    needs_password = context_of(request).credentials is not None
    status = 400 if problem else 200
    return render(request, "sign_in.html", status, problem=problem, next=after, needs_password=needs_password)


def _is_known(credentials: tuple[str, str], user: str, password: str) -> bool:
    """All of it is compared, always: the time tells nobody what was wrong."""
    given, expected = f"{user}:{password}", ":".join(credentials)
    return compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _find_reviewer(find_user: Callable[[str], int | None], name: str) -> int:
    """Label Studio's number of the user who is meant.

    Raises:
        BadInput: If nobody is.
    """
    if not name or len(name) > LONGEST_NAME:
        raise BadInput("Nobody is named.", "Give your e-mail address or your number in Label Studio.")
    if name.isdecimal() and name.isascii():
        if 0 < int(name) < _MOST:
            return int(name)
        raise BadInput(f"No user has the number {name[:20]}.", "Give your number in Label Studio.")
    number = find_user(name)
    if number is None:
        raise BadInput(f"Label Studio knows nobody as {name!r}.", "Give your e-mail address or number in Label Studio.")
    return number
