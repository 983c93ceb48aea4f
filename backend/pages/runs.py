"""A project's bulk runs: their list, and one run with its status, its failures and what people do with it."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from backend.http.runs import CONTROLS
from backend.pages.context import (
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
from backend.review.actions import note_action, read_actions
from backend.runs import control, summary
from backend.runs.run import OVER, Run
from backend.runs.spec import LONGEST_NAME, BadRun, RunSpec
from backend.runs.summary import RunStatus
from ris_core.errors import BadInput, RisError, UnknownName

log = structlog.get_logger(__name__)
router = APIRouter(dependencies=[Depends(signed_in)])

Verb = Literal["pause", "resume", "finish", "cancel", "retry"]

PER_PAGE = 50
FAILURES = 100
"""Failed tasks that a page shows, the latest."""


class RunsQuery(BaseModel):
    """Where a page of the list begins."""

    start: int = Field(default=0, ge=0, le=10**9)


class DoneQuery(BaseModel):
    """What was done just now, and for how many tasks."""

    did: Verb | None = None
    number: int | None = Field(default=None, ge=0)


@router.get("/projects/{project}/runs")
async def list_runs(request: Request, project: ProjectNumber, query: Annotated[RunsQuery, Query()]) -> Response:
    """The runs of a project, newest first."""
    values = await in_thread(request, partial(_read_list, context_of(request), project, query.start))
    return render(request, "runs.html", start=query.start, per_page=PER_PAGE, longest_name=LONGEST_NAME, **values)


@router.get("/projects/{project}/runs/{id}")
async def show(request: Request, project: ProjectNumber, id: str, query: Annotated[DoneQuery, Query()]) -> Response:
    """One run."""
    values = await in_thread(request, partial(_read, context_of(request), project, id, query))
    return render(request, "run.html", did=query.did, limit=FAILURES, **values)


@router.post("/projects/{project}/runs")
async def start(
    request: Request, project: ProjectNumber, session: ReviewSession = Depends(at_least("lead"))
) -> Response:
    """Record a run, which a worker plans."""
    spec = _read_spec(project, await read_own_form(request, session))
    id = await in_thread(request, partial(_start, context_of(request), spec, session))
    return RedirectResponse(address_of(request, f"/projects/{project}/runs/{id}"), 303)


@router.post("/projects/{project}/runs/{id}/{verb}")
async def act(
    request: Request, project: ProjectNumber, id: str, verb: Verb, session: ReviewSession = Depends(at_least("lead"))
) -> Response:
    """Pause, resume, finish or cancel a run, or try its failed tasks again; as `ris run` does."""
    form = await read_own_form(request, session)
    how = _read_how(form, verb)
    number = await in_thread(request, partial(_act, context_of(request), project, id, verb, how, session))
    address = address_of(request, f"/projects/{project}/runs/{id}", {"did": verb, "number": number})
    return RedirectResponse(address, 303)


def list_verbs(status: RunStatus) -> tuple[Verb, ...]:
    """What can be done with a run as it is."""
    state, failed = status.run.state, status.items.get("failed", 0)
    may: dict[Verb, bool] = {
        "pause": state in ("running", "preview"),
        "resume": state in ("paused", "preview"),
        "retry": failed > 0 and state in ("done", "running", "paused"),
        "finish": status.run.spec.watch and state not in OVER,
        "cancel": state in ("planning", "preview", "running", "paused"),
    }
    return tuple(verb for verb, is_possible in may.items() if is_possible)


def _read_list(context: PagesContext, project: int, start: int) -> dict[str, Any]:
    frame = _read_frame(context, project)
    runs = context.run_store.list_runs(project=project, limit=PER_PAGE + 1, start=start)
    shown = runs[:PER_PAGE]
    return {
        "frame": frame,
        "runs": shown,
        "counts": context.run_store.counts.by_run([run.id for run in shown]),
        "has_more": len(runs) > PER_PAGE,
    }


def _read(context: PagesContext, project: int, id: str, query: DoneQuery) -> dict[str, Any]:
    run = _find(context, project, id)
    with context.correction_store.reading() as db:
        frame, actions = read_frame(db, context, project), read_actions(db, project, id)
    status = summary.look(context.run_store, run.id, context.count_workers())
    told = None
    if query.number is not None and query.did is not None:
        told = control.describe_result(context.run_store, run, query.did, query.number)
    return {
        "frame": frame,
        "actions": actions,
        "run_status": status,
        "verbs": list_verbs(status),
        "failures": context.run_store.counts.failures(run.id, FAILURES),
        "told": told,
    }


def _start(context: PagesContext, spec: RunSpec, session: ReviewSession) -> str:
    """Start it; on record before, and with its id after."""
    _read_frame(context, spec.project)  # raises if there is no such project
    _note(context, spec.project, session, "start a run", None, spec.about)
    run = context.start_run(spec)
    _note(context, spec.project, session, "start", run.id, spec.about)
    return run.id


def _act(
    context: PagesContext, project: int, id: str, verb: Verb, how: Mapping[str, float], session: ReviewSession
) -> int | None:
    """Do it; on record before it is done, so that nothing is done without."""
    run = _find(context, project, id)
    detail = ", ".join(f"{name} {value:g}" for name, value in how.items())
    _note(context, project, session, verb, id, detail)
    try:
        return CONTROLS[verb](context.run_store, run, **how)
    except RisError as error:
        _note(context, project, session, f"{verb}: not done", id, str(error))
        raise


def _note(
    context: PagesContext, project: int, session: ReviewSession, action: str, id: str | None, detail: str
) -> None:
    log.info("a run is changed", run=id, action=action, user=session.reviewer)
    with context.correction_store.writing() as db:
        note_action(db, project, session.reviewer, action, id, detail)


def _find(context: PagesContext, project: int, id: str) -> Run:
    """The run of an id, of this project; never by its name or the beginning of its id.

    Raises:
        UnknownName: If there is none.
    """
    try:
        run = context.run_store.get(id)
        if (run.id, run.project) == (id, project):
            return run
    except BadRun:
        pass
    raise UnknownName(f"Project {project} has no such run. Open its list again.")


def _read_frame(context: PagesContext, project: int) -> ProjectFrame:
    with context.correction_store.reading() as db:
        return read_frame(db, context, project)


def _read_spec(project: int, form: Mapping[str, str]) -> RunSpec:
    """What is asked of a run.

    Raises:
        BadInput: If a field has a value that cannot be used.
    """
    lines = tuple(line.strip() for line in form.get("expressions", "").splitlines() if line.strip())
    preview = form.get("preview", "").strip() or "0"
    if not (preview.isascii() and preview.isdecimal() and len(preview) < 7):
        raise BadInput(f"The number of tasks is {preview[:40]!r}. Give a whole number.")
    return RunSpec(
        project,
        expressions=lines,
        expression_field=form.get("field", "").strip() or None,
        name=form.get("name", "").strip(),
        min_score=_read_score(form.get("min_score", "")),
        preview=int(preview),
        only_unlabelled=form.get("only_unlabelled") == "1",
    )


def _read_how(form: Mapping[str, str], verb: Verb) -> dict[str, float]:
    """The threshold from now on, if the form names one.

    Raises:
        BadInput: If it is no number.
    """
    score = _read_score(form.get("min_score", "")) if verb == "resume" else None
    return {} if score is None else {"min_score": score}


def _read_score(text: str) -> float | None:
    """A threshold; None if the field is empty.

    Raises:
        BadInput: If it is no number.
    """
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise BadInput(f"The threshold is {text[:40]!r}. Give a number from 0 to 1.") from None
