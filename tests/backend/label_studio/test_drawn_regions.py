import base64
import io
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import mask2rle
from PIL import Image as Pil

from backend.label_studio import regions
from backend.label_studio.annotation_layout import AnnotationLayout, choose_region_texts, read_layout
from backend.label_studio.drawn_regions import DrawnRegion, read_drawn, read_texts
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
    found, problems = read_drawn(results, AnnotationLayout(gestures=frozenset({"box"})))
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


def shape(kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**brush("s", box(0, 0)), "type": kind, "value": value, **more}


def test_every_entry_of_a_regions_texts_is_an_expression_and_a_note_never_is():
    results = [
        brush("a", box(0, 0)),
        text("a", "the dog", "the brown dog"),
        text("a", "check with Ann", name="comment"),
        brush("b", box(20, 0), "in meta"),
        text("b", "ask again", name="comment"),
    ]
    first, second = read_drawn(results)[0]
    assert first.expressions == ("the dog", "the brown dog")
    assert first.texts == (("expression", ("the dog", "the brown dog")), ("comment", ("check with Ann",)))
    assert (second.expressions, second.wording) == (("in meta",), "meta")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        pytest.param(["comment", "expression"], ("expression",), id="named"),
        pytest.param(["expression_1", "note", "expression_2"], ("expression_1", "expression_2"), id="two are named"),
        pytest.param(["text", "reason", "more"], ("text",), id="the first that is none of notes"),
        pytest.param(["caption"], ("caption",), id="a text that describes, where there is no other"),
        pytest.param(["caption", "words"], ("words",), id="a neutral name goes first"),
        pytest.param(["comment"], (), id="notes only"),
        pytest.param([], (), id="none"),
    ],
)
def test_which_texts_of_regions_are_expressions(names, chosen):
    assert choose_region_texts(names) == chosen
    areas = "".join(f'<TextArea name="{name}" toName="image" perRegion="true"/>' for name in names)
    layout = read_layout(CONFIG.replace("</View>", f"{areas}</View>", 1))
    results = [brush("a", box(0, 0)), *(text("a", name, name=name) for name in names)]
    assert read_drawn(results, layout)[0][0].expressions == chosen


def test_a_text_whose_control_is_gone_is_read_by_its_name():
    results = [brush("a", box(0, 0)), text("a", "the dog", name="words"), text("a", "hm", name="comment")]
    assert read_drawn(results, read_layout(CONFIG))[0][0].expressions == ("the dog",)


def test_a_note_about_the_task_is_no_text_of_a_prompt():
    notes = '<TextArea name="comment" toName="image"/></View>'
    layout = read_layout(CONFIG.replace("</View>", notes, 1))
    results = [text("p", "the dog", name="prompt"), text("n", "none: of our business", name="comment")]
    assert read_texts(results, layout) == (("p", ("the dog",)),)


@pytest.mark.parametrize(
    ("value", "rows", "columns", "area"),
    [
        pytest.param({"x": 50, "y": 50, "radiusX": 25, "radiusY": 20}, (9, 21), (10, 30), np.pi * 10 * 6, id="level"),
        pytest.param(
            {"x": 50, "y": 50, "radiusX": 25, "radiusY": 20, "rotation": 90},
            (5, 25),
            (14, 26),
            np.pi * 60,
            id="turned about its centre",
        ),
        pytest.param({"x": 0, "y": 0, "radiusX": 25, "radiusY": 20}, (0, 6), (0, 10), np.pi * 15, id="cut"),
    ],
)
def test_an_ellipse_is_the_pixels_inside(value, rows, columns, area):
    found = one(shape("ellipselabels", {**value, "ellipselabels": ["Object"]}))
    inside = np.nonzero(from_rle(found.mask))
    assert [(axis.min(), axis.max() + 1) for axis in inside] == [rows, columns]
    assert from_rle(found.mask).sum() == pytest.approx(area, rel=0.06)
    assert (found.shape, found.label) == ("ellipse", "Object")


def bitmask(mask: np.ndarray) -> str:
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = (200, 0, 0, 90)
    buffer = io.BytesIO()
    Pil.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_a_bitmask_is_what_is_not_transparent():
    mask = box(3, 4, 7, 5)
    found = one(shape("bitmask", {"imageDataURL": bitmask(mask)}))
    np.testing.assert_array_equal(from_rle(found.mask), mask)
    assert found.shape == "bitmask"


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (shape("bitmask", {"imageDataURL": bitmask(np.ones((5, 5), bool))}), "5x5"),
        (shape("bitmask", {"imageDataURL": "data:image/png;base64,AAAA"}), "cannot be read"),
        (shape("bitmask", {"imageDataURL": "https://elsewhere/mask.png"}), "no PNG"),
        (shape("ellipse", {"x": 1, "y": 1, "radiusX": 0, "radiusY": 3}), "without an area"),
        (shape("keypointlabels", {"x": 1, "y": 1, "width": 1}), "a point"),
        (shape("vectorlabels", {"vertices": []}), "a path"),
        (shape("rectangle", {"x": 1, "y": 1, "width": 9, "height": 9}, to_name="other"), "'other'"),
    ],
)
def test_what_is_drawn_and_not_recorded_is_told(result, says):
    found, problems = read_drawn([result], read_layout(CONFIG))
    assert found == ()
    assert [problem.startswith("region s: ") and says in problem for problem in problems] == [True]


def test_a_label_may_stand_in_a_control_of_its_own():
    """`<Labels>` beside `<Brush>`, as Label Studio saves them."""
    drawn = brush("a", box(0, 0))
    value = {name: drawn["value"][name] for name in ("format", "rle")}
    results = [
        {**drawn, "type": "labels", "from_name": "labels", "value": {**value, "labels": ["Dog"]}},
        {**drawn, "type": "brush", "value": value},
    ]
    found = one(*results)
    assert (found.label, found.shape, from_rle(found.mask).sum()) == ("Dog", "brush", 100)


def test_the_labels_of_a_config_are_in_its_order():
    labels = (
        '<EllipseLabels name="e" toName="image"><Label value="Zebra"/><Label value="b" alias="Ape"/></EllipseLabels>'
    )
    config = CONFIG.replace("<View>", f"<View>{labels}", 1)
    assert read_layout(config).labels[:2] == ("Zebra", "Ape")


def test_records_of_earlier_versions_are_read():
    stored = one(brush("a", box(0, 0), "the box")).to_json()
    new = {"shape", "expressions", "texts"}
    earlier = DrawnRegion.from_json({name: value for name, value in stored.items() if name not in new})
    assert (earlier.sentences, earlier.shape) == (("the box",), "")
    assert DrawnRegion.from_json(stored) == one(brush("a", box(0, 0), "the box"))
