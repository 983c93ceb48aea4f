"""Clicks and boxes of the page's smart tools: what is pointed at becomes a mask, and of the pointing nothing is kept."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from backend.label_studio.client import LabelStudioClient
from benchmarks.labelling_page import ON_CANVAS, PRESS_MS, LabellingPage
from demo.gallery import GALLERY, Exhibit
from demo.scenes import make_scene
from demo.up import decode_mask, measure_overlap
from tests.e2e.conftest import LABEL_CONFIGS, MakeProject, Project, count_rows

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

EXHIBITS = (GALLERY[6], GALLERY[0])
FISH, CARROT, OTHER_FISH = 2, 3, 5
"""Things of the first exhibit's scene; the carrot is partly hidden by the fish."""
ON_FISH, ON_CARROT, IN_FISH = (89.5, 174.5), (108.5, 190.5), (119.5, 134.5)
"""In pixels of that scene; to the demo's SAM the first alone means the carrot as well, more or less by where in the pixel it is."""
FROG = 0
"""A thing of the second exhibit's scene."""
_ANNOTATION = "window.Htx.annotationStore.selected"
_OFFERED = f"Array.from({_ANNOTATION}.suggestions.values(), region => region.serialize())"


@pytest.fixture(scope="module")
def clickable(make_project: MakeProject, image_of: Callable[[Exhibit], str]) -> Project:
    """A project whose annotators may type, click and draw boxes."""
    config = (LABEL_CONFIGS / "prompt_click_box.xml").read_text(encoding="utf-8")
    return make_project(config, [{"image": image_of(exhibit)} for exhibit in EXHIBITS])


def point(annotator: LabellingPage, *places: tuple[float, float], size_hw: tuple[int, int], key: str = "") -> None:
    """Press at the first place, move to the others, release; wait for the answer. Places are pixels of the image.

    Args:
        key: Held meanwhile; several with "+" between them.
    """
    canvas = annotator.page.locator(".konvajs-content").bounding_box()
    assert canvas
    height, width = size_hw
    shown = [annotator.page.evaluate(ON_CANVAS, [x / width, y / height]) for x, y in places]
    mouse, keyboard = annotator.page.mouse, annotator.page.keyboard
    with annotator.page.expect_response(lambda answer: "interactive-annotating" in answer.url):
        mouse.move(canvas["x"] + shown[0][0], canvas["y"] + shown[0][1])
        annotator.page.wait_for_timeout(PRESS_MS)
        for held in filter(None, key.split("+")):
            keyboard.down(held)
        mouse.down()
        for x, y in shown[1:]:
            mouse.move(canvas["x"] + x, canvas["y"] + y, steps=4)
        mouse.up()
        for held in filter(None, key.split("+")):
            keyboard.up(held)
    annotator.await_answer()


def take(annotator: LabellingPage, tool: str, label: str) -> None:
    """Take a smart tool; its label is not active any more once something was drawn with it."""
    tools = annotator.page.locator(".lsf-tool_smart")
    tools.first.hover()
    annotator.page.click(f"[aria-label={tool}].lsf-tool_smart")
    annotator.choose_label(label)


def offered(annotator: LabellingPage) -> np.ndarray:
    """The mask that waits to be accepted."""
    [region] = annotator.page.evaluate(_OFFERED)
    return decode_mask(region)


def saved(client: LabelStudioClient, task: int) -> list[dict[str, Any]]:
    [annotation] = client.request("GET", f"/api/tasks/{task}/annotations/")
    return annotation["result"]


def sides(mask: np.ndarray) -> Sequence[tuple[float, float]]:
    """Upper left and lower right corner of a mask's tight box."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)


def test_clicks_and_a_box_become_submitted_masks_and_nothing_else(
    annotator: LabellingPage, clickable: Project, client: LabelStudioClient, state_dir: Path
):
    fish, carrot, other_fish = (make_scene(EXHIBITS[0].seed).objects[i].mask for i in (FISH, CARROT, OTHER_FISH))
    annotator.open_task(clickable.id, clickable.tasks[0])
    take(annotator, "key-point-tool", "Click")
    point(annotator, ON_FISH, size_hw=fish.shape)
    first = offered(annotator)
    annotator.choose_label("Click")
    point(annotator, ON_CARROT, size_hw=fish.shape, key="Alt")
    less = offered(annotator)
    assert less[carrot].sum() < first[carrot].sum()
    assert measure_overlap(less, fish) > measure_overlap(first, fish)
    annotator.choose_label("Click")
    point(annotator, IN_FISH, size_hw=fish.shape)
    annotator.take_picture("clicked")
    assert measure_overlap(offered(annotator), fish) >= 0.8
    annotator.accept()

    take(annotator, "rectangle-tool", "Box")
    point(annotator, *sides(other_fish), size_hw=fish.shape)
    assert measure_overlap(offered(annotator), other_fish) >= 0.7
    annotator.accept()
    assert [region["type"] for region in annotator.regions] == ["brushlabels"] * 2
    annotator.submit()

    results = saved(client, clickable.tasks[0])
    assert [(result["from_name"], result["value"]["brushlabels"]) for result in results] == [("brush", ["Object"])] * 2
    assert [result["meta"]["ris"]["by"] for result in results] == ["click", "box"]
    for result, truth in zip(results, (fish, other_fish), strict=True):
        assert measure_overlap(decode_mask(result), truth) >= 0.7
        assert result["meta"]["ris"]["task"] == str(clickable.tasks[0])
        assert count_rows(state_dir, "region WHERE id = ?", result["id"]) == 1


def test_one_click_finds_a_thing_and_an_expression_goes_on_from_there(
    annotator: LabellingPage, clickable: Project, client: LabelStudioClient
):
    exhibit = EXHIBITS[1]
    frog = make_scene(exhibit.seed).objects[FROG].mask
    (left, upper), (right, lower) = sides(frog)
    annotator.open_task(clickable.id, clickable.tasks[1])
    take(annotator, "key-point-tool", "Click")
    point(annotator, ((left + right) / 2, (upper + lower) / 2), size_hw=frog.shape)
    assert measure_overlap(offered(annotator), frog) >= 0.7
    annotator.accept()
    annotator.ask(exhibit.expression)
    annotator.accept()
    annotator.submit()

    by_click, by_words = (result for result in saved(client, clickable.tasks[1]) if result["type"] == "brushlabels")
    assert measure_overlap(decode_mask(by_click), frog) >= 0.7
    assert measure_overlap(decode_mask(by_words), exhibit.truth()) >= 0.7


def test_click_that_was_not_answered_is_told_and_can_be_undone(annotator: LabellingPage, clickable: Project):
    """Label Studio keeps a click as a region until a suggestion is accepted or rejected."""
    annotator.open_task(clickable.id, clickable.tasks[1])
    annotator.add_annotation()
    take(annotator, "key-point-tool", "Click")
    point(annotator, (5.0, 5.0), size_hw=make_scene(EXHIBITS[1].seed).image.shape[:2], key="Alt")
    expect(annotator.message).to_have_count(1)
    assert [region["type"] for region in annotator.regions] == ["keypointlabels"]
    annotator.undo()
    assert annotator.regions == []
