"""Masks land where the thing is, on the image that was meant and under a label of the project, whatever the label config."""

import io
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from backend.label_studio.client import LabelStudioClient
from benchmarks.labelling_page import LabellingPage
from demo.gallery import GALLERY, Exhibit
from demo.scenes import make_scene
from demo.up import decode_mask, measure_overlap
from tests.e2e.conftest import LABEL_CONFIGS, MakeProject, Project
from tests.e2e.gate import Gate

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

ImageOf = Callable[[Exhibit], str]
WIDE = GALLERY[9]
"""A scene of 400 by 300 pixels: turned or stretched, it would show."""
ORIENTATION, QUARTER_TURN = 0x0112, 6
"""EXIF: the camera was held upright; who shows the picture turns it clockwise."""


def read_config(name: str) -> str:
    return (LABEL_CONFIGS / f"{name}.xml").read_text(encoding="utf-8")


def submit_answer(
    annotator: LabellingPage, project: Project, task: int, expression: str, client: LabelStudioClient
) -> Any:
    """Ask, accept and submit; the one region that is saved."""
    annotator.open_task(project.id, task)
    annotator.ask(expression)
    annotator.accept()
    annotator.submit()
    [annotation] = client.request("GET", f"/api/tasks/{task}/annotations/")
    [region] = [result for result in annotation["result"] if result["type"] != "textarea"]
    return region


@pytest.fixture(scope="module")
def photos(make_project: MakeProject, upload: Callable[[str, bytes], str]) -> Project:
    """A turned photo and a large one, in a field that is not called `image`."""
    upright = Image.fromarray(make_scene(WIDE.seed).image)
    exif = Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    turned, large = io.BytesIO(), io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(turned, "JPEG", quality=95, exif=exif)
    upright.resize((4000, 3000), Image.Resampling.BICUBIC).save(large, "JPEG", quality=90)
    pictures = (upload("turned.jpg", turned.getvalue()), upload("large.jpg", large.getvalue()))
    config = read_config("prompt_click_box").replace('"$image"', '"$photo"')
    return make_project(config, [{"photo": picture} for picture in pictures])


@pytest.mark.parametrize(("row", "scale"), [(0, 1), (1, 10)], ids=["turned by EXIF", "4000x3000"])
def test_photo_gets_its_mask_at_the_size_and_in_the_place_that_is_seen(
    annotator: LabellingPage, photos: Project, client: LabelStudioClient, row: int, scale: int
):
    region = submit_answer(annotator, photos, photos.tasks[row], WIDE.expression, client)
    truth = np.kron(WIDE.truth(), np.ones((scale, scale), bool))
    assert (region["original_height"], region["original_width"]) == truth.shape
    assert measure_overlap(decode_mask(region), truth) >= 0.8


def test_polygon_config_gets_the_outline(
    annotator: LabellingPage, make_project: MakeProject, image_of: ImageOf, client: LabelStudioClient
):
    project = make_project(read_config("polygon"), [{"image": image_of(WIDE)}])
    region = submit_answer(annotator, project, project.tasks[0], WIDE.expression, client)
    truth = WIDE.truth()
    corners = np.array(region["value"]["points"]) / 100 * truth.shape[::-1]
    filled = cv2.fillPoly(np.zeros(truth.shape, np.uint8), [corners.round().astype(np.int32)], 1).astype(bool)
    assert (region["type"], region["from_name"]) == ("polygonlabels", "polygon")
    assert measure_overlap(filled, truth) >= 0.8


def test_rectangle_config_gets_the_box(
    annotator: LabellingPage, make_project: MakeProject, image_of: ImageOf, client: LabelStudioClient
):
    config = read_config("recommended").replace("BrushLabels", "RectangleLabels").replace('"brush"', '"box"')
    project = make_project(config, [{"image": image_of(WIDE)}])
    region = submit_answer(annotator, project, project.tasks[0], WIDE.expression, client)
    height, width = WIDE.truth().shape
    value = region["value"]
    found = value["x"] * width, value["y"] * height, value["width"] * width, value["height"] * height
    truth = make_scene(WIDE.seed).objects[WIDE.targets[0]].box_xywh
    np.testing.assert_allclose(np.array(found) / 100, truth, atol=0.1 * max(truth[2:]))


