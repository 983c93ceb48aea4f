"""Queries of Label Studio's list of tasks: conditions, their order, and the path that asks for them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

Operator = Literal["greater", "less_or_equal", "equal"]


def make_condition(field: str, kind: str, value: object, operator: Operator = "greater") -> dict[str, Any]:
    """A condition on a field of a task.

    Args:
        field: As "id" or "updated_at".
        kind: Label Studio's name of the field's type: "Number", "Boolean" or "Datetime".
    """
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}


def make_query(conditions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All conditions at once; tasks in the order of their ids."""
    return {"filters": {"conjunction": "and", "items": list(conditions)}, "ordering": ["tasks:id"]}


def tasks_path(project: int, page_size: int, query: Mapping[str, Any] | None = None, **more: object) -> str:
    """Path in Label Studio's API that lists tasks of a project.

    Args:
        query: From `make_query`; None where `more` names a view of the Data Manager, which has conditions of its own.
        more: Further parameters.
    """
    # not resolved: image addresses as a /predict has them, by which images are known here
    parameters: dict[str, object] = {"project": project, "page_size": page_size, "resolve_uri": "false"}
    if query is not None:
        parameters["query"] = json.dumps(query)
    return "/api/tasks?" + urlencode({**parameters, **more})
