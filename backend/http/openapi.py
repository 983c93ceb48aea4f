"""The endpoints as an OpenAPI document: what Label Studio sends and is answered. Describes; validates nothing.

Bodies are read tolerantly: of what is named below anything may be missing or of another type, and then counts as not sent.
"""

from importlib.metadata import version
from typing import Any

from backend.http import runs_schema as runs

Json = dict[str, Any]


def make_document() -> Json:
    """The OpenAPI 3.1 document of the backend."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "label-studio-ris",
            "version": version("label-studio-ris"),
            "summary": "Label Studio's ML backend protocol: an expression in, masks out.",
            "description": "Credentials are needed where BASIC_AUTH_USER and BASIC_AUTH_PASS are set; "
            "/webhook also takes WEBHOOK_SECRET as a bearer token. Requests of web pages (with Origin) are refused.",
        },
        "paths": {**_paths(), **runs.PATHS},
        "components": {
            "schemas": {**_SCHEMAS, **runs.SCHEMAS},
            "responses": _ERRORS,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _paths() -> Json:
    """Label Studio's endpoints, and those for operators; runs have a module of their own."""
    return {
        "/": {"get": _health("root")},
        "/health": {"get": _health("health")},
        "/setup": {
            "post": _operation(
                "setup",
                "A project was connected, or one of its pages was opened; answered at once.",
                {"200": _json("The model that answers.", _ref("ModelVersion"))},
                _ref("Setup"),
            )
        },
        "/predict": {
            "post": _operation(
                "predict",
                "Predict tasks: interactively, on opening one, or (as a run, answered with []) several at once.",
                {"200": _json("One entry a task, in their order.", _ref("Results"))},
                _ref("Predict"),
            )
        },
        "/webhook": {
            "post": _operation(
                "webhook",
                "Keep an event as it came. A body that is not an object with an action is kept too, and answered 400.",
                {"200": _json("The event is kept.", _object({"status": {"const": "ok"}}))},
                _ref("Event"),
                security=[{"basic": []}, {"bearer": []}],
            )
        },
        "/versions": {
            "get": _operation(
                "versions",
                "The model version that answers now.",
                {
                    "200": _json(
                        "A list with this version alone.",
                        _object({"versions": {"type": "array", "items": {"type": "string"}}}),
                    )
                },
            )
        },
        "/metrics": {
            "get": _operation(
                "metrics",
                "Numbers for Prometheus.",
                {
                    "200": {
                        "description": "Prometheus's text format.",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    }
                },
            )
        },
        "/openapi.json": {
            "get": _operation("openapi", "This document.", {"200": _json("The document.", {"type": "object"})})
        },
    }


def _object(properties: Json, **more: Any) -> Json:
    """An object that has all these properties, unless told otherwise."""
    return {"type": "object", "properties": properties, "required": list(properties), **more}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _json(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _operation(
    name: str, summary: str, answers: Json, body: Json | None = None, security: list[Json] | None = None
) -> Json:
    """An operation for callers who are known: with the errors that reading a body, or none, may end in."""
    errors = ["401", "500", "503", *(["400", "403", "408", "413"] if body else [])]
    refs = {status: {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)}
    described: Json = {"operationId": name, "summary": summary, "security": security or [{"basic": []}]}
    if body:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return {**described, "responses": {**answers, **refs}}


def _health(name: str) -> Json:
    return {
        "operationId": name,
        "summary": "Whether this process lives; nothing else is asked, and no credentials are needed.",
        "security": [],
        "responses": {"200": _json("It lives.", _ref("Health"))},
    }


_ANYTHING: Json = {}
_PROJECT: Json = {
    "description": "The project's id, or the id and the time of its creation.",
    "examples": ["7.1795166623", 7],
    "type": ["string", "integer"],
}
_SCHEMAS: Json = {
    "Health": _object({"status": {"const": "UP"}, "model_class": {"type": "string"}}),
    "ModelVersion": _object({"model_version": {"type": "string", "examples": ["demo.hybrid_gl.1a2b3c4d"]}}),
    "Setup": _object(
        {
            "project": _PROJECT,
            "schema": {"type": "string", "description": "The label config, XML."},
            "hostname": {"type": "string", "description": "Label Studio's address as it sees itself."},
            "access_token": {"type": "string", "description": "Legacy token of whoever connected the backend."},
            "extra_params": {"type": ["object", "string", "null"], "description": "The connection's parameters."},
        },
        required=[],
    ),
    "Predict": _object(
        {
            "tasks": {"type": "array", "items": _ref("Task")},
            "project": _PROJECT,
            "label_config": {"type": "string", "description": "XML."},
            "params": _object(
                {
                    "context": {
                        "description": "What the annotator has just done; null if a task was opened.",
                        **_object({"result": {"type": "array", "items": _ref("Region")}}, required=[]),
                        "type": ["object", "null"],
                    }
                },
                required=[],
            ),
        },
        required=["tasks"],
    ),
    "Task": _object(
        {
            "id": {"type": ["integer", "string"]},
            "project": {"type": "integer"},
            "data": {"type": "object", "description": "The image's address, and what else was imported."},
            "drafts": {"type": "array", "items": _object({"user": _ANYTHING}, required=[])},
        },
        required=["id", "data"],
    ),
    "Region": _object(
        {
            "id": {"type": "string"},
            "type": {"type": "string", "examples": ["textarea", "brushlabels", "polygonlabels", "rectanglelabels"]},
            "from_name": {"type": "string"},
            "to_name": {"type": "string"},
            "value": {"type": "object", "examples": [{"text": ["the red apple left of the dog"]}]},
        },
        required=["type", "from_name", "value"],
    ),
    "Prediction": _object(
        {
            "result": {"type": "array", "items": _ref("Region")},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "model_version": {"type": "string"},
        }
    ),
    "Results": _object(
        {
            "results": {
                "type": "array",
                "items": {"anyOf": [_ref("Prediction"), {"type": "array", "maxItems": 0}]},
                "description": "A prediction, or [] for a task that is to be left as it is.",
            }
        }
    ),
    "Event": _object(
        {
            "action": {"type": "string", "minLength": 1, "examples": ["ANNOTATION_CREATED", "START_TRAINING"]},
            "project": _object({"id": {"type": "integer"}}, required=[]),
        },
        required=["action"],
    ),
    "Error": _object(
        {
            "error": {"type": "string", "description": "What kind.", "examples": ["BadInput", "Busy"]},
            "message": {"type": "string", "description": "What is wrong, and the remedy."},
        }
    ),
    "Refusal": _object({"detail": {"type": "string"}}),
}
_RETRY: Json = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_CHALLENGE: Json = {"WWW-Authenticate": {"description": "Basic.", "schema": {"type": "string"}}}
_ERRORS: Json = {
    "400": _json("The body cannot be read, or holds what cannot be kept.", _ref("Error")),
    "401": {**_json("Credentials are missing or wrong.", _ref("Refusal")), "headers": _CHALLENGE},
    "403": _json("The request comes from a web page.", _ref("Refusal")),
    "408": _json("The body was not complete in time.", _ref("Error")),
    "413": _json("The body is too large.", _ref("Error")),
    "500": _json("A fault of the backend; its log says what.", _ref("Error")),
    "503": {**_json("Redis or the database cannot be used, or the queue is full.", _ref("Error")), "headers": _RETRY},
}
