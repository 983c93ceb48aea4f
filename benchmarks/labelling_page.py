"""Label Studio 1.23.2's labelling page in a real Chromium, driven the way an annotator uses it."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

TIMEOUT_MS = 60_000
"""For one thing to appear; generous, since machines that run tests are often busy."""
PRESS_MS = 150
"""Between moving the mouse and pressing it: the page's tools follow a little behind."""
SIZE: ViewportSize = {"width": 1440, "height": 900}
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SUGGESTED = "[data-testid=bottombar-accept-suggestions-button]"
_SELECTED = "window.Htx.annotationStore.selected"
_NOTE_DETAILS = """
const fetched = window.fetch
window.details = {pending: 0}
window.fetch = async (...request) => {
    const task = String(request[0].url ?? request[0]).match(/\\/api\\/tasks\\/(\\d+)\\?/)?.[1]
    if (!task) return fetched(...request)
    window.details.pending += 1
    const answer = await fetched(...request)
    const drawn = window.Htx?.annotationStore?.selected?.id
    window.details = {pending: window.details.pending - 1, task: Number(task), drawn}
    return answer
}
"""
"""The page draws a task as it stands in the list, and again, losing what was typed, whenever its details have come."""
_IS_READY = """task => {
    const details = window.details, annotation = window.Htx?.annotationStore?.selected
    const images = annotation?.objects?.filter(object => object.type === 'image') ?? []
    return details.pending === 0 && details.task === task && window.Htx?.task?.id === task
        && annotation && annotation.id !== details.drawn
        && images.every(image => image.currentImageEntity.imageLoaded) && document.querySelector('.konvajs-content')
}"""
_IS_NEXT_DRAWN = """before => {
    const annotation = window.Htx?.annotationStore?.selected
    const images = annotation?.objects?.filter(object => object.type === 'image') ?? []
    return window.Htx?.task && window.Htx.task.id !== before && images.length
        && images.every(image => image.currentImageEntity.imageLoaded) && document.querySelector('.konvajs-content')
}"""
ON_CANVAS = f"""([x, y]) => {{
    const image = {_SELECTED}.objects.find(object => object.type === 'image'), zoom = image.layerZoomScalePosition
    return [x * image.stageWidth * zoom.scaleX + zoom.x, y * image.stageHeight * zoom.scaleY + zoom.y]
}}"""
"""From shares of the image's width and height to pixels of the canvas."""


def find_chromium() -> str | None:
    """Path of an installed Chromium, or None."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def open_browser(program: str) -> Iterator[Browser]:
    """A fresh, headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        yield browser
        browser.close()


