"""Approving everything from a threshold on, where the audit says that few of these are wrong."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from backend.pages.context import (
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
from backend.pages.frame import read_frame
from backend.pages.overview import ProjectNumber
from backend.pages.queue import ListQuery
from backend.pages.sessions import ReviewSession
from backend.review.actions import read_actions
from backend.review.bound import THRESHOLDS
from backend.review.bulk import approve_above
from backend.review.decisions import REASONS
from backend.review.listing import RegionFilter, bound_listed, count_regions, read_sample
from ris_core.errors import BadInput

router = APIRouter(dependencies=[Depends(signed_in)])

SHOWN = 20
"""Regions of the sample."""


class BulkQuery(BaseModel):
    """What is asked of the page.

    Attributes:
        threshold: One of `THRESHOLDS`.
        most: Largest share of wrong regions that is accepted, in percent.
        overlooked: Share of wrong regions that reviewers overlook, in percent.
        approved: How many were approved just now.
    """

    threshold: float = Field(default=0.9, ge=0, le=1)
    most: float = Field(default=2.0, ge=0, le=100)
    overlooked: float = Field(default=0.0, ge=0, lt=100)
    approved: int | None = Field(default=None, ge=0)


@router.get("/projects/{project}/bulk")
async def show(request: Request, project: ProjectNumber, query: Annotated[BulkQuery, Query()]) -> Response:
    """What is known of the regions from a threshold on, and some of them."""
    values = await in_thread(request, partial(_read, context_of(request), project, query))
    lists = ListQuery(state="unseen", at_least=query.threshold)
    return render(request, "bulk.html", asked=query, query=lists, thresholds=THRESHOLDS, reasons=REASONS, **values)


@router.post("/projects/{project}/bulk")
async def approve(
    request: Request, project: ProjectNumber, session: ReviewSession = Depends(at_least("lead"))
) -> Response:
    """Approve them."""
    form = await read_own_form(request, session)
    try:
        query = BulkQuery.model_validate({name: form.get(name) for name in ("threshold", "most", "overlooked")})
    except ValueError:
        raise BadInput("The form cannot be read. Send what the page sends.") from None
    number = await in_thread(request, partial(_approve, context_of(request), project, query, session, form))
    address = address_of(request, f"/projects/{project}/bulk", {**query.model_dump(), "approved": number})
    return RedirectResponse(address, 303)


def _read(context: PagesContext, project: int, query: BulkQuery) -> dict[str, Any]:
    waiting = context.lister.catch_up(project)
    unseen = RegionFilter(states=("unseen",), at_least=query.threshold)
    with context.correction_store.reading() as db:
        return {
            "frame": read_frame(db, context, project, waiting),
            "bounds": {one.threshold: one for one in bound_listed(db, project, query.overlooked / 100)},
            "number": count_regions(db, project, unseen),
            "actions": read_actions(db, project),
            "regions": read_sample(db, project, unseen, SHOWN),
        }


def _approve(
    context: PagesContext, project: int, query: BulkQuery, session: ReviewSession, form: Mapping[str, str]
) -> int:
    """Approve as many as were shown.

    Raises:
        Overtaken: If these are not the regions that were shown, or tasks are not listed yet.
    """
    waiting = context.lister.catch_up(project)
    with context.correction_store.writing() as db:
        read_frame(db, context, project, with_queues=False)  # raises if there is no such project
        number = count_regions(db, project, RegionFilter(states=("unseen",), at_least=query.threshold))
        if waiting or form.get("number") != str(number):
            raise Overtaken("The regions changed meanwhile: nothing was approved.", "Load the page again.")
        _, approved = approve_above(
            db, project, query.threshold, query.most / 100, query.overlooked / 100, session.reviewer
        )
    return approved
