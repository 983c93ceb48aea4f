"""The layout of the page: in our own label configs, and in those of projects that were connected by an earlier version."""

import re
from pathlib import Path

import pytest

from backend.label_studio.config_edit import edit_config
from backend.label_studio.page_layout import MESSAGE_STYLE, PROMPT_STYLE, picture_height

ROOT = Path(__file__).parents[3]
OURS = sorted((ROOT / "label_config").glob("*.xml"))
EARLIER = sorted((ROOT / "tests" / "data").glob("label-config-*.xml"))
"""A config of ours, and one that `ris connect` completed, both of version 0.2."""


def rules_of(config: str) -> str:
    """The style rules, a line each."""
    styles = "\n".join(re.findall(r"<Style>(.*?)</Style>", config, re.S))
    return "\n".join(line.strip() for line in styles.splitlines() if line.strip())


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_our_configs_have_the_layout_that_connect_writes(file: Path):
    config = file.read_text(encoding="utf-8")
    assert rules_of(config) == f"{PROMPT_STYLE}\n{MESSAGE_STYLE}"
    assert f'maxHeight="{picture_height(re.findall(r"<Label value=.([^>]*?). ", config))}"' in config
    assert edit_config(config).changes == ()


@pytest.mark.parametrize("file", EARLIER, ids=lambda file: file.name)
def test_projects_that_are_connected_are_offered_the_new_layout(file: Path):
    earlier = file.read_text(encoding="utf-8")
    edit = edit_config(earlier)
    assert edit.changes == (
        "the page's new layout: the picture stays in view and does not move",
        "a height of the picture that keeps it in view",
    )
    prefix = "ris-" if "ris-prompt" in earlier else ""
    assert rules_of(edit.after) == f"{PROMPT_STYLE}\n{MESSAGE_STYLE}".replace(".ris-", f".{prefix}")
    assert edit_config(edit.after).changes == ()
    bare = [re.sub(r"(?s)<Style>.*?</Style>| maxHeight=\"[^\"]*\"", "", text) for text in (earlier, edit.after)]
    assert bare[0] == bare[1]  # the annotations that were made with it stay valid


def test_other_peoples_styles_stay():
    style = "<Style>.prompt { max-height: 136px; } .message { min-height: 36px }</Style>"
    config = f'<View>{style}<TextArea name="prompt" toName="image"/><BrushLabels name="b" toName="image" smart="false">'
    config += '<Label value="A"/></BrushLabels><Image name="image" value="$image"/></View>'
    assert style in edit_config(config).after


def test_more_rows_of_labels_leave_less_to_the_picture():
    assert picture_height(["Object"]) == "calc(100vh - 306px)"
    assert picture_height(["Traffic light"] * 12) == "calc(100vh - 374px)"
