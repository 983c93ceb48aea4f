"""The pages of quality review in a real Chromium, driven the way a lead uses them: by keys, or with JavaScript switched off."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, Locator, Page, expect

from backend.review.decisions import REASONS, State
from benchmarks.labelling_page import SIZE, TIMEOUT_MS
from demo import label_studio
from demo.up import BACKEND_USER, Demo

QUEUE = "uncertain"
_MOVED = """before => {
    const card = document.activeElement?.closest('.region')
    return (card && card.id !== before) || document.getElementById('said')?.textContent.includes('end of the list')
}"""
"""After a decision the next region has the focus, on the next page too, unless there is none."""


@dataclass(frozen=True)
class Press:
    """What a lead does with a region.

    Attributes:
        comment: What the annotator is told.
        is_second_thought: The region is approved first, and that is undone.
    """

    state: State
    reason: str | None = None
    comment: str | None = None
    is_second_thought: bool = False


@dataclass(frozen=True)
class Decided:
    """A region after what was done with it, and the seconds until the next one could be decided.

    Attributes:
        key: task/region, as the page names it.
    """

    key: str
    press: Press
    seconds: float


PRESSES = (
    Press("approved"),
    Press("approved"),
    Press("rejected", REASONS[1]),
    Press("rejected", REASONS[3], is_second_thought=True),
    Press("rejected", REASONS[0], "it is <b>another</b> one"),
    Press("approved"),
)
"""What is done in turn."""


@contextmanager
def open_queue(browser: Browser, demo: Demo, project: int, has_javascript: bool) -> Iterator[Page]:
    """The demo's user at the queue of uncertain regions."""
    context = browser.new_context(viewport=SIZE, java_script_enabled=has_javascript)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto(f"{demo.backend_url}/ui/projects/{project}/regions?queue={QUEUE}")
    page.fill("input[name=name]", label_studio.EMAIL)
    page.fill("input[name=user]", BACKEND_USER)
    page.fill("input[name=password]", demo.secrets.backend_password)
    page.click("main button")
    yield page
    context.close()


def decide_by_keys(page: Page, presses: Sequence[Press]) -> Iterator[Decided]:
    """Decide one region after the other, and touch nothing but keys."""
    keyboard = page.keyboard
    expect(page.locator(".region").first).to_be_focused()
    for press in presses:
        card = page.locator(".region:focus")
        id, key, began = card.get_attribute("id"), _key_of(card), time.perf_counter()
        if press.is_second_thought:
            keyboard.press("a")
            page.wait_for_function(_MOVED, arg=id)
            keyboard.press("u")
            expect(page.locator(f"#{id}")).to_be_focused()
        if press.comment:
            keyboard.press("c")
            keyboard.insert_text(press.comment)
            keyboard.press("Escape")
        elif press.reason:
            keyboard.press("r")
        keyboard.press(str(REASONS.index(press.reason) + 1) if press.reason else "a")
        page.wait_for_function(_MOVED, arg=id)
        yield Decided(key, press, time.perf_counter() - began)


def decide_by_forms(page: Page, presses: Sequence[Press]) -> Iterator[Decided]:
    """Decide one region after the other with links and forms alone: the first of the list each time, since what is decided leaves it."""
    notice = page.locator(".notice")
    for press in presses:
        card = page.locator(".region").first
        key, began = _key_of(card), time.perf_counter()
        if press.is_second_thought:
            card.locator("button[value=approved]").click()
            expect(notice).to_contain_text("approved")
            notice.locator("button").click()
            expect(notice).not_to_contain_text("approved")
        card = page.locator(f'.region[aria-label^="{key},"]')
        if press.reason:
            card.locator("summary").click()
            card.locator("input[name=comment]").fill(press.comment or "")
            card.locator(f"button[value='{press.reason}']").click()
        else:
            card.locator("button[value=approved]").click()
        expect(notice).to_contain_text(f"{key}: {press.state}")
        yield Decided(key, press, time.perf_counter() - began)


def _key_of(card: Locator) -> str:
    return (card.get_attribute("aria-label") or "").rpartition(", ")[0]
