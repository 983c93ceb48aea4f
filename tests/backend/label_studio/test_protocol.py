"""Label Studio's JSON, read."""

import json
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface

from backend.label_studio import protocol
from backend.label_studio.label_config import read_config
from ris_core.errors import BadInput
from tests.backend.configs import BRUSH, IMAGE, MESSAGE_AREA, PROMPT, request_body

patiently = settings(deadline=None, max_examples=50)


def test_read_field_reaches_into_objects_and_takes_only_text():
    data = {"image": "a.png", "photo": {"url": "b.png"}, "x.y": "c.png", "number": 3, "blank": " "}
    keys = ["image", "photo.url", "x.y", "number", "blank", "photo", "none", "image.url"]
    assert [protocol.read_field(data, key) for key in keys] == ["a.png", "b.png", "c.png", *[None] * 5]


@pytest.mark.parametrize(
    ("value", "project"),
    [
        ("5.1795166516", 5),
        ("7", 7),
        (7, 7),
        ({"id": 9}, 9),
        (None, None),
        ("", None),
        ("abc", None),
        (True, None),
        ("9" * 40, None),
    ],
)
def test_project_ids_are_read_in_every_form(value, project):
    assert protocol.read_project(value) == project


def test_a_recorded_predict_is_read():
    call = protocol.read_predict(request_body("predict_interactive_textarea_edited.json"))
    assert (call.project, call.tasks[0].id, call.tasks[0].project) == (1, "2", 1)
    assert call.tasks[0].user == 1  # only `created_username` of the draft has the id
    assert call.context[0]["from_name"] == "prompt"


def test_no_context_is_not_an_empty_context():
    opened = protocol.read_predict(request_body("predict_open_unlabelled_task.json"))
    submitted = protocol.read_predict(request_body("predict_interactive_empty_context.json"))
    assert (opened.context, submitted.context) == (None, ())


def test_a_task_that_cannot_be_read_leaves_the_others_alone():
    call = protocol.read_predict({"tasks": [None, {"id": 1}, {"id": 2, "data": "x"}, {"id": 3, "data": {}}]})
    assert [task and task.id for task in call.tasks] == [None, None, None, "3"]


@pytest.mark.parametrize("body", [None, [], {}, {"tasks": None}, {"tasks": {}}, "tasks"])
def test_a_predict_without_tasks_is_bad_input(body):
    with pytest.raises(BadInput, match="tasks"):
        protocol.read_predict(body)


json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["context", "result", "id", "user"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@patiently
@given(json_values, json_values, json_values, json_values)
def test_optional_fields_may_be_anything(project, params, config, drafts):
    body = {
        "tasks": [{"id": 1, "data": {}, "drafts": drafts}],
        "project": project,
        "params": params,
        "label_config": config,
    }
    assert len(protocol.read_predict(body).tasks) == 1


@pytest.mark.parametrize("extra", ['{"profile": "demo"}', {"profile": "demo"}])
def test_setup_takes_parameters_as_an_object_and_as_text(extra):
    """The form of the page sends what was typed into it."""
    assert protocol.read_setup({"project": "8.1", "extra_params": extra}).extra_params == {"profile": "demo"}


@pytest.mark.parametrize("extra", [None, "", {}, [], "text", "[1]", "[" * 100_000])
def test_setup_takes_no_parameters_in_every_form(extra):
    assert protocol.read_setup({"project": "8.1", "schema": "<View/>", "extra_params": extra}).extra_params == {}


def test_a_recorded_setup_is_read():
    call = protocol.read_setup(request_body("setup_request.json"))
    assert (call.project, call.hostname, call.access_token) == (
        5,
        "http://label-studio.example:8080",
        "example-legacy-token",
    )
    assert read_config(call.label_config).prompts == ("prompt",)


@pytest.mark.parametrize(("text", "texts"), [("Nothing found.", ["Nothing found."]), (None, []), ("", [])])
def test_a_message_is_a_result_of_the_whole_task(text, texts):
    first, second = protocol.message_result("image", text), protocol.message_result("image", text)
    assert first["id"] != second["id"]
    assert {key: value for key, value in first.items() if key != "id"} == {
        "type": "textarea",
        "from_name": "ris_message",
        "to_name": "image",
        "readonly": True,
        "value": {"text": texts},  # no other key: Label Studio would take it for a region
    }


def test_a_message_is_a_result_that_label_studio_takes():
    config = f"<View>{IMAGE}{BRUSH}{PROMPT}{MESSAGE_AREA}</View>"
    told = protocol.prediction([protocol.message_result("image", "Nothing found.")], 0.0, "v")
    assert LabelInterface(config).validate_prediction(told, return_errors=True) == []


def test_next_tasks_are_asked_for_by_id_and_unlabelled():
    path, _, query = protocol.next_tasks_path(3, "12", 5).partition("?")
    asked = {key: values[0] for key, values in parse_qs(query).items()}
    conditions = json.loads(asked.pop("query"))
    assert (path, asked) == ("/api/tasks", {"project": "3", "page_size": "5", "resolve_uri": "false"})
    assert conditions["ordering"] == ["tasks:id"]
    assert [(c["filter"], c["operator"], c["value"]) for c in conditions["filters"]["items"]] == [
        ("filter:tasks:id", "greater", 12),
        ("filter:tasks:is_labeled", "equal", False),
    ]


def test_tasks_of_a_list_are_read_as_those_of_a_predict():
    raw = json.dumps({"tasks": [{"id": 13, "data": {"image": "/a.png"}, "project": 3}, {"id": 14}, None], "total": 3})
    assert protocol.read_tasks(raw.encode(), 3) == (protocol.Task("13", {"image": "/a.png"}, None, 3),)


@pytest.mark.parametrize("raw", [b"<html>", b"[]", b"{}", b'{"tasks": {}}'])
def test_what_is_no_list_of_tasks_is_bad_input(raw):
    with pytest.raises(BadInput, match="list of tasks"):
        protocol.read_tasks(raw, 3)
