"""`/runs`: runs over HTTP. Requests are recorded here; supervisors in the workers plan and write."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from backend.base.errors import Unreachable
from backend.http.bodies import read_json
from backend.runs import control, summary
from backend.runs.spec import BadRun, RunSpec
from backend.runs.store import RunStore
from backend.transport import worker_registry

Result = TypeVar("Result")

MAX_SPEC_BYTES = 2 << 20
CONTROLS: Mapping[str, Callable[..., int | None]] = {
    "pause": control.pause,
    "resume": control.resume,
    "finish": control.finish,
    "cancel": control.cancel,
    "retry": control.retry,
}

router = APIRouter()


@router.get("/runs")
async def list_runs(request: Request, project: str = "") -> dict[str, Any]:
    """Every run, newest first; of one project if it is named."""
    run_store = _run_store(request)
    if project and not (project.isdecimal() and _is_whole(int(project))):
        raise BadRun(f"The project is {project[:20]!r}; give its number.")

    def look() -> list[dict[str, Any]]:
        runs_listed = run_store.list_runs(project=int(project) if project else None)
        return [summary.look(run_store, run.id, None).to_json() for run in runs_listed]

    return {"runs": await _in_thread(request, look)}


@router.post("/runs", status_code=201)
async def start(request: Request) -> dict[str, Any]:
    """Record a run; a worker plans it."""
    body = await read_json(request, MAX_SPEC_BYTES, request.app.state.reading)
    predict_service, run_store = request.app.state.predict_service, _run_store(request)
    spec = read_spec(body)
    run = await _in_thread(
        request, lambda: control.create(run_store, predict_service.store, predict_service.conn, spec)
    )
    return await _in_thread(request, lambda: summary.look(run_store, run.id, None).to_json())


@router.get("/runs/{run_id}")
async def status(request: Request, run_id: str) -> dict[str, Any]:
    """State, counts and rate of a run."""
    return await _in_thread(request, partial(_look, request, run_id))


@router.get("/runs/{run_id}/failures")
async def failures(request: Request, run_id: str) -> dict[str, Any]:
    """Why tasks of a run failed."""
    run_store = _run_store(request)
    run_failures = await _in_thread(request, lambda: run_store.counts.failures(run_store.get(run_id).id))
    return {"failures": [vars(failure) for failure in run_failures]}


@router.post("/runs/{run_id}/{verb}")
async def control_run(
    request: Request, run_id: str, verb: str, with_version: str | None = None, min_score: str | None = None
) -> Any:
    """Pause, resume (also with another model version or threshold), finish or cancel a run, or try its failed tasks again."""
    if verb not in CONTROLS:
        return JSONResponse({"error": "NotFound", "message": f"Runs know {', '.join(CONTROLS)}, not {verb!r}."}, 404)
    run_store = _run_store(request)
    how: dict[str, Any] = {} if with_version is None else {"with_version": with_version}
    if min_score is not None:
        how["min_score"] = _read_number(min_score)
    if how and verb != "resume":
        raise BadRun(f"{' and '.join(how)} can be given to resume, not to {verb}. Leave it out.")

    def act() -> dict[str, Any]:
        run = run_store.get(run_id)
        number = CONTROLS[verb](run_store, run, **how)
        change = (
            {} if number is None else {"changed": number, "told": control.describe_result(run_store, run, verb, number)}
        )
        return {**_look(request, run.id), **change}

    return await _in_thread(request, act)


def read_spec(body: object) -> RunSpec:
    """Read what is asked of a run.

    Raises:
        BadRun: If a field is unknown or has a value that cannot be used.
    """
    if not isinstance(body, Mapping):
        raise BadRun('The body must be an object, such as {"project": 3, "expressions": ["the dog"]}.')
    for name, value in body.items():
        if name not in _FIELDS or not _FIELDS[name](value):
            fields = ", ".join(sorted(_FIELDS))
            verb = "has a value" if name == "notify" else f"is {str(value)[:80]!r},"  # that may be secret
            raise BadRun(f"The run's field {name!r} {verb} which cannot be used. Fields: {fields}.")
    if "project" not in body:
        raise BadRun("The run names no project. Give its number.")
    return RunSpec.from_json({name: value for name, value in body.items() if value is not None})


def _read_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadRun(f"min_score is {text[:80]!r}; give a number from 0 to 1.") from None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    """Text that can be sent back: no half of a surrogate pair."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _list_of(is_one: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(is_one, value))


_FIELDS: Mapping[str, Callable[[object], bool]] = {
    "project": _is_whole,
    "kind": lambda value: value in ("predict", "warm"),
    "expressions": _list_of(_is_text),
    "expression_field": _is_text,
    "per_label": _is_flag,
    "tasks": _list_of(_is_whole),
    "view": _is_whole,
    "only_unlabelled": _is_flag,
    "leave_out": _list_of(_is_whole),
    "min_score": _is_number,
    "top_k": _is_whole,
    "name": _is_text,
    "push": _is_flag,
    "notify": _is_text,
    "mode": lambda value: value in ("new", "add", "replace"),
    "preview": _is_whole,
    "pilot": _is_whole,
    "prompts": _is_flag,
    "watch": _is_flag,
}


def _run_store(request: Request) -> RunStore:
    run_store: RunStore = request.app.state.predict_service.run_store
    return run_store


def _look(request: Request, run_id: str) -> dict[str, Any]:
    try:
        workers = sum(
            worker.state == "ready" for worker in worker_registry.list_workers(request.app.state.predict_service.conn)
        )
    except Unreachable:
        workers = None
    return summary.look(_run_store(request), run_id, workers).to_json()


async def _in_thread(request: Request, work: Callable[[], Result]) -> Result:
    return await anyio.to_thread.run_sync(work, limiter=request.app.state.recording)
