"""A wrong mask, mended in the page: the next candidate, clicks and boxes, before and after it was accepted."""

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from backend.label_studio.client import LabelStudioClient
from benchmarks.labelling_page import LabellingPage
from demo.gallery import GALLERY, Exhibit
from demo.scenes import make_scene
from demo.up import decode_mask, measure_overlap
from tests.e2e.conftest import LABEL_CONFIGS, MakeProject, Project, count_rows, wait_until
from tests.e2e.test_clicks_browser import offered, point, saved, sides, take

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

SCENE = make_scene(GALLERY[0].seed)
SIZE_HW = SCENE.image.shape[:2]
FROG, OTHER_FROG, CAR = (SCENE.objects[i].mask for i in (0, 2, 4))
EXPRESSION = GALLERY[0].expression
"""Means `OTHER_FROG`."""


@pytest.fixture(scope="module")
def project(make_project: MakeProject, image_of: Callable[[Exhibit], str]) -> Project:
    """A project whose annotators may type, click and draw boxes: the same scene in each of its tasks."""
    config = (LABEL_CONFIGS / "prompt_click_box.xml").read_text(encoding="utf-8")
    return make_project(config, [{"image": image_of(GALLERY[0])}] * 4)


def middle(mask: np.ndarray) -> tuple[float, float]:
    (left, upper), (right, lower) = sides(mask)
    return (left + right) / 2, (upper + lower) / 2


def click(annotator: LabellingPage, mask: np.ndarray, key: str = "") -> None:
    """Beside the middle of a thing, where a click may be already; its label is not active any more."""
    x, y = middle(mask)
    annotator.choose_label("Click")
    point(annotator, (x - 8, y), size_hw=SIZE_HW, key=key)


def await_draft(client: LabelStudioClient, task: int, is_so: Callable[[list[dict]], bool]) -> None:
    """Wait until Label Studio has saved the page's state: it does so at most every five seconds."""
    wait_until(lambda: any(is_so(draft["result"]) for draft in client.request("GET", f"/api/tasks/{task}/drafts")))


def has(*ids: str) -> Callable[[list[dict]], bool]:
    return lambda results: {result["id"] for result in results}.issuperset(ids)


def test_next_candidate_is_shown_accepted_and_submitted(
    annotator: LabellingPage, project: Project, client: LabelStudioClient
):
    annotator.open_task(project.id, project.tasks[0])
    annotator.ask("the frog")
    first = offered(annotator)
    annotator.type("#2")
    expect(annotator.message).to_contain_text("Candidate 2 of")
    annotator.await_suggestions()
    second = offered(annotator)
    annotator.take_picture("next-candidate")
    assert {bool(measure_overlap(mask, OTHER_FROG) > 0.7) for mask in (first, second)} == {True, False}
    annotator.accept()
    annotator.submit()
    [region] = [result for result in saved(client, project.tasks[0]) if result["type"] == "brushlabels"]
    np.testing.assert_array_equal(decode_mask(region), second)
    assert region["meta"]["text"] == ["the frog"]


def test_accepted_mask_is_mended_in_place_by_clicks(
    annotator: LabellingPage, project: Project, client: LabelStudioClient, state_dir
):
    task = project.tasks[1]
    annotator.open_task(project.id, task)
    annotator.ask(EXPRESSION)
    annotator.accept()
    [accepted] = annotator.regions
    await_draft(client, task, has(accepted["id"]))
    annotator.take_picture("mend-1-accepted")

    take(annotator, "key-point-tool", "Click")
    point(annotator, middle(CAR), size_hw=SIZE_HW)
    added = offered(annotator)
    annotator.take_picture("mend-2-added")
    assert measure_overlap(added, OTHER_FROG | CAR) >= 0.8
    assert annotator.suggested == [accepted["id"]]
    expect(annotator.message).to_contain_text("takes the place")
    click(annotator, CAR, key="Alt")
    assert measure_overlap(offered(annotator), OTHER_FROG) >= 0.7
    annotator.take_picture("mend-3-taken-away")
    click(annotator, FROG)
    annotator.accept()
    [mended] = annotator.regions
    assert mended["id"] == accepted["id"]

    take(annotator, "key-point-tool", "Click")
    point(annotator, middle(FROG), size_hw=SIZE_HW, key="Control+Alt")  # without Ctrl it would select the mask
    assert measure_overlap(offered(annotator), OTHER_FROG) >= 0.7
    annotator.accept()
    [mended] = annotator.regions
    assert mended["id"] == accepted["id"]
    annotator.submit()

    [region] = [result for result in saved(client, task) if result["type"] == "brushlabels"]
    assert measure_overlap(decode_mask(region), OTHER_FROG) >= 0.7
    assert region["meta"]["text"] == [EXPRESSION]
    assert count_rows(state_dir, "region WHERE id = ?", region["id"]) == 1


def test_repainted_mask_stays_when_it_is_clicked_at(
    annotator: LabellingPage, project: Project, client: LabelStudioClient
):
    task = project.tasks[2]
    annotator.open_task(project.id, task)
    annotator.ask(EXPRESSION)
    annotator.accept()
    annotator.select_region(0)
    annotator.paint([(0.1, 0.1), (0.3, 0.1)])
    [painted] = annotator.regions
    await_draft(client, task, lambda results: any(result["value"].get("touches") for result in results))
    annotator.page.keyboard.press("Escape")

    take(annotator, "key-point-tool", "Click")
    point(annotator, middle(CAR), size_hw=SIZE_HW)
    assert painted["id"] not in annotator.suggested
    annotator.take_picture("mend-repainted")
    annotator.accept()
    assert [region["id"] == painted["id"] for region in annotator.regions] == [True, False]
    np.testing.assert_array_equal(decode_mask(annotator.regions[0]), decode_mask(painted))


def test_box_after_an_expression_is_looked_into(annotator: LabellingPage, project: Project, client: LabelStudioClient):
    task = project.tasks[3]
    annotator.open_task(project.id, task)
    annotator.ask("the frog")
    wrong = measure_overlap(offered(annotator), FROG) < 0.5
    await_draft(client, task, lambda results: any(result["from_name"] == "prompt" for result in results))
    target = FROG if wrong else OTHER_FROG
    take(annotator, "rectangle-tool", "Box")
    point(annotator, *sides(target), size_hw=SIZE_HW)
    annotator.take_picture("mend-box")
    assert measure_overlap(offered(annotator), target) >= 0.7
    annotator.accept()
    annotator.submit()
    [region] = [result for result in saved(client, task) if result["type"] == "brushlabels"]
    assert region["meta"]["text"] == ["the frog"]
    assert measure_overlap(decode_mask(region), target) >= 0.7
