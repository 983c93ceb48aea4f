import numpy as np
import pytest
from label_studio_sdk.converter.brush import mask2rle

from backend.label_studio import regions
from backend.label_studio.drawn_regions import read_drawn, read_texts
from backend.label_studio.label_config import MESSAGE_NAME, read_config
from ris_core.geometry.masks import from_rle, iou
from tests.backend.corrections.made import CONFIG, HEIGHT, WIDTH, box, brush


def one(*results):
    [found] = read_drawn(list(results))[0]
    return found


@pytest.mark.parametrize("kind", ["brush", "polygon", "rectangle"])
def test_what_was_handed_out_is_read_as_it_was_shown(kind):
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:60] = True
    tag = {"brush": "BrushLabels", "polygon": "PolygonLabels", "rectangle": "RectangleLabels"}[kind]
    control = read_config(CONFIG.replace("BrushLabels", tag)).controls[0]
    found = one(regions.make_region(mask, control, "Object", "abc", 0.5, "the box", {"task": "7"}))
    assert iou(from_rle(found.mask)[None], mask[None])[0, 0] >= 0.999
    assert (found.expression, found.wording, found.label, found.score) == ("the box", "meta", "Object", 0.5)
    assert found.made_for == "7"


def test_a_turned_rectangle_turns_about_its_corner():
    value = {"x": 50, "y": 0, "width": 25, "height": 50, "rotation": 90, "rectanglelabels": ["Object"]}
    result = {**brush("r", box(0, 0)), "type": "rectanglelabels", "value": value}
    rows, columns = np.nonzero(from_rle(one(result).mask))
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (0, 10, 5, 20)


def test_soft_edges_are_cut_in_the_middle():
    soft = np.zeros((HEIGHT, WIDTH), np.uint8)
    soft[:, :10], soft[:, 10:20], soft[:, 20:30] = 255, 128, 127
    result = brush("a", box(0, 0))
    result["value"]["rle"] = mask2rle(soft)
    assert from_rle(one(result).mask).sum() == HEIGHT * 20


def text(id: str, *entries: str, name: str = "expression"):
    return {"id": id, "type": "textarea", "from_name": name, "to_name": "image", "value": {"text": list(entries)}}


@pytest.mark.parametrize(
    ("results", "expression", "wording"),
    [
        ([brush("a", box(0, 0), "in meta")], "in meta", "meta"),
        ([brush("a", box(0, 0), "in meta"), text("a", "its own")], "its own", "region"),
        ([text("a", " its own "), brush("a", box(0, 0))], "its own", "region"),
        ([brush("a", box(0, 0)), text("b", "another's")], None, None),
        ([brush("a", box(0, 0)), text("a", "  ")], None, None),
    ],
)
def test_a_regions_own_words_go_before_its_meta(results, expression, wording):
    found = one(*results)
    assert (found.expression, found.wording) == (expression, wording)


def test_strays_of_the_same_id_and_clicks_and_messages_are_none():
    stray = {
        **brush("a", box(20, 0)),
        "type": "polygonlabels",
        "value": {"format": "rle", "rle": [1], "polygonlabels": []},
    }
    bare = {**brush("m", box(0, 0)), "value": {"brushlabels": ["Object"]}}
    click = {**brush("k", box(0, 0)), "type": "keypointlabels", "value": {"x": 1, "y": 1, "width": 1}}
    smart = {**brush("s", box(0, 0)), "type": "rectanglelabels", "from_name": "box"}
    smart["value"] = {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["Box"]}
    message = text("m", "Nothing found.", name=MESSAGE_NAME)
    results = [stray, brush("a", box(0, 0)), bare, click, smart, message, "nonsense", None]
    found, problems = read_drawn(results, frozenset({"box"}))
    assert [(region.id, from_rle(region.mask).sum()) for region in found] == [("a", 100)]
    assert problems == ()
    assert read_texts([message, text("p", "the dog"), text("a", "of a region"), brush("a", box(0, 0))]) == (
        ("p", ("the dog",)),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"original_width": 0},
        {"original_height": None},
        {"value": {"format": "rle", "rle": "text"}},
        {"value": {"format": "rle", "rle": [999]}},
        {"type": "polygonlabels", "value": {"points": [[0, 0], [1, 1]]}},
        {"type": "polygonlabels", "value": {"points": [[0, 0], [1, float("nan")], [3, 3]]}},
        {"type": "rectanglelabels", "value": {"x": 0, "width": 3}},
    ],
)
def test_what_cannot_be_read_is_told_and_the_others_are_read(change):
    found, problems = read_drawn([{**brush("a", box(0, 0)), **change}, brush("b", box(0, 0))])
    assert [region.id for region in found] == ["b"]
    assert len(problems) == 1
    assert "region a" in problems[0]
