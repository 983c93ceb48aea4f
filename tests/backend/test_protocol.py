"""Label Studio's JSON, read."""

import json
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface

from backend.errors import BadConfig
from backend.label_studio import protocol
from ris_core.errors import BadExpression, BadInput

ROOT = Path(__file__).parents[2]
TRAFFIC = ROOT / "tests" / "data" / "label-studio-traffic"

IMAGE = '<Image name="image" value="$image"/>'
BRUSH = '<BrushLabels name="brush" toName="image"><Label value="Object"/></BrushLabels>'
PROMPT = '<TextArea name="prompt" toName="image"/>'

patiently = settings(deadline=None, max_examples=50)
words = st.text("abcdefgh ", min_size=1).filter(str.strip)


def request_body(name):
    return json.loads((TRAFFIC / name).read_text())["request"]["body"]


def config_of(*tags):
    return protocol.read_config(f"<View>{''.join(tags)}</View>")


def control_of(*labels):
    return config_of(IMAGE, f'<BrushLabels name="brush" toName="image">{"".join(labels)}</BrushLabels>').controls[0]


def test_controls_within_controls_are_read_once_each(monkeypatch):
    read = []
    lower = protocol._lower
    monkeypatch.setattr(protocol, "_lower", lambda element: read.append(element) or lower(element))
    control = '<BrushLabels name="brush" toName="image"><Label value="Object"/>'
    config = config_of(IMAGE, 300 * control, 300 * "</BrushLabels>")
    assert len(config.controls) == 300
    assert len(read) < 1000


@pytest.mark.parametrize("file", sorted((ROOT / "label_config").glob("*.xml")), ids=lambda file: file.name)
def test_every_shipped_config_has_an_image_a_prompt_a_place_for_messages_and_one_control_for_masks(file):
    xml = file.read_text()
    config = protocol.read_config(xml)
    assert (config.image_name, config.image_key, config.prompts) == ("image", "image", ("prompt",))
    assert (
        protocol.find_message_area(xml) == "ris_message_for"
    )  # a result of the image would get the labels of the page
    assert len({control.name for control in config.controls}) == 1  # a label of another would spoil what is accepted


def test_smart_only_controls_are_never_answered():
    config = protocol.read_config(request_body("predict_interactive_answer_brush_and_polygon.json")["label_config"])
    assert [control.name for control in config.controls] == ["brush", "polygon"]
    config = protocol.read_config(request_body("predict_interactive_keypoint.json")["label_config"])
    assert [label for control in config.controls for label in control.labels] == ["Object"]  # neither Click nor Box


def test_brush_goes_before_polygon_before_rectangle_whatever_their_order():
    label = '<Label value="A"/>'
    config = config_of(
        f'<RectangleLabels name="r" toName="image">{label}</RectangleLabels>',
        f'<PolygonLabels name="p" toName="image">{label}</PolygonLabels>',
        f'<BrushLabels name="b" toName="image">{label}</BrushLabels>',
        IMAGE,
    )
    assert [control.name for control in config.controls] == ["b", "p", "r"]


def test_names_are_read_in_any_case_and_at_any_depth():
    config = protocol.read_config(
        '<view><VIEW><image NAME="picture" Value="$photo.url"/></VIEW>'
        '<brushlabels name="m" toname="picture"><View><label Value="A"/></View></brushlabels>'
        '<textarea name="ask" toname="picture"/><TextArea name="note" toName="picture" perRegion="TRUE"/></view>'
    )
    assert (config.image_name, config.image_key, config.prompts) == ("picture", "photo.url", ("ask",))
    assert config.controls[0].labels == ("A",)


