"""The page where somebody sits all day: the picture stays where it is, the hands stay on the keys, the results are clean."""

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from backend.label_studio.client import LabelStudioClient
from benchmarks.labelling_page import LabellingPage
from demo.gallery import GALLERY, Exhibit
from demo.up import BACKEND_USER, Demo
from tests.e2e.conftest import LABEL_CONFIGS, RECOMMENDED, MakeProject, Project, wait_until
from tests.e2e.gate import Gate

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

SIZES = [(1366, 768), (1440, 900)]
SHAPES = {"portrait": (300, 420), "landscape": (640, 400), "square": (320, 320)}
PROMPTS = ("the orange frog", "the car; the tree", "the unicorn", "; ".join(f"thing {n}" for n in range(17)))
"""An answer, two, one that is not known, and one that is told in many words."""
TASKS = 20
BOXES = """() => {
    const box = one => { const at = one.getBoundingClientRect(); return [at.x, at.y, at.right, at.bottom].map(Math.round) }
    const image = document.querySelector('.lsf-image')
    return {picture: box(image), bar: box(document.querySelector('.lsf-bottombar')), top: box(document.querySelector('.lsf-topbar')),
        scrolled: document.querySelector('.lsf-main-content').scrollTop}
}"""


@pytest.fixture(scope="module")
def pictures(upload: Callable[[str, bytes], str]) -> dict[str, str]:
    """Addresses of a scene's picture in other shapes."""
    made = {}
    for name, size in SHAPES.items():
        file = io.BytesIO()
        Image.open(io.BytesIO(GALLERY[0].draw())).resize(size).save(file, "PNG")
        made[name] = upload(f"{name}.png", file.getvalue())
    return made


@pytest.fixture
def page(annotator: LabellingPage) -> Iterator[LabellingPage]:
    """A tab of its own."""
    tab = annotator.open_tab()
    yield tab
    tab.page.close()


@pytest.mark.parametrize("config", sorted(file.name for file in LABEL_CONFIGS.glob("*.xml")))
def test_picture_lies_in_view_and_never_moves(
    page: LabellingPage, make_project: MakeProject, pictures: dict[str, str], config: str
):
    data = [{"image": address, "expression": "the frog"} for address in pictures.values()]
    project = make_project((LABEL_CONFIGS / config).read_text(encoding="utf-8"), data)
    for (width, height), (task, shape) in zip(
        SIZES + SIZES[:1], zip(project.tasks, pictures, strict=True), strict=True
    ):
        page.page.set_viewport_size({"width": width, "height": height})
        page.open_task(project.id, task)
        page.switch_auto_annotation(False)
        boxes = [page.page.evaluate(BOXES)]
        page.switch_auto_annotation(True)
        boxes.append(page.page.evaluate(BOXES))
        for prompt in PROMPTS:
            page.type(prompt)
            page.await_answer()
            boxes.append(page.page.evaluate(BOXES))
        page.take_picture(f"page-{config.removesuffix('.xml')}-{shape}")
        assert boxes == [boxes[0]] * len(boxes), f"{config} {shape}"
        left, upper, right, lower = boxes[0]["picture"]
        assert boxes[0]["top"][3] <= upper < lower <= boxes[0]["bar"][1]
        assert left < right <= width
        assert boxes[0]["scrolled"] == 0
        assert lower - upper > 0.55 * height or right - left > 0.4 * width  # most of the page is the picture's


def test_history_shows_its_newest_entry_and_the_others_on_hover(page: LabellingPage, scenes: Project):
    page.open_task(scenes.id, scenes.tasks[0])
    for text in ("the frog", "the car", "the tree"):
        page.ask(text)
    rows = page.page.locator('[data-testid="textarea-region"]:has([name^="prompt:"])')
    assert [row.is_visible() for row in rows.all()] == [False, False, True]
    stops = []
    page.prompt.focus()
    for _ in range(3):
        page.page.keyboard.press("Tab")
        stops.append(page.page.evaluate("document.activeElement.dataset.testid"))
    assert stops[:2] == ["textarea-add-button", "htx-textbox-edit-button"]
    assert [row.is_visible() for row in rows.all()] == [True, True, True]  # the focus is in it
    page.page.mouse.click(5, 5)
    rows.nth(2).hover()
    assert [row.is_visible() for row in rows.all()] == [True, True, True]


def test_twenty_tasks_by_keys_alone(
    page: LabellingPage, make_project: MakeProject, image_of: Callable[[Exhibit], str], client: LabelStudioClient
):
    """Type, Enter, Tab, Ctrl+Enter, Tab. No step waits for the toast of the last one."""
    exhibits = [GALLERY[i % len(GALLERY)] for i in range(TASKS)]
    project = make_project(RECOMMENDED, [{"image": image_of(exhibit)} for exhibit in exhibits])
    by_task = dict(zip(project.tasks, exhibits, strict=True))
    page.open_stream(project.id)
    page.switch_auto_accept(True)
    page.prompt.focus()
    keyboard, seconds, keys = page.page.keyboard, [], []
    for number in range(TASKS):
        task, begun = page.task, time.monotonic()
        text = by_task[task].expression
        with page.page.expect_response(lambda answer: "interactive-annotating" in answer.url):
            keyboard.insert_text(text)
            keyboard.press("Enter")
        page.await_answer()
        keyboard.press("Tab")
        keyboard.press("Control+Enter")
        if number < TASKS - 1:
            page.await_next(task)
            keyboard.press("Tab")
            expect(page.prompt).to_be_focused()
        seconds.append(time.monotonic() - begun)
        keys.append(len(text) + 4)
    wait_until(lambda: client.request("GET", f"/api/projects/{project.id}/")["finished_task_number"] == TASKS)
    saved = [client.request("GET", f"/api/tasks/{task}/annotations/") for task in project.tasks]
    kinds = [[result["type"] for result in annotation["result"]] for [annotation] in saved]
    assert kinds.count(["textarea", "brushlabels"]) >= TASKS - 2  # plurals have more
    print(f"{np.median(keys):.0f} keys and {np.median(seconds):.2f} s a task (median of {TASKS}, without typing time)")