class LabellingPage:
    """One annotator at one task.

    Args:
        url: Label Studio's address.
        screenshots: Folder for pictures of the page.
    """

    def __init__(self, page: Page, url: str, screenshots: Path) -> None:
        self.page, self._url, self._screenshots = page, url, screenshots
        self._project: int | None = None

    @classmethod
    def log_in(cls, browser: Browser, url: str, screenshots: Path, email: str, password: str) -> "LabellingPage":
        """A page of somebody who has filled in the login form; shares nothing with other pages."""
        context = browser.new_context(viewport=SIZE)
        context.set_default_timeout(TIMEOUT_MS)
        context.add_init_script(_NOTE_DETAILS)
        page = context.new_page()
        page.goto(f"{url}/user/login/", wait_until="domcontentloaded")
        page.fill("input[name=email]", email)
        page.fill("input[name=password]", password)
        page.click("button[type=submit]")
        page.wait_for_url(lambda address: "/user/login" not in address, wait_until="domcontentloaded")
        return cls(page, url, screenshots)

    def open_tab(self) -> "LabellingPage":
        """Another tab of the same annotator."""
        return LabellingPage(self.page.context.new_page(), self._url, self._screenshots)

    def open_task(self, project: int, task: int, row: int | None = None) -> None:
        """Open a task, wait until it is drawn, and have typed expressions sent to the model.

        Args:
            row: Its row in the project's list. With it, the page is not loaded anew if it shows that project already.
        """
        if row is not None and project == self._project:
            self.switch_to(row, task)
        else:
            self.page.goto(f"{self._url}/projects/{project}/data?task={task}", wait_until="domcontentloaded")
            self._await_task(task)
        self._project = project
        self.switch_auto_annotation(True)

    def open_stream(self, project: int) -> int:
        """Have Label Studio choose the next task ("Label All Tasks"); its id."""
        self.page.goto(f"{self._url}/projects/{project}/data?labeling=1", wait_until="domcontentloaded")
        self.page.wait_for_selector(".konvajs-content")
        self._project = None
        self.switch_auto_annotation(True)
        return self.task

    def switch_to(self, row: int, task: int) -> None:
        """Go to another task of the list at the left, without loading the page anew."""
        self.page.evaluate("window.details.task = null")
        self.page.locator(".lsf-table__row-wrapper").nth(row).click()
        self._await_task(task)

    def switch_auto_annotation(self, is_on: bool) -> None:
        """Have typed expressions sent to the model, or not."""
        self.page.locator("[data-testid=bottombar-auto-annotation-toggle]").set_checked(is_on, force=True)

    def switch_auto_accept(self, is_on: bool) -> None:
        """Have what is offered accepted at once, or not."""
        self.page.locator("[data-testid=bottombar-auto-accept-toggle]").set_checked(is_on, force=True)

    @property
    def entries(self) -> list[str]:
        """What stands in the list of expressions."""
        return [text for result in self.results if result["from_name"] == "prompt" for text in result["value"]["text"]]

    def await_next(self, before: int) -> None:
        """In a stream of tasks: wait until the one after this is drawn."""
        self.page.wait_for_function(_IS_NEXT_DRAWN, arg=before)

    def add_annotation(self) -> None:
        """Begin another annotation of the same task."""
        before = self.page.evaluate(f"{_SELECTED}.id")
        self.page.click('[aria-label="Create an annotation"]')
        self.page.wait_for_function(f"before => {_SELECTED}.id !== before", arg=before)

    @property
    def task(self) -> int:
        """Id of the task that is shown."""
        return int(self.page.evaluate("window.Htx.task.id"))

    @property
    def results(self) -> list[dict[str, Any]]:
        """What would be submitted now."""
        return list(self.page.evaluate(f"JSON.parse(JSON.stringify({_SELECTED}.serializeAnnotation()))"))

    @property
    def regions(self) -> list[dict[str, Any]]:
        """Of what would be submitted, what is drawn on the image."""
        return [result for result in self.results if result["type"] != "textarea"]

    @property
    def suggested(self) -> list[str]:
        """Ids of the regions that wait to be accepted."""
        return list(self.page.evaluate(f"Array.from({_SELECTED}.suggestions.values(), area => area.cleanId)"))

    @property
    def prompt(self) -> Locator:
        """The input for expressions."""
        return self.page.locator('input[name="prompt"]')

    @property
    def message(self) -> Locator:
        """What the annotator is told."""
        return self.page.locator('[name^="ris_message:"]')

    def type(self, expression: str) -> None:
        """Type an expression and press Enter."""
        self.prompt.fill(expression)
        self.press_enter()

    def press_enter(self) -> None:
        """Send what stands in the input; returns once it is under way."""
        with self._expect_question():
            self.prompt.press("Enter")

    def ask(self, expression: str) -> None:
        """Type an expression, press Enter, and wait for what is offered."""
        self.type(expression)
        self.await_suggestions()

    def edit_prompt(self, row: int, expression: str) -> None:
        """Change an expression that was typed before, and wait for what is offered."""
        entries = self.page.locator('[data-testid="textarea-region"]:has([name^="prompt:"])')
        entries.last.hover()  # the others show then
        entry = entries.nth(row)
        entry.hover()
        entry.locator('[aria-label="Edit Region"]').click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(expression)
        with self._expect_question():
            self.page.keyboard.press("Enter")
        self.await_suggestions()

    def await_answer(self) -> None:
        """Wait until nothing is asked any more."""
        self.page.wait_for_function("!window.Htx.awaitingSuggestions")

    def await_suggestions(self) -> None:
        """Wait until the newest question is answered, with something."""
        self.page.wait_for_selector(SUGGESTED)
        self.await_answer()

    def accept(self) -> None:
        """Accept all that is offered."""
        self.page.click(SUGGESTED)
        expect(self.page.locator(SUGGESTED)).to_have_count(0)

    def choose_label(self, name: str) -> None:
        """Click a label."""
        self.page.click(f'.lsf-label:has-text("{name}")')

    def select_region(self, row: int) -> None:
        """Click a region in the list at the right."""
        self.page.locator(".lsf-outliner-item").nth(row).click()
        self.page.wait_for_function(f"{_SELECTED}.selectedRegions.length === 1")

    def paint(self, points: Sequence[tuple[float, float]], tool: str = "brush-tool") -> None:
        """Draw on the region that is selected.

        Args:
            points: Where to, as shares of the image's width and height.
            tool: Its name in the page: "brush-tool", or "eraser".
        """
        self.page.click(f'[aria-label="{tool}"]')
        box = self.page.locator(".konvajs-content").bounding_box()
        assert box
        canvas = [self.page.evaluate(ON_CANVAS, list(point)) for point in points]
        places = [(box["x"] + x, box["y"] + y) for x, y in canvas]
        self.page.mouse.move(*places[0])
        self.page.wait_for_timeout(PRESS_MS)
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=4)
        self.page.mouse.up()

    def undo(self) -> None:
        """Take the last step back."""
        self.page.click("[data-testid=bottombar-undo-button]")

    def redo(self) -> None:
        """Do again what was taken back."""
        self.page.click("[data-testid=bottombar-redo-button]")

    def submit(self) -> None:
        """Submit the annotation and wait until it is saved."""
        self._save("Submit", "POST")
        self._await_task(self.task)

    def update(self) -> None:
        """Save a submitted annotation again."""
        self._save("Update", "PATCH")
        self._await_task(self.task)

    def skip(self) -> None:
        """Skip the task, and wait for the next."""
        before = self.task
        self._save("Skip", "POST")
        self.page.wait_for_function("before => window.Htx.task?.id !== before", arg=before)

    def take_picture(self, name: str) -> None:
        """Keep a screenshot."""
        self._screenshots.mkdir(exist_ok=True)
        self.page.screenshot(path=self._screenshots / f"{name}.png")

    def _expect_question(self) -> AbstractContextManager[object]:
        """Without it the answer before would be taken for the one to what is sent within."""
        return self.page.expect_request(lambda request: "interactive-annotating" in request.url)

    def _await_task(self, task: int) -> None:
        self.page.wait_for_function(_IS_READY, arg=task)

    def _save(self, button: str, method: str) -> None:
        self.page.evaluate("window.details.task = null")
        with self.page.expect_response(
            lambda answer: "/annotations" in answer.url and answer.request.method == method
        ) as saved:
            self.page.click(f'button:has-text("{button}")')
        assert saved.value.ok, f"the annotation was not saved: {saved.value.status}"
