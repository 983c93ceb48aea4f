"""What an annotator is told in the page, and that nothing of it is kept."""

import re

import pytest
from playwright.sync_api import Locator, expect

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.messages import MAX_LENGTH
from benchmarks.labelling_page import LabellingPage
from demo.gallery import GALLERY
from tests.e2e.conftest import RECOMMENDED, MakeProject, Project
from tests.e2e.gate import Gate

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

SMALL = {"width": 1366, "height": 768}
"""A small laptop's screen."""
LABELS = "".join(f'<Label value="{name}"/>' for name in ("vehicle", "amphibian", "plant"))
TOO_MANY = "; ".join(f"thing {number}" for number in range(17))


def told(annotator: LabellingPage, words: str) -> Locator:
    return annotator.message.filter(has_text=words)


def test_message_is_shown_at_once_and_only_the_newest(annotator: LabellingPage, scenes: Project, gate: Gate):
    annotator.open_task(scenes.id, scenes.tasks[0], 0)
    before = len(gate.calls)
    annotator.type(TOO_MANY)
    expect(told(annotator, "17 expressions")).to_be_visible()
    annotator.type(f"{TOO_MANY}; thing 17")
    expect(told(annotator, "18 expressions")).to_be_visible()
    expect(annotator.message).to_have_count(1)
    expect(annotator.message.locator("xpath=..").locator("button")).to_have_count(0)  # deleting it would ask again
    annotator.ask(GALLERY[0].expression)
    expect(told(annotator, "expressions")).to_have_count(0)
    assert [len(call.texts) for call in gate.calls[before:]] == [
        1,
        1,
        1,
    ]  # what brought nothing leaves; being told asks nothing


def test_message_is_not_saved_whatever_is_chosen_in_the_page(
    annotator: LabellingPage, scenes: Project, client: LabelStudioClient
):
    task = scenes.tasks[1]
    annotator.open_task(scenes.id, task, 1)
    # What is accepted gets the labels that are active, and messages are accepted at once.
    annotator.choose_label("Object")
    annotator.type(TOO_MANY)
    expect(told(annotator, "17 expressions")).to_be_visible()
    annotator.take_picture("message")
    assert [result["from_name"] for result in annotator.results] == ["prompt"]  # and no message
    annotator.submit()
    [annotation] = client.request("GET", f"/api/tasks/{task}/annotations/")
    assert [(result["from_name"], result["value"]) for result in annotation["result"]] == [("prompt", {"text": []})]


def test_message_steps_back_and_forth_with_its_expression(annotator: LabellingPage, scenes: Project):
    annotator.open_task(scenes.id, scenes.tasks[2], 2)
    annotator.type(TOO_MANY)
    expect(told(annotator, "17 expressions")).to_be_visible()
    annotator.ask(GALLERY[2].expression)
    annotator.undo()
    expect(told(annotator, "17 expressions")).to_be_visible()
    annotator.redo()
    expect(told(annotator, "17 expressions")).to_have_count(0)


def test_hint_to_switch_auto_annotation_on_goes_once_it_is_on(annotator: LabellingPage, scenes: Project):
    annotator.open_task(scenes.id, scenes.tasks[3], 3)
    hint = annotator.page.get_by_text("Switch Auto-Annotation on")
    expect(hint).to_be_hidden()
    annotator.switch_auto_annotation(False)
    expect(hint).to_be_visible()


def test_a_guess_is_told_and_the_longest_message_fits_a_small_screen(
    annotator: LabellingPage, make_project: MakeProject, scenes: Project, client: LabelStudioClient
):
    data = client.request("GET", f"/api/tasks/{scenes.tasks[0]}/")["data"]
    project = make_project(re.sub(r"<Label [^>]*/>", LABELS, RECOMMENDED), [data])
    page = annotator.open_tab()
    page.page.set_viewport_size(SMALL)
    page.open_task(project.id, project.tasks[0])
    page.ask(GALLERY[0].expression)
    expect(told(page, "Label guessed: vehicle; write “amphibian: …” to choose.")).to_be_visible()
    page.take_picture("message-guess")
    page.type("; ".join(f"Animal {name}: the orange frog" for name in ("one", "two", "three", "four")))
    page.await_answer()
    expect(told(page, "is no label here; there are vehicle, amphibian, plant.")).to_be_visible()
    text = page.message.inner_text()
    assert MAX_LENGTH - 80 < len(text) <= MAX_LENGTH
    box, image = page.message.bounding_box(), page.page.locator(".konvajs-content").first.bounding_box()
    assert box
    assert image
    assert page.message.evaluate("of => of.scrollHeight <= of.clientHeight + 1 && of.scrollWidth <= of.clientWidth + 1")
    assert box["x"] + box["width"] <= SMALL["width"]
    assert box["y"] + box["height"] <= image["y"] < SMALL["height"] / 2  # most of the screen is left to the image
    page.take_picture("message-longest")
    page.page.close()
