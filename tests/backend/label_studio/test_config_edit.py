"""The edit that makes somebody's own label config work, and what it leaves alone."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.base.errors import BadConfig
from backend.label_studio.config_edit import LabelNeeded, edit_config
from backend.label_studio.label_config import MESSAGE_NAME, find_message_area, read_config
from backend.label_studio.xml_text import around, read_elements

OURS = Path(__file__).parents[3] / "label_config"
LABELS = '<Label value="Dog"/>'
BRUSH = f'<BrushLabels name="brush" toName="image">{LABELS}</BrushLabels>'
IMAGE = '<Image name="image" value="$image"/>'
BOX = f'<RectangleLabels name="prompt" toName="image">{LABELS}</RectangleLabels>'
BOX_TOOL = f'<RectangleLabels name="box" toName="image" smart="true" smartOnly="true">{LABELS}</RectangleLabels>'
POLYGON = f'<PolygonLabels\r\n    name="p"\r\n    toName="image"\r\n  >{LABELS}</PolygonLabels>'
PROMPT = '<TextArea name="say" toName="image"/>'
COMMENTS = f"<!-- ours > 'yours' -->\n  <Header value=\"Dogs — only\"/>\n  <!-- {BRUSH} -->"
QUOTED = '<BrushLabels name="b" toName=\'a"b&lt;\'><Label value=\'Ü "1"\'/></BrushLabels>'
CONFIGS = {
    "brush on one line": f"<View>{BRUSH}{IMAGE}</View>",
    "labels under the image": f"<View>\n  {IMAGE}\n  {BRUSH}\n</View>",
    "labels beside the image": f'<View style="display: flex;"><View>{BRUSH}</View><View>{IMAGE}</View></View>',
    "image in a row itself": f'<View style="display:flex;flex-direction:row-reverse">\n\t{IMAGE}\n\t{BRUSH}\n</View>\n',
    "from the bottom up": f'<View style="display:flex;flex-direction: column-reverse;">{IMAGE}{BRUSH}</View>',
    "boxes only": f"<View>{BOX}{IMAGE}</View>",
    "polygons, Windows": f"<View>\r\n  {IMAGE}\r\n  {POLYGON}\r\n</View>",
    "prompt of its own": f'<View><View className="x">{PROMPT}</View>{BRUSH}{IMAGE}</View>',
    "prompt beside the image": f"<View><View>{PROMPT}{IMAGE}</View>{BRUSH}</View>",
    "names with quotes": f"<View><Image name='a\"b&lt;' value='$x>y'/>{QUOTED}</View>",
    "prompt under the image": f"<View>{BRUSH}{IMAGE}{PROMPT}</View>",
    "comments": f"<View>\n  {COMMENTS}\n  {BRUSH}\n  {IMAGE}\n</View>",
    "boxes of a tool": f"<View>{BRUSH}{BOX_TOOL}{IMAGE}</View>",
}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def config(request: pytest.FixtureRequest) -> str:
    return request.param


def test_edited_config_takes_expressions_and_shows_messages(config: str):
    edit = edit_config(config)
    read = read_config(edit.after)
    assert read.prompts
    assert find_message_area(edit.after) == "ris_message_for"


def test_edited_config_needs_no_further_edit(config: str):
    edit = edit_config(config)
    again = edit_config(edit.after)
    assert edit.changes
    assert (again.after, again.changes, again.diff) == (edit.after, (), "")


def test_the_authors_text_is_all_there_in_its_order(config: str):
    rest = re.sub(' smart="false"| maxHeight="[^"]*"', "", edit_config(config).after)
    for part in re.findall(r"<[^>]*>|[^<]*[^<\s][^<]*", config):
        before, found, rest = rest.partition(part)
        assert found, f"{part} is gone, or stands before {before[-80:]}"


def test_the_diff_takes_nothing_away_but_lines_that_get_more():
    diff = edit_config(CONFIGS["comments"]).diff.splitlines()
    assert [line for line in diff if line.startswith("-")] == ["--- label config", f"-  {BRUSH}", f"-  {IMAGE}"]
    assert f"+  {BRUSH}".replace(' toName="image"', ' toName="image" smart="false"') in diff


def test_names_stay_unique_as_label_studio_demands(config: str):
    names = [element.name for element in read_elements(edit_config(config).after) if element.name]
    assert len(set(names)) == len(names)


def test_what_is_put_in_stands_above_the_image_and_not_beside_it(config: str):
    elements = read_elements(edit_config(config).after)
    [message] = [element for element in elements if element.name == MESSAGE_NAME]
    [image] = [element for element in elements if element.tag == "image"]
    shared = [view for view in around(elements, message) if view in around(elements, image)]
    assert message.start < image.start
    assert "display" not in shared[-1].attributes.get("style", "")


def test_the_images_field_stays_one_of_images(config: str):
    """Of several tags that show a field, Label Studio takes the last one for what it is: thumbnails need an image."""
    elements = read_elements(edit_config(config).after)
    assert [e.tag for e in elements if e.name and e.attributes.get("value", "").startswith("$")] == ["text", "image"]
    assert len({e.attributes["value"] for e in elements if e.tag in ("text", "image")}) == 1


@pytest.mark.parametrize("file", sorted(OURS.glob("*.xml")), ids=lambda file: file.name)
def test_configs_of_ours_need_no_edit(file: Path):
    assert edit_config(file.read_text(encoding="utf-8")).changes == ()


def test_message_stands_right_under_the_input():
    elements = read_elements(edit_config(CONFIGS["prompt of its own"], prompt="say").after)
    names = [element.name for element in elements if element.name]
    [message] = [element for element in elements if element.name == MESSAGE_NAME]
    assert names[:3] == ["say", "ris_message_for", MESSAGE_NAME]
    assert "x" not in [view.attributes.get("classname") for view in around(elements, message)]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param("", "false", id="not decided"),
        pytest.param(' smart="true"', "true", id="wanted"),
        pytest.param(' smartOnly="true"', None, id="a tool that takes no masks"),
    ],
)
def test_smart_is_switched_off_only_where_the_author_has_not_decided(attributes: str, expected: str | None):
    polygon = f'<PolygonLabels name="tool" toName="image"{attributes}>{LABELS}</PolygonLabels>'
    elements = read_elements(edit_config(f"<View>{BRUSH}{polygon}{IMAGE}</View>").after)
    [tool] = [element for element in elements if element.name == "tool"]
    assert tool.attributes.get("smart") == expected


def remarks(name: str, connected: bool = False) -> str:
    area = f'<TextArea name="{MESSAGE_NAME}" toName="image" maxSubmissions="0"/>' if connected else ""
    return f'<View>{area}<TextArea name="{name}" toName="image"/>{BRUSH}{IMAGE}</View>'


@pytest.mark.parametrize("name", ["comment", "QA notes", "say", "Kommentar"])
def test_a_field_that_is_not_named_as_a_prompt_is_left_alone(name: str):
    edit = edit_config(remarks(name))
    assert edit.config.prompts == ("prompt",)
    assert f'"{name}" stays as it is' in edit.changes[0]


@pytest.mark.parametrize("name", ["prompt", "Prompt", "my_prompt", "TextPrompt", "expression"])
def test_a_field_that_is_named_as_a_prompt_is_taken(name: str):
    assert edit_config(remarks(name)).config.prompts == (name,)


def test_what_was_connected_before_stays_the_prompt():
    """Version 0.1 took any field; annotators are used to it by now."""
    edit = edit_config(remarks("comment", connected=True))
    assert edit.config.prompts == ("comment",)
    assert not any("input" in change for change in edit.changes)


def test_the_prompt_can_be_named():
    edit = edit_config(f'<View><TextArea name="a" toName="image"/>{remarks("b")}</View>', prompt="b")
    assert edit.config.prompts == ("b",)
    assert edit_config(edit.after, prompt="b").changes == ()
    with pytest.raises(BadConfig, match=r"'c'.*'a', 'b'"):
        edit_config(f'<View><TextArea name="a" toName="image"/>{remarks("b")}</View>', prompt="c")


UNANSWERABLE = {
    "a repeater": ('<Repeater on="$p" indexFlag="{{i}}"><Image name="x_{{i}}" value="$p[{{i}}].url"/>'
                   '<BrushLabels name="b_{{i}}" toName="x_{{i}}"><Label value="A"/></BrushLabels></Repeater>', "Repeater"),
    "a repeater around rows": ('<View><repeater on="$p"><View><image name="x" value="$p.url"/></View></repeater></View>'
                               f"{BRUSH}", "Repeater"),
    "an entry of a list": (f'<Image name="image" value="$images[0]"/>{BRUSH}', "one entry of a list"),
    "a field of an entry": (f'<Image name="image" value="$pages[12].url"/>{BRUSH}', "one entry of a list"),
    "an entry by a dot": (f'<Image name="image" value="$images.0"/>{BRUSH}', "one entry of a list"),
    "an address that is put together": (f'<Image name="image" value="$host/$file"/>{BRUSH}', "names no field"),
    "a list of images": (f'<Image name="image" valueList="$images"/>{BRUSH}', "valueList"),
    "a list beside a field": (f'<Image name="image" value="$image" valueList="$images"/>{BRUSH}', "valueList"),
    "dynamic labels beside static ones": (
        f'{IMAGE}<BrushLabels name="b" toName="image" value="$labels"><Label value="Car"/></BrushLabels>', "labels"),
    "dynamic labels": (f'{IMAGE}<BrushLabels name="b" toName="image" value="$labels"/>', "labels"),
    "a dynamic control before a static one": (
        f'{IMAGE}<BrushLabels name="b" toName="image" value="$labels"/>{POLYGON}', "labels"),
}  # fmt: skip


@pytest.mark.parametrize(("tags", "says"), UNANSWERABLE.values(), ids=UNANSWERABLE)
def test_a_config_that_can_never_be_answered_is_refused_whatever_is_put_in(tags: str, says: str):
    with pytest.raises(BadConfig, match=says) as caught:
        edit_config(f"<View>{tags}</View>", label="Object")
    assert says.split()[0] in caught.value.reason


def test_labels_of_tasks_that_no_mask_goes_to_are_no_obstacle():
    boxes = '<RectangleLabels name="r" toName="image" value="$labels"/>'
    assert [control.name for control in edit_config(f"<View>{boxes}{BRUSH}{IMAGE}</View>").config.controls] == ["brush"]


def test_an_image_beside_a_repeater_is_answered():
    pages = (
        '<Repeater on="$pages" indexFlag="{{idx}}"><Image name="page_{{idx}}" value="$pages[{{idx}}].url"/></Repeater>'
    )
    config = edit_config(f"<View>{IMAGE}{BRUSH}{pages}</View>").config
    assert config.image_name == "image"
    assert config.is_other_image("page_11")
    assert not config.is_other_image("page_x")


def test_a_taken_name_is_not_used_twice():
    edit = edit_config(CONFIGS["boxes only"])
    assert read_config(edit.after).prompts == ("prompt_2",)
    assert 'an input for expressions, "prompt_2"' in edit.changes


def test_masks_need_a_label_to_be_named():
    with pytest.raises(LabelNeeded, match="--label"):
        edit_config(f"<View>{IMAGE}</View>")


def test_masks_get_a_control_with_the_label_that_is_named():
    edit = edit_config(
        f'<View>{IMAGE}<Choices name="brush" toName="image"><Choice value="a"/></Choices></View>', 'A "&" B'
    )
    [control] = edit.config.controls
    assert (control.name, control.kind, control.labels) == ("brush_2", "brush", ('A "&" B',))


def test_a_label_is_not_used_where_there_is_a_control_already():
    assert "Cat" not in edit_config(CONFIGS["brush on one line"], "Cat").after


@pytest.mark.parametrize(
    ("config", "says"),
    [
        pytest.param('<View><Text name="t" value="$t"/></View>', "has no <Image>", id="no image"),
        pytest.param(IMAGE, "in its <View>", id="nothing around the image"),
        pytest.param("<View>", "not XML", id="not closed"),
        pytest.param("", "not XML", id="empty"),
        pytest.param(f"<!DOCTYPE v [<!ENTITY a 'b'>]><View>{IMAGE}&a;</View>", "not XML", id="entities"),
        pytest.param(f'<View>{BRUSH}<Image name="image" value="x"/></View>', "names no field", id="fixed image"),
        pytest.param(
            f'<View>{BRUSH}{IMAGE}<Rating name="ris_message" toName="image"/></View>', "something else", id="name taken"
        ),
    ],
)
def test_what_cannot_be_made_to_work_is_refused_with_the_reason(config: str, says: str):
    with pytest.raises(BadConfig, match=says):
        edit_config(config, "Dog")


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<&\"'"), min_size=1, max_size=5)
PIECES = st.sampled_from(
    ["\n", "\r\n  ", "<!-- é -->", '<Header value="ß>"/>', f"<View>{LABELS}</View>", "\t", "<Style>a{}</Style>"]
)


@given(
    st.lists(PIECES, max_size=6), st.lists(PIECES, max_size=6), NAMES, st.sampled_from(["", ' style="display:flex"'])
)
def test_any_text_around_stays_as_it_is(before: list[str], after: list[str], name: str, style: str):
    image = f'<Image name="{name}" value="$image" />'
    brush = f'<BrushLabels name="{name}2" toName="{name}" smart="false">{LABELS}</BrushLabels>'
    config = f"<View{style}>{''.join(before)}{brush}{image}{''.join(after)}</View>"
    edited = edit_config(config).after
    assert edit_config(edited).changes == ()
    edited = re.sub(' maxHeight="[^"]*"', "", edited)
    for part in (f"<View{style}>", *before, brush, image, *after, "</View>"):
        assert part in edited
        edited = edited[edited.index(part) :] if part.strip() else edited