def test_of_two_images_the_one_with_the_prompt_counts():
    config = config_of(
        '<Image name="left" value="$l"/><BrushLabels name="lb" toName="left"><Label value="A"/></BrushLabels>',
        '<Image name="right" value="$r"/><BrushLabels name="rb" toName="right"><Label value="B"/></BrushLabels>',
        '<TextArea name="prompt" toName="right" value="$ask"/>',
    )
    assert (config.image_key, config.controls[0].name, len(config.controls)) == ("r", "rb", 1)
    assert config.expression_key == "ask"


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("<View", "not XML"),
        ("", "not XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "not XML"),  # entities can be made to explode
        ("<View/>", "no <Image>"),
        (f"<View>{IMAGE}{PROMPT}</View>", "<BrushLabels"),
        (f'<View>{IMAGE}<BrushLabels name="b" toName="image"/></View>', "<BrushLabels"),  # without labels
        (f'<View>{IMAGE}<BrushLabels name="b" toName="other"><Label value="A"/></BrushLabels></View>', "<BrushLabels"),
        (f'<View><Image name="image" valueList="$images"/>{BRUSH}</View>', 'value="$image"'),
    ],
)
def test_a_config_that_cannot_be_answered_says_what_to_add(xml, says):
    with pytest.raises(BadConfig, match="(?s).*" + says.replace("$", r"\$")):
        protocol.read_config(xml)


@patiently
@given(st.text())
def test_any_text_is_a_config_or_a_bad_one(xml):
    with pytest.raises(BadConfig):
        protocol.read_config(xml)


@patiently
@given(st.lists(st.text("abcXYZ é", min_size=1).filter(str.strip), min_size=1, unique=True))
def test_labels_survive_the_way_through_xml(labels):
    from xml.sax.saxutils import quoteattr

    control = control_of(*(f"<Label value={quoteattr(label)}/>" for label in labels))
    assert control.labels == tuple(labels)
    assert all(protocol.pick_label(control, f"{label}: the dog", "dog").expression == "the dog" for label in labels)


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
    assert protocol.read_config(call.label_config).prompts == ("prompt",)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("predict_interactive_textarea.json", ("the dog left of the bench",)),
        ("predict_interactive_textarea_second_prompt.json", ("the dog left of the bench", "the bench")),
        ("predict_interactive_keypoint.json", None),
        ("predict_interactive_rectangle.json", None),
        ("predict_interactive_empty_context.json", None),
        ("predict_open_unlabelled_task.json", None),
    ],
)
def test_prompts_are_found_in_recorded_contexts(name, texts):
    call = protocol.read_predict(request_body(name))
    prompt = protocol.read_prompt(call.context, protocol.read_config(call.label_config))
    assert (prompt and prompt.texts) == texts


def test_a_per_region_textarea_is_no_prompt():
    config = config_of(IMAGE, BRUSH, PROMPT, '<TextArea name="note" toName="image" perRegion="true"/>')
    note = {"type": "textarea", "from_name": "note", "id": "a", "value": {"text": ["x"]}}
    assert protocol.read_prompt([note], config) is None


MESSAGE_AREA = '<TextArea name="ris_message" toName="image" maxSubmissions="0" readOnly="true"/>'


def test_the_place_for_messages_is_no_prompt():
    config = config_of(IMAGE, BRUSH, MESSAGE_AREA.replace("/>", ' value="$told"/>'), PROMPT)
    assert (config.prompts, config.expression_key) == (("prompt",), "expression")
    told = {"type": "textarea", "from_name": "ris_message", "id": "a", "value": {"text": ["Nothing found."]}}
    typed = {"type": "textarea", "from_name": "prompt", "id": "b", "value": {"text": ["the dog"]}}
    assert protocol.read_prompt([told], config) is None
    assert protocol.read_prompt([typed, told], config) == protocol.Prompt("b", ("the dog",))


AREAS = {
    "beside a prompt": ([IMAGE, BRUSH, PROMPT, MESSAGE_AREA], "image"),
    "in any case": ([IMAGE, '<textarea NAME="ris_message" toname="picture"/>'], "picture"),
    "where nothing can be answered": ([MESSAGE_AREA], "image"),
    "of an object of its own": (['<Text name="t" value="$image"/>', MESSAGE_AREA.replace("image", "t")], "t"),
    "none": ([IMAGE, BRUSH, PROMPT], None),
    "of regions": ([IMAGE, MESSAGE_AREA.replace("/>", ' perRegion="true"/>')], None),
    "without an object": (['<TextArea name="ris_message"/>'], None),
    "of another kind": (['<Choices name="ris_message" toName="image"/>'], None),
    "not XML": (["<"], None),
}


