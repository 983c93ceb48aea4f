"""Label configs, read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.base.errors import BadConfig
from backend.label_studio import config_tags
from backend.label_studio.label_config import find_message_area, read_config
from backend.label_studio.prompt import ParsedPrompt, pick_label, read_prompt
from tests.backend.configs import BRUSH, IMAGE, MESSAGE_AREA, PROMPT, ROOT, config_of, control_of, request_body

patiently = settings(deadline=None, max_examples=50)


def test_controls_within_controls_are_read_once_each(monkeypatch):
    read = []
    lower = config_tags._lower
    monkeypatch.setattr(config_tags, "_lower", lambda element: read.append(element) or lower(element))
    control = '<BrushLabels name="brush" toName="image"><Label value="Object"/>'
    config = config_of(IMAGE, 300 * control, 300 * "</BrushLabels>")
    assert len(config.controls) == 300
    assert len(read) < 1000


@pytest.mark.parametrize("file", sorted((ROOT / "label_config").glob("*.xml")), ids=lambda file: file.name)
def test_every_shipped_config_has_an_image_a_prompt_a_place_for_messages_and_one_control_for_masks(file):
    xml = file.read_text()
    config = read_config(xml)
    assert (config.image_name, config.image_key, config.prompts) == ("image", "image", ("prompt",))
    assert find_message_area(xml) == "ris_message_for"  # a result of the image would get the labels of the page
    assert len({control.name for control in config.controls}) == 1  # a label of another would spoil what is accepted


def test_smart_only_controls_are_never_answered():
    config = read_config(request_body("predict_interactive_answer_brush_and_polygon.json")["label_config"])
    assert [control.name for control in config.controls] == ["brush", "polygon"]
    config = read_config(request_body("predict_interactive_keypoint.json")["label_config"])
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
    config = read_config(
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
        read_config(xml)


@patiently
@given(st.text())
def test_any_text_is_a_config_or_a_bad_one(xml):
    with pytest.raises(BadConfig):
        read_config(xml)


@patiently
@given(st.lists(st.text("abcXYZ é", min_size=1).filter(str.strip), min_size=1, unique=True))
def test_labels_survive_the_way_through_xml(labels):
    from xml.sax.saxutils import quoteattr

    control = control_of(*(f"<Label value={quoteattr(label)}/>" for label in labels))
    assert control.labels == tuple(labels)
    assert all(pick_label(control, f"{label}: the dog", "dog").expression == "the dog" for label in labels)


@pytest.mark.parametrize(
    ("names", "prompts"),
    [
        (("prompt", "prompt_comment"), ("prompt",)),
        (("promptNotes", "prompt_cars", "prompt_trees"), ("prompt_cars", "prompt_trees")),
        (("prompt", "facial_expression"), ("prompt",)),
        (("expression", "expression-remarks"), ("expression",)),
        (("review", "rationale", "say"), ("say",)),
        (("facial_expression",), ("facial_expression",)),
    ],
)
def test_a_remark_on_a_prompt_is_no_prompt(names, prompts):
    areas = (f'<TextArea name="{name}" toName="image"/>' for name in names)
    assert config_of(IMAGE, BRUSH, *areas).prompts == prompts


def test_the_place_for_messages_is_no_prompt():
    config = config_of(IMAGE, BRUSH, MESSAGE_AREA.replace("/>", ' value="$told"/>'), PROMPT)
    assert (config.prompts, config.expression_key) == (("prompt",), "expression")
    told = {"type": "textarea", "from_name": "ris_message", "id": "a", "value": {"text": ["Nothing found."]}}
    typed = {"type": "textarea", "from_name": "prompt", "id": "b", "value": {"text": ["the dog"]}}
    assert read_prompt([told], config) is None
    assert read_prompt([typed, told], config) == ParsedPrompt("b", ("the dog",), "prompt")


def test_a_prompt_may_belong_to_the_text_of_the_messages_which_stands_for_its_image():
    first = '<Image name="before" value="$before"/><BrushLabels name="first" toName="before"><Label value="A"/></BrushLabels>'
    text = '<Text name="told" value="$image"/>'
    area = MESSAGE_AREA.replace('toName="image"', 'toName="told"')
    asked = '<TextArea name="question" toName="told"/>'
    config = config_of(first, IMAGE, BRUSH, text, area, PROMPT.replace('toName="image"', 'toName="told"'), asked)
    assert (config.image_name, config.prompts) == ("image", ("prompt",))
    assert [control.to_name for control in config.controls] == ["image"]
    assert config.cleaned_prompts == {"prompt": "told", "question": "told"}
    assert config.with_prompt("question").prompts == ("question",)


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
    assert find_message_area(f"<View>{''.join(tags)}</View>") == name
