"""Label Studio's JSON in the ML backend protocol as JSON schemas, for the OpenAPI document. They describe and validate nothing."""

from typing import Any

Json = dict[str, Any]


def make_object(properties: Json, **more: Any) -> Json:
    """An object that has all these properties, unless `required` lists others."""
    return {"type": "object", "properties": properties, "required": list(properties), **more}


def make_ref(schema: str) -> Json:
    """A reference to a schema of the OpenAPI document."""
    return {"$ref": f"#/components/schemas/{schema}"}


_ANYTHING: Json = {}
_PROJECT: Json = {
    "description": "The project's id, or the id and the time of its creation.",
    "examples": ["7.1795166623", 7],
    "type": ["string", "integer"],
}
SCHEMAS: Json = {
    "Setup": make_object(
        {
            "project": _PROJECT,
            "schema": {"type": "string", "description": "The label config, XML."},
            "hostname": {"type": "string", "description": "Label Studio's address as it sees itself."},
            "access_token": {"type": "string", "description": "Legacy token of whoever connected the backend."},
            "extra_params": {"type": ["object", "string", "null"], "description": "The connection's parameters."},
        },
        required=[],
    ),
    "Predict": make_object(
        {
            "tasks": {"type": "array", "items": make_ref("Task")},
            "project": _PROJECT,
            "label_config": {"type": "string", "description": "XML."},
            "params": make_object(
                {
                    "context": {
                        "description": "What the annotator has just done; null if a task was opened.",
                        **make_object({"result": {"type": "array", "items": make_ref("Region")}}, required=[]),
                        "type": ["object", "null"],
                    }
                },
                required=[],
            ),
        },
        required=["tasks"],
    ),
    "Task": make_object(
        {
            "id": {"type": ["integer", "string"]},
            "project": {"type": "integer"},
            "data": {"type": "object", "description": "The image's address, and what else was imported."},
            "drafts": {"type": "array", "items": make_object({"user": _ANYTHING}, required=[])},
        },
        required=["id", "data"],
    ),
    "Region": make_object(
        {
            "id": {"type": "string"},
            "type": {"type": "string", "examples": ["textarea", "brushlabels", "polygonlabels", "rectanglelabels"]},
            "from_name": {"type": "string"},
            "to_name": {"type": "string"},
            "value": {"type": "object", "examples": [{"text": ["the red apple left of the dog"]}]},
        },
        required=["type", "from_name", "value"],
    ),
    "Prediction": make_object(
        {
            "result": {"type": "array", "items": make_ref("Region")},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "model_version": {"type": "string"},
        }
    ),
    "Results": make_object(
        {
            "results": {
                "type": "array",
                "items": {"anyOf": [make_ref("Prediction"), {"type": "array", "maxItems": 0}]},
                "description": "A prediction, or [] for a task that is to be left as it is.",
            }
        }
    ),
    "Event": make_object(
        {
            "action": {"type": "string", "minLength": 1, "examples": ["ANNOTATION_CREATED", "START_TRAINING"]},
            "project": make_object({"id": {"type": "integer"}}, required=[]),
        },
        required=["action"],
    ),
}
"""Bodies that Label Studio sends, and what it is answered, by name."""
