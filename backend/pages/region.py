"""One region: what was offered and what was saved, every candidate, how the expression was read, and what was decided."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from backend.pages.context import PagesContext, context_of, in_thread, render, signed_in
from backend.pages.frame import read_frame
from backend.pages.overview import ProjectNumber
from backend.pages.queue import ListQuery
from backend.review.answers import find_answer
from backend.review.decisions import REASONS, read_region_history
from backend.review.listing import find_listed, find_neighbours
from backend.review.masks import read_picture

router = APIRouter(dependencies=[Depends(signed_in)])

FIRST = 12
"""Candidates that are shown at once; the others open with a click."""


@router.get("/projects/{project}/regions/{id}")
async def show(request: Request, project: ProjectNumber, id: str, query: Annotated[ListQuery, Query()]) -> Response:
    """The page of a region, and the way back to its list."""
    values = await in_thread(request, partial(_read, context_of(request), project, id, query))
    return render(request, "region.html", query=query, reasons=REASONS, first=FIRST, **values)


def _read(context: PagesContext, project: int, id: str, query: ListQuery) -> dict[str, Any]:
    waiting = context.lister.catch_up(project)
    with context.correction_store.reading() as db:
        region = find_listed(db, project, id)
        picture = read_picture(db, region)
        outcome = picture.outcome
        offered = outcome.offered_region if outcome else region.region
        answer = find_answer(db, project, region.task, offered) if offered else None
        neighbours = find_neighbours(db, project, query.chosen, id) or (query.before, query.after)
        return {
            "neighbours": dict(zip(("before", "after"), neighbours, strict=True)),
            "frame": read_frame(db, context, project, waiting),
            "region": region,
            "outcome": outcome,
            "has_offer": picture.offered is not None,
            "offered": offered,
            "answer": answer,
            "candidates": answer.compare(picture.mask) if answer else [],
            "history": read_region_history(db, project, region.task, region.region),
        }