def test_of_two_images_the_prompts_own_gets_the_mask(
    annotator: LabellingPage, make_project: MakeProject, image_of: ImageOf, client: LabelStudioClient
):
    config = read_config("recommended")
    other = (
        '<BrushLabels name="other" toName="before" smart="false"><Label value="Object"/></BrushLabels>'
        '<Image name="before" value="$before"/>'
    )
    config = config.replace("</Style>", f"</Style>{other}", 1)
    project = make_project(config, [{"before": image_of(GALLERY[0]), "image": image_of(WIDE)}])
    region = submit_answer(annotator, project, project.tasks[0], WIDE.expression, client)
    assert (region["from_name"], region["to_name"]) == ("brush", "image")
    assert measure_overlap(decode_mask(region), WIDE.truth()) >= 0.8


def test_label_comes_from_the_noun_unless_one_is_active_in_the_page(
    annotator: LabellingPage, make_project: MakeProject, image_of: ImageOf, state_dir: Path
):
    project = make_project(read_config("many_labels"), [{"image": image_of(GALLERY[0])}])
    annotator.open_task(project.id, project.tasks[0])
    annotator.ask(GALLERY[0].expression)
    annotator.accept()
    annotator.ask("the green tree")
    annotator.choose_label("Vehicle")
    annotator.accept()
    frog, tree = annotator.regions
    assert (frog["value"]["brushlabels"], tree["value"]["brushlabels"]) == (["animal"], ["vehicle"])
    with closing(sqlite3.connect(state_dir / "ris.sqlite3")) as sql:  # what was handed out stays known
        assert sql.execute("SELECT label FROM region WHERE id = ?", [tree["id"]]).fetchone() == ("plant",)


def test_expression_of_the_task_stands_in_the_input_and_enter_runs_it(
    annotator: LabellingPage, make_project: MakeProject, image_of: ImageOf
):
    data = {"image": image_of(GALLERY[1]), "expression": GALLERY[1].expression}
    project = make_project(read_config("expression_from_task"), [data])
    annotator.open_task(project.id, project.tasks[0])
    expect(annotator.prompt).to_have_value(GALLERY[1].expression)
    is_there = bool(annotator.regions)  # as its picture was encoded before, or not
    annotator.press_enter()
    if is_there:
        expect(annotator.message).to_contain_text("there already")
    else:
        annotator.await_suggestions()
        annotator.accept()
    [region] = annotator.regions
    assert measure_overlap(decode_mask(region), GALLERY[1].truth()) >= 0.8


def test_expression_typed_for_a_region_is_kept_with_it_and_asks_nothing(
    annotator: LabellingPage, make_project: MakeProject, image_of: ImageOf, client: LabelStudioClient, gate: Gate
):
    project = make_project(read_config("per_region_expression"), [{"image": image_of(GALLERY[2])}])
    task = project.tasks[0]
    annotator.open_task(project.id, task)
    annotator.ask(GALLERY[2].expression)
    annotator.accept()
    asked = len(gate.calls)
    annotator.select_region(0)
    own = annotator.page.get_by_placeholder("an expression for this region")
    own.fill("the frog")
    own.press("Enter")
    annotator.take_picture("per-region")
    annotator.submit()
    [annotation] = client.request("GET", f"/api/tasks/{task}/annotations/")
    [region] = [result for result in annotation["result"] if result["from_name"] == "brush"]
    [kept] = [result for result in annotation["result"] if result["from_name"] == "expression"]
    assert (kept["id"], kept["value"]["text"]) == (region["id"], ["the frog"])
    assert all(call.texts == [] for call in gate.calls[asked:])