def test_toast_covers_nothing_that_is_clicked(page: LabellingPage, scenes: Project):
    page.open_stream(scenes.id)
    page.switch_auto_accept(False)
    page.ask("the thing on the left")
    page.accept()
    task = page.task
    page.page.click('button:has-text("Submit")')
    page.await_next(task)
    page.ask("the thing on the left")
    toast = page.page.locator('[class*="toast-viewport"] li')
    expect(toast.first).to_be_visible()
    tick = page.page.locator("[data-testid=bottombar-accept-suggestions-button]")
    tick.click(timeout=1_000)
    expect(tick).to_have_count(0)


def test_next_replaces_what_was_accepted_at_once_and_commands_leave_no_trace(
    page: LabellingPage, make_project: MakeProject, image_of: Callable[[Exhibit], str], client: LabelStudioClient
):
    project = make_project(RECOMMENDED, [{"image": image_of(GALLERY[0])}])
    page.open_task(project.id, project.tasks[0])
    page.switch_auto_accept(True)
    for text in ("the frog", "next", "back", "#2", "help", "the unicorn", "ok", "the car", "the car", "none: the dog"):
        page.type(text)
        page.await_answer()
    page.switch_auto_accept(False)
    assert len(page.regions) == 2
    page.submit()
    exported = client.request("GET", f"/api/projects/{project.id}/export?exportType=JSON")
    [[annotation]] = [task["annotations"] for task in exported]
    prompt, *regions = annotation["result"]
    assert prompt["value"] == {"text": ["the frog", "the car", "none: the dog"]}
    assert [(region["meta"]["text"], region["meta"]["ris"].get("rank")) for region in regions] == [
        (["the frog"], 2),
        (["the car"], None),
    ]


def test_only_commands_leave_no_prompt(
    page: LabellingPage, make_project: MakeProject, image_of: Callable[[Exhibit], str], client: LabelStudioClient
):
    project = make_project(RECOMMENDED, [{"image": image_of(GALLERY[0])}])
    page.open_task(project.id, project.tasks[0])
    page.type("help")
    expect(page.message).to_contain_text("Type what you mean")
    page.type("the unicorn")
    expect(page.message).to_contain_text("unicorn")
    page.submit()
    [annotation] = client.request("GET", f"/api/tasks/{project.tasks[0]}/annotations/")
    assert [text for result in annotation["result"] for text in result["value"]["text"]] == []


def set_up(client: LabelStudioClient, demo: Demo, gate: Gate, project: int, **settings: Any) -> None:
    """Give a project settings of its own."""
    [row] = client.request("GET", f"/api/ml?project={project}")
    body = {
        **{name: row[name] for name in ("url", "project", "title", "is_interactive", "auth_method", "basic_auth_user")},
        "basic_auth_pass": demo.secrets.backend_password,
        "extra_params": settings,
    }
    client.request("PATCH", f"/api/ml/{row['id']}", body)
    assert body["basic_auth_user"] == BACKEND_USER


def test_standing_prompt_comes_answered_and_can_be_edited(
    page: LabellingPage,
    make_project: MakeProject,
    image_of: Callable[[Exhibit], str],
    client: LabelStudioClient,
    demo: Demo,
    gate: Gate,
):
    data = [{"image": image_of(GALLERY[0])}] * 3 + [{"image": image_of(GALLERY[0]), "expression": "the tree"}]
    project = make_project(RECOMMENDED, data)
    set_up(client, demo, gate, project.id, standing="the orange frog; the gray car")
    page.open_task(project.id, project.tasks[0])  # encodes the picture
    page.ask("the tree")
    calls = len(gate.calls)
    page.open_task(project.id, project.tasks[1])
    page.take_picture("standing")
    texts = {region["meta"]["text"][0] for region in page.regions}
    assert texts == {"the orange frog", "the gray car"}
    assert page.entries == ["the orange frog; the gray car"]
    assert len(gate.calls) == calls  # opening it asks nothing
    page.edit_prompt(0, "the orange frog; the pink car")
    page.accept()
    assert sorted(region["meta"]["text"][0] for region in page.regions) == [
        "the gray car",
        "the orange frog",
        "the pink car",
    ]
    page.open_task(project.id, project.tasks[3])  # a text of its own
    assert page.entries == ["the tree"]
    page.type("next")
    page.await_answer()
    expect(page.message).to_contain_text("Candidate 2 of")


def test_a_task_that_opens_with_its_mask_keeps_one_when_enter_is_pressed(
    page: LabellingPage, make_project: MakeProject, image_of: Callable[[Exhibit], str], client: LabelStudioClient
):
    config = (LABEL_CONFIGS / "expression_from_task.xml").read_text(encoding="utf-8")
    project = make_project(config, [{"image": image_of(GALLERY[0]), "expression": GALLERY[0].expression}])
    page.open_task(project.id, project.tasks[0])  # its picture is encoded: tests before have asked about it
    [opened] = page.regions
    assert page.prompt.input_value() == GALLERY[0].expression
    page.press_enter()
    expect(page.message).to_contain_text("there already")
    assert [region["id"] for region in page.regions] == [opened["id"]]
    page.submit()
    [annotation] = client.request("GET", f"/api/tasks/{project.tasks[0]}/annotations/")
    assert [result["type"] for result in annotation["result"]].count("brushlabels") == 1
