"""Masks as Label Studio's regions, read back with the SDK and with OpenCV."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface
from pycocotools import mask as coco

from backend.label_studio import protocol
from backend.label_studio.drawn_regions import read_drawn
from backend.label_studio.label_config import read_config
from backend.label_studio.protocol import new_region_id
from backend.label_studio.regions import POLYGON_IOU, make_region

XML = """<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Object"/></BrushLabels>
  <PolygonLabels name="polygon" toName="image"><Label value="Object"/></PolygonLabels>
  <RectangleLabels name="box" toName="image"><Label value="Object"/></RectangleLabels></View>"""
BRUSH, POLYGON, BOX = read_config(XML).controls

patiently = settings(deadline=None, max_examples=50)
masks = arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24))).filter(np.any)
boxes = st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 30), st.integers(1, 20))


def region_of(mask, control=BRUSH, **kwargs):
    return make_region(mask, control, "Object", new_region_id(), 0.5, "the dog", **kwargs)


def box_mask(x, y, width, height, size_hw=(40, 60)):
    mask = np.zeros(size_hw, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def draw_polygon(region):
    """Fill the polygon as Label Studio understands it, sixteen times finer than the image's pixels; share of each pixel."""
    height, width, fine = region["original_height"], region["original_width"], 16
    points = np.array(region["value"]["points"]) / 100 * (width, height) * fine - 0.5
    drawn = cv2.fillPoly(np.zeros((height * fine, width * fine), np.uint8), [np.round(points).astype(np.int32)], 1)
    return cv2.resize(drawn.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)


@patiently
@given(masks)
def test_a_brush_holds_every_pixel(mask):
    value = region_of(mask)["value"]
    alpha = decode_rle(value["rle"]).reshape(*mask.shape, 4)[..., 3]
    np.testing.assert_array_equal(alpha, mask * np.uint8(255))
    assert (value["format"], value["brushlabels"]) == ("rle", ["Object"])


@patiently
@given(boxes)
def test_a_polygon_runs_along_the_edges_of_the_pixels(box):
    mask = box_mask(*box)
    np.testing.assert_allclose(draw_polygon(region_of(mask, POLYGON)), mask, atol=0.2)


@patiently
@given(st.integers(12, 19), st.integers(8, 19), st.integers(0, 180))
def test_a_polygon_of_a_smooth_thing_keeps_its_shape(a, b, angle):
    mask = cv2.ellipse(np.zeros((40, 60), np.uint8), (30, 20), (a, b), angle, 0, 360, 1, -1).astype(bool)
    drawn = draw_polygon(region_of(mask, POLYGON)) > 0.5
    assert (mask & drawn).sum() / (mask | drawn).sum() > 0.93


@patiently
@given(masks)
def test_a_polygon_is_inside_the_image_and_has_an_area(mask):
    points = np.array(region_of(mask, POLYGON)["value"]["points"], np.float32)
    assert len(points) >= 3
    assert cv2.contourArea(points) > 0
    assert points.min() >= 0
    assert points.max() <= 100


def test_what_a_polygon_loses_is_noted_and_its_holes_are_kept():
    mask = box_mask(2, 2, 20, 20) | box_mask(40, 5, 4, 4)
    mask[8:10, 8:10] = False
    region = region_of(mask, POLYGON)
    assert region["meta"]["ris"].keys() == {"polygon_iou", "dropped_parts"}
    assert region["meta"]["ris"]["dropped_parts"] == 1
    np.testing.assert_allclose(draw_polygon(region)[:, :30], mask[:, :30], atol=0.3)
    assert region_of(mask, BRUSH)["meta"] == {"text": ["the dog"]}


@patiently
@given(st.lists(boxes, max_size=5))
def test_a_polygon_of_one_part_keeps_all_its_holes(holes):
    """Read back as a polygon of COCO, which fills by the even-odd rule."""
    mask = ~np.logical_or.reduce([box_mask(*hole) for hole in holes], axis=0, initial=False) & np.ones((40, 60), bool)
    region = region_of(mask, POLYGON)
    assume("dropped_parts" not in region["meta"]["ris"])
    height, width = mask.shape
    fine = np.array(region["value"]["points"]) / 100 * (width, height) * 16
    outline = coco.merge(coco.frPyObjects([fine.ravel().tolist()], 16 * height, 16 * width))
    drawn, grown = coco.decode(outline).astype(bool), mask.repeat(16, 0).repeat(16, 1)
    assert (drawn & grown).sum() / (drawn | grown).sum() >= POLYGON_IOU - 0.01
    assert [one.mask["size"] for one in read_drawn([region])[0]] == [[height, width]]


def test_a_smooth_outline_takes_few_points():
    mask = cv2.ellipse(np.zeros((600, 800), np.uint8), (400, 300), (300, 200), 20, 0, 360, 1, -1).astype(bool)
    mask &= ~cv2.circle(np.zeros((600, 800), np.uint8), (380, 300), 60, 1, -1).astype(bool)
    region = region_of(mask, POLYGON)
    assert len(region["value"]["points"]) < 60
    assert region["meta"]["ris"]["polygon_iou"] >= POLYGON_IOU
    assert (draw_polygon(region) > 0.5)[300, 380] == 0


@patiently
@given(boxes)
def test_a_rectangle_is_the_tight_box(box):
    mask = box_mask(*box)
    value = region_of(mask, BOX)["value"]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert value["x"] / 100 * 60 == pytest.approx(columns[0])
    assert value["y"] / 100 * 40 == pytest.approx(rows[0])
    assert value["width"] / 100 * 60 == pytest.approx(len(columns))
    assert value["height"] / 100 * 40 == pytest.approx(len(rows))


@pytest.mark.parametrize("control", [BRUSH, POLYGON, BOX], ids=lambda control: control.kind)
def test_the_sdk_takes_every_kind(control):
    region = region_of(box_mask(3, 4, 20, 10), control, meta={"decision": "match"})
    answer = protocol.prediction([region], 0.5, "v")
    assert LabelInterface(XML).validate_prediction(answer, return_errors=True) == []
    assert (region["original_height"], region["original_width"]) == (40, 60)
    assert region["meta"]["ris"]["decision"] == "match"


@pytest.mark.parametrize(("score", "kept"), [(1.0000001, 1.0), (-0.1, 0.0), (np.float64(0.25), 0.25)])
def test_scores_stay_in_range(score, kept):
    region = make_region(box_mask(0, 0, 5, 5), BRUSH, "Object", "a", score, "x")
    assert region["score"] == kept
    assert type(region["score"]) is float


def test_an_empty_mask_or_a_foreign_label_is_no_region():
    with pytest.raises(ValueError, match="empty"):
        region_of(np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match="Click"):
        make_region(box_mask(0, 0, 2, 2), BRUSH, "Click", "a", 1.0, "x")


def test_region_ids_are_fresh():
    ids = {new_region_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(made) == 10 and made.isalnum() for made in ids)
