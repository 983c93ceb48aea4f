"""Tasks as they are sent to Label Studio to be made, with an annotation or a prediction each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from backend.label_studio.protocol import Json, list_regions

Kind = Literal["annotations", "predictions"]
KINDS: tuple[Kind, ...] = ("annotations", "predictions")


def make_new_task(data: Mapping[str, Any], kind: Kind, results: Sequence[Json], model_version: str) -> Json:
    """A task; one without results has neither an annotation nor a prediction.

    Args:
        model_version: Of a prediction.
    """
    if not results:
        return {"data": data}
    drawn = {"result": results, **({"model_version": model_version} if kind == "predictions" else {})}
    return {"data": data, kind: [drawn]}


def count_new(tasks: Sequence[Json]) -> dict[str, int]:
    """What Label Studio must say that it made of tasks."""
    return {
        "task_count": len(tasks),
        **{f"{kind[:-1]}_count": sum(len(task.get(kind, ())) for task in tasks) for kind in KINDS},
    }


def count_regions(tasks: Sequence[Json]) -> int:
    """Number of masks in tasks."""
    return sum(result["type"] != "textarea" for task in tasks for result in _list_results(task))


def _list_results(task: Json) -> Iterator[Json]:
    for kind in KINDS:
        for drawn in task.get(kind, ()):
            yield from list_regions(drawn)
