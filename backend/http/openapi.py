"""The endpoints as an OpenAPI document: what Label Studio sends and is answered. Describes; validates nothing.

Bodies are read tolerantly: of what is named below anything may be missing or of another type, and then counts as not sent.
"""

from importlib.metadata import version
from typing import Any

from backend.http import runs_schema as runs
from backend.label_studio import json_schemas
from backend.label_studio.json_schemas import make_object, make_ref

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
            "schemas": {**_SCHEMAS, **json_schemas.SCHEMAS, **runs.SCHEMAS},
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
                {"200": _json("The model that answers.", make_ref("ModelVersion"))},
                make_ref("Setup"),
            )
        },
        "/predict": {
            "post": _operation(
                "predict",
                "Predict tasks: interactively, on opening one, or (as a run, answered with []) several at once.",
                {"200": _json("One entry a task, in their order.", make_ref("Results"))},
                make_ref("Predict"),
            )
        },
        "/webhook": {
            "post": _operation(
                "webhook",
                "Keep an event as it came. A body that is not an object with an action is kept too, and answered 400.",
                {"200": _json("The event is kept.", make_object({"status": {"const": "ok"}}))},
                make_ref("Event"),
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
                        make_object({"versions": {"type": "array", "items": {"type": "string"}}}),
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
        "responses": {"200": _json("It lives.", make_ref("Health"))},
    }


_SCHEMAS: Json = {
    "Health": make_object({"status": {"const": "UP"}, "model_class": {"type": "string"}}),
    "ModelVersion": make_object({"model_version": {"type": "string", "examples": ["demo.hybrid_gl.1a2b3c4d"]}}),
    "Error": make_object(
        {
            "error": {"type": "string", "description": "What kind.", "examples": ["BadInput", "Busy"]},
            "message": {"type": "string", "description": "What is wrong, and the remedy."},
        }
    ),
    "Refusal": make_object({"detail": {"type": "string"}}),
}
_RETRY: Json = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_CHALLENGE: Json = {"WWW-Authenticate": {"description": "Basic.", "schema": {"type": "string"}}}
_ERRORS: Json = {
    "400": _json("The body cannot be read, or holds what cannot be kept.", make_ref("Error")),
    "401": {**_json("Credentials are missing or wrong.", make_ref("Refusal")), "headers": _CHALLENGE},
    "403": _json("The request comes from a web page.", make_ref("Refusal")),
    "408": _json("The body was not complete in time.", make_ref("Error")),
    "413": _json("The body is too large.", make_ref("Error")),
    "500": _json("A fault of the backend; its log says what.", make_ref("Error")),
    "503": {
        **_json("Redis or the database cannot be used, or the queue is full.", make_ref("Error")),
        "headers": _RETRY,
    },
}
