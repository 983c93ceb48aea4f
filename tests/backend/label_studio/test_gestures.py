"""Clicks and boxes, as Label Studio 1.23.2 was recorded to send them, and as nobody should."""

import json
from pathlib import Path

import numpy as np
import pytest

from backend.label_studio import protocol
from backend.label_studio.gestures import MAX_CLICKS, Gesture, read_gesture, takes_gestures
from backend.label_studio.label_config import read_config
from ris_core.errors import BadExpression

TRAFFIC = Path(__file__).parents[2] / "data" / "label-studio-traffic"
LABEL_CONFIGS = Path(__file__).parents[3] / "label_config"
SIZE_HW = (480, 640)


def replay(name: str) -> tuple[Gesture | None, protocol.PredictCall]:
    call = protocol.read_predict(json.loads((TRAFFIC / name).read_text())["request"]["body"])
    return read_gesture(call.context, read_config(call.label_config)), call


def click(x=50.0, y=50.0, is_positive=True, **more):
    value = {"x": x, "y": y, "width": 0.2, "keypointlabels": ["Dog"]}
    given = {"id": "c", "type": "keypointlabels", "to_name": "image", "is_positive": is_positive, "value": value}
    return given | more


def box(x=10.0, y=20.0, width=30.0, height=40.0, **more):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["Cat"]}
    return {"id": "b", "type": "rectanglelabels", "to_name": "image", "value": value} | more


CONFIG = read_config((LABEL_CONFIGS / "prompt_click_box.xml").read_text())


def test_recorded_click_is_read_in_pixels_of_the_image():
    gesture, _ = replay("predict_interactive_keypoint.json")
    assert (gesture.id, gesture.label, gesture.box) == ("gV5cZ9v96I", "Click", None)
    prompts = gesture.to_prompts(SIZE_HW)
    np.testing.assert_allclose(prompts.points_xy, [[198.18, 240]], atol=0.01)
    assert prompts.is_positive.tolist() == [True]
    assert prompts.box_xyxy is None


def test_recorded_clicks_add_up_in_the_order_they_were_made():
    gesture, call = replay("predict_interactive_keypoints_pos_neg.json")
    assert gesture.id == call.context[0]["id"]
    prompts = gesture.to_prompts(SIZE_HW)
    np.testing.assert_allclose(prompts.points_xy, [[320.36, 377.09], [350.19, 399.82], [259.27, 399.82]], atol=0.01)
    assert prompts.is_positive.tolist() == [True, True, False]


def test_recorded_box_is_read_in_pixels_of_the_image():
    gesture, _ = replay("predict_interactive_rectangle.json")
    assert (gesture.clicks, gesture.label) == ((), "Object")
    prompts = gesture.to_prompts(SIZE_HW)
    assert prompts.points_xy.shape == (0, 2)
    np.testing.assert_allclose(prompts.box_xyxy, [289.81, 354.36, 380.73, 445.99], atol=0.01)


@pytest.mark.parametrize("file", sorted(TRAFFIC.glob("predict_*.json")), ids=lambda file: file.stem)
def test_only_clicks_and_boxes_are_gestures(file):
    gesture, _ = replay(file.name)
    assert (gesture is not None) == ("keypoint" in file.name or "rectangle" in file.name)


def test_gesture_survives_being_stored():
    gesture = read_gesture([click(1, 2), click(3, 4, False), box()], CONFIG)
    assert gesture == Gesture("c", ((1, 2, True), (3, 4, False)), (10, 20, 40, 60), "Cat")
    assert Gesture.from_json(json.loads(json.dumps(gesture.to_json()))) == gesture


def test_newest_of_several_boxes_counts():
    assert read_gesture([box(), box(50, 60, 10, 20)], CONFIG).box == (50, 60, 60, 80)


def test_what_is_drawn_over_the_edge_ends_there():
    assert read_gesture([box(-10, 90, 30, 40)], CONFIG).box == (0, 90, 20, 100)
    assert read_gesture([click(101, -1)], CONFIG).clicks == ((100, 0, True),)


def test_turned_picture_is_clicked_on_where_it_is():
    assert read_gesture([click(10, 20, image_rotation=90)], CONFIG).clicks == ((10, 20, True),)


NOTHING = {
    "no context": None,
    "after a submit": [],
    "another image": [click(to_name="other")],
    "a stroke of the brush": [{**click(), "type": "brushlabels"}],
    "no value": [{"type": "keypoint", "to_name": "image"}],
    "no coordinates": [click(x=None)],
    "a truth value": [click(x=True)],
    "no number": [click(x=float("nan"))],
    "far away": [click(x=10**400)],
    "text": [click(x="50")],
    "a box without area": [box(width=0)],
    "a box beside the image": [box(x=120)],
}


@pytest.mark.parametrize("context", NOTHING.values(), ids=NOTHING)
def test_what_points_nowhere_is_no_gesture(context):
    assert read_gesture(context, CONFIG) is None


WHERE = {
    "a click": ([click()], True),
    "a box": ([box()], True),
    "a click beside it, and one on it": ([click(is_positive=False), click()], True),
    "only what does not belong to it": ([click(is_positive=False)], False),
}


@pytest.mark.parametrize(("context", "is_positive"), WHERE.values(), ids=WHERE)
def test_a_gesture_knows_whether_it_says_where_the_thing_is(context, is_positive):
    assert read_gesture(context, CONFIG).is_positive is is_positive


def test_a_mask_that_is_corrected_goes_along():
    mask = np.ones(SIZE_HW, bool)
    assert read_gesture([click(is_positive=False)], CONFIG).to_prompts(SIZE_HW, mask).mask is mask


LABELS = {
    "of the newest": ([click(), box()], "Cat"),
    "none": ([{**click(), "type": "keypoint"}], ""),
    "no list": ([click(value={"x": 1, "y": 2, "keypointlabels": "Dog"})], ""),
    "no text": ([click(value={"x": 1, "y": 2, "keypointlabels": [7]})], ""),
}


@pytest.mark.parametrize(("context", "label"), LABELS.values(), ids=LABELS)
def test_label_is_that_of_the_control_that_was_used(context, label):
    assert read_gesture(context, CONFIG).label == label


def test_too_many_clicks_are_refused_with_what_to_do():
    assert len(read_gesture([click()] * MAX_CLICKS, CONFIG).clicks) == MAX_CLICKS
    with pytest.raises(BadExpression, match=f"{MAX_CLICKS + 1} clicks.*accept or reject"):
        read_gesture([click()] * (MAX_CLICKS + 1), CONFIG)


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ('<View><KeyPointLabels name="k" toName="i" smart="true"><Label value="a"/></KeyPointLabels></View>', True),
        ('<View><Rectangle name="k" toName="i" Smart="True"/></View>', True),
        ('<View><KeyPoint name="k" toName="i"/></View>', False),
        ('<View><!-- smart --><BrushLabels name="b" toName="i" smart="true"><Label value="a"/></BrushLabels></View>', False),
    ],
)  # fmt: skip
def test_smart_key_points_and_rectangles_take_gestures(xml, expected):
    assert takes_gestures(xml) is expected


def test_label_config_with_clicks_and_boxes_is_known_as_one():
    taking = [file.stem for file in sorted(LABEL_CONFIGS.glob("*.xml")) if takes_gestures(file.read_text())]
    assert taking == ["prompt_click_box"]
