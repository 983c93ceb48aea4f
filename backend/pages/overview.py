"""The list of projects, and the overview of one: how good its proposals are, and what is left to do."""

from functools import partial
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Request, Response

from backend.corrections.outcome_kinds import KINDS
from backend.db.review_tables import listed_region
from backend.db.tables import connection
from backend.pages.context import PagesContext, context_of, in_thread, render, signed_in
from backend.pages.frame import read_frame
from backend.review.listing import count_listed_states
from backend.review.overview import read_reliability, read_seconds, read_versions, share_verdicts
from backend.review.queues import QUEUES
from backend.review.sign_off import read_approvals

router = APIRouter(dependencies=[Depends(signed_in)])

ProjectNumber = Annotated[int, Path(ge=0, lt=2**31)]


@router.get("/")
async def list_projects(request: Request) -> Response:
    """Every project that was connected, or has regions."""
    projects = await in_thread(request, partial(_read_projects, context_of(request)))
    return render(request, "projects.html", projects=projects)


@router.get("/projects/{project}")
async def show(request: Request, project: ProjectNumber) -> Response:
    """One project."""
    values = await in_thread(request, partial(_read, context_of(request), project))
    return render(request, "overview.html", kinds=KINDS, queues=QUEUES, **values)


def _read_projects(context: PagesContext) -> list[tuple[int, int]]:
    """Each project with the number of its listed regions."""
    counts = sa.select(listed_region.c.project, sa.func.count()).group_by(listed_region.c.project)
    with context.correction_store.reading() as db:
        regions = {row[0]: row[1] for row in db.execute(counts)}
        projects = {*regions, *db.scalars(sa.select(connection.c.project))}
    return [(project, regions.get(project, 0)) for project in sorted(projects)]


def _read(context: PagesContext, project: int) -> dict[str, Any]:
    waiting = context.lister.catch_up(project)
    with context.correction_store.reading() as db:
        outcomes, versions = read_versions(db, project)
        return {
            "frame": read_frame(db, context, project, waiting),
            "states": count_listed_states(db, project),
            "outcomes": outcomes,
            "shares": share_verdicts(outcomes),
            "versions": versions,
            "bins": read_reliability(db, project),
            "seconds": read_seconds(db, project),
            "approvals": read_approvals(db, project),
        }
