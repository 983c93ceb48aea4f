"""The edit that makes somebody's own label config work, and what it leaves alone."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import BadConfig
from backend.label_studio.config_edit import LabelNeeded, edit_config
from backend.label_studio.label_config import MESSAGE_NAME, find_message_area, read_config
from backend.label_studio.xml_text import around, read_elements

OURS = Path(__file__).parents[2] / "label_config"
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
    rest = edit_config(config).after.replace(' smart="false"', "")
    for part in re.findall(r"<[^>]*>|[^<]*[^<\s][^<]*", config):
        before, found, rest = rest.partition(part)
        assert found, f"{part} is gone, or stands before {before[-80:]}"


def test_the_diff_takes_nothing_away_but_lines_that_get_more():
    diff = edit_config(CONFIGS["comments"]).diff.splitlines()
    assert [line for line in diff if line.startswith("-")] == ["--- label config", f"-  {BRUSH}"]
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
    elements = read_elements(edit_config(CONFIGS["prompt of its own"]).after)
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
    for part in (f"<View{style}>", *before, brush, image, *after, "</View>"):
        assert part in edited
        edited = edited[edited.index(part) :] if part.strip() else edited
