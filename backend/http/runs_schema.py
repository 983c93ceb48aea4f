"""`/runs` as a part of the OpenAPI document; `backend.http.openapi` holds the whole, with the errors that are named here."""

from typing import Any

from backend.http.runs import CONTROLS

Json = dict[str, Any]

_ID: Json = {
    "name": "run_id",
    "in": "path",
    "required": True,
    "description": "The run's id, else its name, else the beginning of its id.",
    "schema": {"type": "string", "minLength": 1, "pattern": "^[a-z0-9]+$"},
}
_TEXT: Json = {"type": "string"}
_NUMBER: Json = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_COUNTS: Json = {"type": "object", "additionalProperties": {"type": "integer"}}


def _answer(schema: str) -> Json:
    return {
        "description": "As it stands.",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _operation(name: str, summary: str, answers: Json, **more: Any) -> Json:
    errors = {status: {"$ref": f"#/components/responses/{status}"} for status in ("400", "401", "500", "503")}
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"basic": []}],
        **more,
        "responses": {**answers, **errors},
    }


def _post(name: str, summary: str, answers: Json, **more: Any) -> Json:
    described = _operation(name, summary, answers, **more)
    described["responses"] |= {status: {"$ref": f"#/components/responses/{status}"} for status in ("403", "408", "413")}
    return described


PATHS: Json = {
    "/runs": {
        "get": _operation(
            "listRuns",
            "Every run, newest first.",
            {"200": _answer("Runs")},
            parameters=[{"name": "project", "in": "query", "schema": _NUMBER}],
        ),
        "post": _post(
            "startRun",
            "Ask expressions of a project's tasks; a worker plans it, so what is wrong with it is in its note.",
            {"201": _answer("Run")},
            requestBody={
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RunSpec"}}},
            },
        ),
    },
    "/runs/{run_id}": {"get": _operation("getRun", "How a run stands.", {"200": _answer("Run")}, parameters=[_ID])},
    "/runs/{run_id}/failures": {
        "get": _operation("listFailures", "Why tasks of a run failed.", {"200": _answer("Failures")}, parameters=[_ID])
    },
    "/runs/{run_id}/{verb}": {
        "post": _post(
            "treatRun",
            "Pause, resume (also with another model version), finish or cancel a run, or try its failed tasks again.",
            {"200": _answer("Run")},
            parameters=[
                _ID,
                {"name": "verb", "in": "path", "required": True, "schema": {"enum": list(CONTROLS)}},
                {"name": "with_version", "in": "query", "description": "For resume only.", "schema": _TEXT},
                {
                    "name": "min_score",
                    "in": "query",
                    "description": "For resume after a preview or pilot: candidates with a lower score are left out.",
                    "schema": {"type": "number", "minimum": 0, "maximum": 1},
                },
            ],
        )
    },
}
"""The paths, as OpenAPI describes them."""

SCHEMAS: Json = {
    "RunSpec": {
        "type": "object",
        "required": ["project"],
        "additionalProperties": False,
        "description": "One of expressions, expression_field and per_label, or kind warm.",
        "properties": {
            "project": _NUMBER,
            "kind": {"enum": ["predict", "warm"]},
            "expressions": {"type": "array", "items": _TEXT, "examples": [["the dog", "Cat: the black one"]]},
            "expression_field": _TEXT,
            "per_label": {"type": "boolean"},
            "tasks": {"type": "array", "items": _NUMBER},
            "view": _NUMBER,
            "only_unlabelled": {"type": "boolean"},
            "leave_out": {"type": "array", "items": _NUMBER, "description": "Tasks that are not answered."},
            "min_score": {"type": "number", "minimum": 0, "maximum": 1},
            "top_k": {"type": "integer", "minimum": 1, "maximum": 20},
            "name": {"type": "string", "maxLength": 100},
            "push": {"type": "boolean"},
            "notify": {"type": "string", "examples": ["https://example.org/told"]},
            "mode": {"enum": ["new", "add", "replace"]},
            "preview": _NUMBER,
            "pilot": _NUMBER,
            "prompts": {"type": "boolean"},
            "watch": {"type": "boolean", "description": "Tasks that are imported later join, until `finish`."},
        },
    },
    "Run": {
        "type": "object",
        "required": ["id", "name", "project", "state", "items"],
        "properties": {
            "id": _TEXT,
            "name": _TEXT,
            "project": {"type": "integer"},
            "state": {
                "enum": ["planning", "preview", "running", "paused", "cancelling", "done", "failed", "cancelled"]
            },
            "note": {"type": ["string", "null"]},
            "items": _COUNTS,
            "is_refused": {"type": "boolean", "description": "It failed since it cannot be as it was asked for."},
            "watches": {"type": "boolean", "description": "Tasks that are imported later join."},
            "nothing_found": {"type": "integer", "description": "Tasks for which a query found nothing."},
            "unsure": {
                "type": "integer",
                "description": "Tasks with an answer beside which another fits nearly as well.",
            },
            "per_s": {
                "type": "number",
                "description": "Tasks a second lately; of a run that is over while it was at work.",
            },
            "changed": {
                "type": "integer",
                "description": "Of cancel and retry: tasks that are left out or tried again.",
            },
            "told": {"type": "string", "description": "The same in words."},
        },
    },
    "Runs": {
        "type": "object",
        "required": ["runs"],
        "properties": {"runs": {"type": "array", "items": {"$ref": "#/components/schemas/Run"}}},
    },
    "Failures": {
        "type": "object",
        "required": ["failures"],
        "properties": {
            "failures": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["task", "reason", "error"],
                    "properties": {"task": {"type": "integer"}, "reason": _TEXT, "error": _TEXT},
                },
            }
        },
    },
}
"""What the paths name."""