@pytest.mark.parametrize(("tags", "name"), AREAS.values(), ids=AREAS)
def test_the_place_for_messages_is_found(tags, name):
    assert protocol.find_message_area(f"<View>{''.join(tags)}</View>") == name


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


@pytest.mark.parametrize(
    ("texts", "last_texts", "expressions"),
    [
        (["a"], None, ("a",)),  # the first
        (["a", "b"], ["a"], ("b",)),  # one more
        (["a2", "b"], ["a", "b"], ("a2",)),  # an earlier one was edited
        (["b", "c"], ["a", "b"], ("c",)),  # one was removed, then one added
        (["a", "a"], ["a"], ("a",)),  # the same again
        (["a", "b"], ["a", "b"], ("b",)),  # nothing changed
        (["a", "b"], None, ("b",)),  # seen for the first time with two
        (["a ; b;;a"], None, ("a", "b")),  # several at once
        ([" ; "], None, ()),  # blank
        ([], ["a"], ()),  # empty
    ],
)
def test_the_entry_that_changed_is_asked_else_the_last(texts, last_texts, expressions):
    assert protocol.find_asked(texts, last_texts) == expressions


@patiently
@given(st.lists(words, min_size=1), st.data())
def test_an_edited_entry_is_always_found(texts, data):
    index = data.draw(st.integers(0, len(texts) - 1))
    edited = [*texts]
    edited[index] = "something new"
    assert protocol.find_asked(edited, texts) == ("something new",)


def test_too_many_expressions_at_once_are_refused():
    with pytest.raises(BadExpression, match="17"):
        protocol.split_expressions(";".join(str(i) for i in range(17)))


FRUIT = '<Label value="Fruit" predicted_values="apple, pear,Passion Fruit"/>'
LIGHT = '<Label value="Traffic light"/>'
ANIMAL = '<Label value="Dog" alias="animal"/>'


@pytest.mark.parametrize(
    ("text", "head", "label", "expression", "is_guess"),
    [
        ("the red apple", "apple", "Fruit", "the red apple", False),  # predicted_values
        ("two apples", "apples", "Fruit", "two apples", False),  # plural
        (
            "the traffic light on the left",
            "light",
            "Traffic light",
            "the traffic light on the left",
            False,
        ),  # two words
        ("the light on the left", "light", "Fruit", "the light on the left", True),  # only half of the name
        ("the dog", "dog", "animal", "the dog", False),  # a label is written as its alias
        ("animal: the brown one", "one", "animal", "the brown one", False),  # prefix
        ("TRAFFIC LIGHT :  the left one", "one", "Traffic light", "the left one", False),  # in any case
        ("the sign: stop", "sign", "Fruit", "the sign: stop", True),  # a colon that follows no label
        ("Dog:", "", "Fruit", "Dog:", True),  # nothing after the prefix
        ("the man", "", "Fruit", "the man", True),  # no head
    ],
)
def test_the_label_comes_from_prefix_else_noun_else_is_a_guess(text, head, label, expression, is_guess):
    picked = protocol.pick_label(control_of(FRUIT, LIGHT, ANIMAL), text, head)
    assert (picked.label, picked.expression, picked.is_guess) == (label, expression, is_guess)


def test_the_only_label_is_no_guess():
    picked = protocol.pick_label(control_of('<Label value="Object"/>'), "object: the red apple", "apple")
    assert (picked.label, picked.expression, picked.is_guess) == ("Object", "the red apple", False)


def test_a_labels_own_name_beats_another_labels_alias():
    control = control_of('<Label value="A" predicted_values="B"/>', '<Label value="B"/>')
    assert protocol.pick_label(control, "the b", "b").label == "B"
