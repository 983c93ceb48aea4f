"""Lists of regions, and the decisions about them: one decision is one form and one row."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple, Self
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field, model_validator

from backend.pages.context import (
    MAX_FIELDS,
    Overtaken,
    PagesContext,
    address_of,
    at_least,
    context_of,
    in_thread,
    read_own_form,
    render,
    signed_in,
)
from backend.pages.frame import ProjectFrame, read_frame
from backend.pages.overview import ProjectNumber
from backend.pages.sessions import ReviewSession
from backend.review.decisions import REASONS, State, Verdict, undo
from backend.review.listing import (
    ListedRegion,
    RegionFilter,
    count_queues,
    count_regions,
    decide_listed,
    find_listed,
    is_listed_in,
    list_task,
    read_listed,
)
from backend.review.queues import QUEUES
from ris_core.errors import BadInput

router = APIRouter(dependencies=[Depends(signed_in)])

PER_PAGE = 24
UNDO = "undo"
"""In place of a state: take the last decision back."""


RegionId = Annotated[str | None, Field(pattern="^[0-9a-f]{32}$")]


class ListQuery(BaseModel):
    """What the address of a list says; as `RegionFilter` has it.

    Attributes:
        start: How many regions come before the page.
        page: The number of the page from 1, in place of `start`.
        done: Id of the region that was decided just now.
        before, after: Ids of the neighbours of the region whose page it is, as they were when it stood in the list.
    """

    queue: str | None = None
    state: State | None = None
    outcome: str | None = None
    model_version: str | None = None
    at_least: float | None = Field(default=None, ge=0, le=1)
    below: float | None = Field(default=None, ge=0)
    start: int = Field(default=0, ge=0, le=10**9)
    page: int | None = Field(default=None, ge=1, le=10**7)
    done: RegionId = None
    before: RegionId = None
    after: RegionId = None

    @model_validator(mode="after")
    def _start_at_page(self) -> Self:
        if self.page is not None:
            self.start, self.page = (self.page - 1) * PER_PAGE, None
        return self

    @property
    def chosen(self) -> RegionFilter:
        """The regions that are listed."""
        states = (self.state,) if self.state else ()
        return RegionFilter(self.queue, states, self.outcome, self.model_version, self.at_least, self.below)

    def written(self, **changes: Any) -> dict[str, Any]:
        """The query of another page of the list."""
        values = {**self.model_dump(exclude={"done", "before", "after"}), **changes}
        return {name: value for name, value in values.items() if value not in (None, 0)}


class DecidedRegion(NamedTuple):
    """A region after a decision.

    Attributes:
        stays: Whether it still stands in the list in which it was decided.
        changes: By how much the decision changed the number of regions in each queue.
    """

    region: ListedRegion
    stays: bool
    changes: dict[str, int]
    frame: ProjectFrame


@router.get("/projects/{project}/regions")
async def show(request: Request, project: ProjectNumber, query: Annotated[ListQuery, Query()]) -> Response:
    """A page of a list."""
    values = await in_thread(request, partial(_read, context_of(request), project, query))
    return render(request, "regions.html", query=query, queues=QUEUES, reasons=REASONS, per_page=PER_PAGE, **values)


@router.post("/projects/{project}/decisions")
async def decide(
    request: Request, project: ProjectNumber, session: ReviewSession = Depends(at_least("reviewer"))
) -> Response:
    """Record a decision, or take one back."""
    form = await read_own_form(request, session)
    query = _read_list(form.get("list", ""))
    decided = await in_thread(request, partial(_decide, context_of(request), project, session, form, query))
    if "x-fragment" in request.headers:
        return render(request, "_region.html", query=query, reasons=REASONS, **decided._asdict())
    path, shown = f"/projects/{project}/regions", query.written(done=decided.region.id)
    if form.get("alone"):  # the page of one region sent it
        shown = query.written(before=query.before, after=query.after)
        path = f"{path}/{decided.region.id}"
    address = address_of(request, path, shown)
    return RedirectResponse(address, 303)


def _read_list(text: str) -> ListQuery:
    """The list in which a region was decided.

    Raises:
        BadInput: If it is not written as its page writes it.
    """
    try:
        return ListQuery.model_validate(dict(parse_qsl(text, max_num_fields=MAX_FIELDS)))
    except ValueError:
        raise BadInput("The list cannot be read. Send what the page sends.") from None


def _read(context: PagesContext, project: int, query: ListQuery) -> dict[str, Any]:
    chosen = query.chosen
    waiting = context.lister.catch_up(project)
    with context.correction_store.reading() as db:
        frame = read_frame(db, context, project, waiting)
        return {
            "frame": frame,
            "regions": read_listed(db, project, chosen, PER_PAGE, query.start),
            "number": count_regions(db, project, chosen),
            "done": find_listed(db, project, query.done) if query.done else None,
        }


def _decide(
    context: PagesContext, project: int, session: ReviewSession, form: Mapping[str, str], query: ListQuery
) -> DecidedRegion:
    id = form.get("region", "")
    with context.correction_store.writing() as db:
        list_task(db, project, find_listed(db, project, id).task)
        region = find_listed(db, project, id)
        _check_seen(region, form, session)
        before = count_queues(db, project, region.about)
        if form.get("state") == UNDO:
            undo(db, project, region.about, session.reviewer)
        else:
            decide_listed(db, region, _read_verdict(form, session, query))
        decided = find_listed(db, project, id)
        frame = read_frame(db, context, project, with_queues=False)
        after = count_queues(db, project, region.about)
        changes = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        return DecidedRegion(decided, is_listed_in(db, decided, query.chosen), changes, frame)


def _check_seen(region: ListedRegion, form: Mapping[str, str], session: ReviewSession) -> None:
    """See that the region is as whoever decides has seen it.

    Raises:
        Overtaken: If its mask was changed, or somebody decided meanwhile.
    """
    if form.get("mask") != region.mask_sha256:
        raise Overtaken(
            f"The mask of {region.key} was changed meanwhile: nothing was recorded.", "Load the page again."
        )
    if form.get("seen", "") != str(region.decision or ""):
        who = "you" if region.reviewer == session.reviewer else f"user {region.reviewer}"
        raise Overtaken(
            f"Meanwhile {who} decided about {region.key}: {region.state}. Nothing was recorded.", "Load the page again."
        )


def _read_verdict(form: Mapping[str, str], session: ReviewSession, query: ListQuery) -> Verdict:
    state = form.get("state", "")
    if state not in ("approved", "rejected", "second look"):
        raise BadInput(f"The decision is {state[:40]!r}. Send what the page sends.")
    return Verdict(
        state,  # type: ignore[arg-type]  # it is one of them
        session.reviewer,
        reason=form.get("reason") or None,
        comment=form.get("comment", "").strip() or None,
        queue=query.queue,
    )
