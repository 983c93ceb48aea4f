"""“Retrieve Predictions” in Label Studio's Data Manager, as a run over the tasks that were selected."""

from backend.label_studio import protocol
from backend.label_studio.label_config import read_config
from backend.label_studio.protocol import PredictCall
from backend.runs.run import Run
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore
from backend.transport import worker_registry
from ris_core.errors import RisError

NAME = "Retrieve Predictions"


def begin(run_store: RunStore, call: PredictCall, label_config: str, field: str | None, model_version: str) -> Run:
    """Record a run over the tasks of a call; one that cannot be answered as failed, with the reason.

    Args:
        field: Field of the tasks' data that the project names for their expressions; None for the label config's.
    """
    tasks = [task for task in call.tasks if task]
    ids = tuple(int(task.id) for task in tasks if task.id.isdecimal())
    spec = RunSpec(call.project or 0, expression_field=field or "", tasks=ids, name=NAME)
    try:
        spec = RunSpec(call.project or 0, expression_field=_find_field(label_config, field), tasks=ids, name=NAME)
        reason = _find_reason(spec, tasks, model_version)
    except RisError as error:
        reason = str(error)
    return run_store.add_run(spec, model_version, "failed" if reason else "planning", reason, label_config or None)


def _find_field(label_config: str, field: str | None) -> str:
    return field or read_config(label_config).expression_key


def _find_reason(spec: RunSpec, tasks: list[protocol.Task], model_version: str) -> str | None:
    """Why a run cannot be; None if it can."""
    if not spec.project or not spec.tasks:
        return "Label Studio named no project or no tasks. Begin the run with `ris run start`."
    if worker_registry.is_loading(model_version):
        return "No worker has said which model version it has. Start one with `ris up` or `ris worker`, and retrieve again."
    field = spec.expression_field or ""
    if not any(_has_text(task, field) for task in tasks):
        return (
            f"None of these tasks says in the field {field!r} what is meant. Import expressions there, name another field with "
            "`ris connect --expression-field`, or give the expression: `ris run start --expression`."
        )
    return None


def _has_text(task: protocol.Task, field: str) -> bool:
    value = task.data.get(field)
    return protocol.read_field(task.data, field) is not None or (isinstance(value, list) and bool(value))
