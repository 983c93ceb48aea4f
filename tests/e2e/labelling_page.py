"""Label Studio 1.23.2's labelling page in a real Chromium, driven the way an annotator uses it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

TIMEOUT_MS = 60_000
"""For one thing to appear; generous, since machines that run tests are often busy."""
SIZE = {"width": 1440, "height": 900}
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


def find_chromium() -> str | None:
    """Path of an installed Chromium, or None."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def open_browser(program: str) -> Iterator[Page]:
    """A page in a fresh, headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(TIMEOUT_MS)
        yield page
        browser.close()


class LabellingPage:
    """One annotator at one task.

    Args:
        url: Label Studio's address.
        screenshots: Folder for pictures of the page.
    """

    def __init__(self, page: Page, url: str, screenshots: Path) -> None:
        self.page, self._url, self._screenshots = page, url, screenshots

    def log_in(self, email: str, password: str) -> None:
        """Fill in and send the login form."""
        self.page.goto(f"{self._url}/user/login/", wait_until="domcontentloaded")
        self.page.fill("input[name=email]", email)
        self.page.fill("input[name=password]", password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/user/login" not in url, wait_until="domcontentloaded")

    def open_task(self, project: int, task: int) -> None:
        """Open a task and wait until its image is drawn."""
        self.page.goto(f"{self._url}/projects/{project}/data?task={task}", wait_until="domcontentloaded")
        self.page.wait_for_selector(".konvajs-content")

    def switch_auto_annotation_on(self) -> None:
        """Have typed expressions sent to the model."""
        self.page.click('label:has-text("Auto-Annotation")')

    def ask(self, expression: str) -> None:
        """Type an expression, press Enter, and wait for what is offered."""
        prompt = self.page.locator('input[name="prompt"]')
        prompt.fill(expression)
        prompt.press("Enter")
        self.page.wait_for_selector("[data-testid=bottombar-accept-suggestions-button]")

    def accept(self) -> None:
        """Accept all that is offered."""
        self.page.click("[data-testid=bottombar-accept-suggestions-button]")
        expect(self.page.locator("[data-testid=bottombar-accept-suggestions-button]")).to_have_count(0)

    def submit(self) -> None:
        """Submit the annotation and wait until it is saved."""
        with self.page.expect_response(
            lambda answer: "/annotations" in answer.url and answer.request.method == "POST"
        ) as saved:
            self.page.click('button:has-text("Submit")')
        assert saved.value.ok, f"the annotation was not saved: {saved.value.status}"
        self.page.wait_for_selector('button:has-text("Update")')
        self.page.wait_for_selector(".konvajs-content")

    def take_picture(self, name: str) -> None:
        """Keep a screenshot."""
        self._screenshots.mkdir(exist_ok=True)
        self.page.screenshot(path=self._screenshots / f"{name}.png")
