"""Tabs of the Data Manager, one for each queue that Label Studio itself can show."""

from collections.abc import Sequence
from typing import Any, Literal

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.protocol import Json

QueueTab = Literal["Uncertain", "Nothing found", "To correct"]
CONFIDENT = 0.8
"""Score from which a prediction is not uncertain."""
MOST_RANGES = 400
"""Ranges of task numbers in a filter."""
_HIDDEN = (
    "inner_id",
    "annotations_results",
    "annotations_ids",
    "predictions_results",
    "file_upload",
    "storage_filename",
    "created_at",
    "updated_at",
    "updated_by",
    "avg_lead_time",
    "draft_exists",
)
"""Columns that are not shown; those of the scores and versions of predictions are."""


def make_filters(tab: QueueTab, to_correct: Sequence[int]) -> Json:
    """Which tasks a tab shows, as Label Studio has it.

    Args:
        to_correct: Numbers of the tasks that have something to correct; of more than `MOST_RANGES` ranges the first.
    """
    if tab == "Uncertain":
        return _all(_number("predictions_score", "greater", 0), _number("predictions_score", "less", CONFIDENT))
    if tab == "Nothing found":
        return _all(_number("total_predictions", "greater", 0), _number("predictions_score", "equal", 0))
    ranges = [
        _number("id", "in", {"min": first, "max": last}) for first, last in _join_ranges(to_correct)[:MOST_RANGES]
    ]
    return {"conjunction": "or", "items": ranges or [_number("id", "equal", 0)]}  # no task has the number 0


def list_tabs(studio: LabelStudioClient, project: int) -> dict[int, Json]:
    """What a project's tabs hold, by their ids."""
    rows = studio.request("GET", f"/api/dm/views/?project={project}")
    return {int(row["id"]): row.get("data") or {} for row in rows}


def add_tab(studio: LabelStudioClient, project: int, tab: QueueTab, filters: Json) -> int:
    """Make a tab; returns its id."""
    data = {
        "title": tab,
        "type": "list",
        "target": "tasks",
        "hiddenColumns": {"explore": [f"tasks:{name}" for name in _HIDDEN], "labeling": []},
        "filters": filters,
        "ordering": ["tasks:predictions_score"] if tab == "Uncertain" else ["tasks:id"],
    }
    return int(studio.request("POST", "/api/dm/views/", {"project": project, "data": data})["id"])


def change_filters(studio: LabelStudioClient, project: int, id: int, data: Json, filters: Json) -> None:
    """Let a tab show other tasks; its columns and its order stay as they are.

    Args:
        data: What it holds now.
    """
    studio.request("PATCH", f"/api/dm/views/{id}/", {"project": project, "data": {**data, "filters": filters}})


def _all(*conditions: Json) -> Json:
    return {"conjunction": "and", "items": list(conditions)}


def _number(field: str, operator: str, value: Any) -> Json:
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": "Number", "value": value}


def _join_ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    return ranges
