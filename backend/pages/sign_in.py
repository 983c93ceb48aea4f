"""Signing in, as a user of Label Studio, who is recorded as who decides: with a password of one's own, or with the backend's."""

from collections.abc import Mapping
from hmac import compare_digest

import anyio
import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from backend.pages.access import Person
from backend.pages.context import (
    PagesContext,
    address_of,
    context_of,
    find_reviewer,
    in_thread,
    is_own_address,
    read_form,
    read_own_form,
    render,
    signed_in,
)
from backend.pages.sessions import COOKIE, LIFETIME_S, ReviewSession
from ris_core.errors import RisError

log = structlog.get_logger(__name__)
router = APIRouter()

REFUSAL_S = 0.5
"""How long a wrong password is answered later."""
WRONG = "The user or the password is wrong. They are BASIC_AUTH_USER and BASIC_AUTH_PASS."
WRONG_OWN = "The name or the password is wrong. Ask whoever keeps the file of REVIEW_ACCESS."


@router.get("/sign-in")
async def ask(request: Request, next: str = "") -> Response:
    """The form."""
    return _form(request, next)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Begin a session."""
    form = await read_form(request)
    context, after = context_of(request), form.get("next", "")
    name = form.get("name", "").strip()
    person = await in_thread(request, lambda: _find_person(context, name, form))
    if person is None:
        log.warning("refused", path=request.url.path, client=request.client.host if request.client else None)
        await anyio.sleep(REFUSAL_S)
        return _form(request, after, WRONG_OWN if context.access else WRONG)
    try:
        reviewer = await in_thread(request, lambda: find_reviewer(context, name, person.number))
    except RisError as error:
        return _form(request, after, str(error))
    response = RedirectResponse(after if is_own_address(request, after) else address_of(request), 303)
    response.set_cookie(
        COOKIE,
        context.sessions.begin(reviewer, name, person.role),
        max_age=LIFETIME_S,
        path=address_of(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    log.info("signed in", reviewer=reviewer, role=person.role)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, session: ReviewSession = Depends(signed_in)) -> Response:
    """End the session in this browser."""
    await read_own_form(request, session)
    response = RedirectResponse(address_of(request, "/sign-in"), 303)
    response.delete_cookie(COOKIE, path=address_of(request))
    return response


def _form(request: Request, after: str, problem: str = "") -> Response:
    context, status = context_of(request), 400 if problem else 200
    needs_password = context.access.asks_password if context.access else context.credentials is not None
    return render(
        request,
        "sign_in.html",
        status,
        problem=problem,
        next=after,
        needs_user=needs_password and context.access is None,
        needs_password=needs_password,
        has_proxy=bool(context.access and context.access.proxy),
    )


def _find_person(context: PagesContext, name: str, form: Mapping[str, str]) -> Person | None:
    """Who signs in; None if the password is wrong."""
    if context.access:
        return context.access.sign_in(name, form.get("password", ""))
    if context.credentials and not _is_known(context.credentials, form.get("user", ""), form.get("password", "")):
        return None
    return Person(role="lead")


def _is_known(credentials: tuple[str, str], user: str, password: str) -> bool:
    """All of it is compared, always: the time tells nobody what was wrong."""
    given, expected = f"{user}:{password}", ":".join(credentials)
    return compare_digest(given.encode("utf-8", "replace"), expected.encode())
