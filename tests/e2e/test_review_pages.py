"""The pages of quality review in a real browser: a lead at the keys, and one without JavaScript."""

import itertools
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from backend.label_studio import regions
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.label_config import read_config
from backend.review.decisions import REASONS
from benchmarks.review import WAYS, Disagreements, review
from benchmarks.review_page import PRESSES
from demo import label_studio
from demo.gallery import GALLERY, Exhibit
from demo.up import BACKEND_USER, Demo
from tests.e2e.conftest import RECOMMENDED, SCREENSHOTS, MakeProject, Project

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
AXE = ROOT / "tests/data/axe/axe.min.js"
TASKS = 26
"""More than a page has."""
KEYS = (("a", "approved", None), ("r2", "rejected", REASONS[1]), ("a", "approved", None), ("d", "second look", None))
"""What is pressed in turn, the state that it gives, and the reason."""
DECIDED = 20


@pytest.fixture(scope="module")
def project(client: LabelStudioClient, demo: Demo, make_project: MakeProject, image_of, state_dir: Path) -> Project:
    """Scenes with a prediction each, the least certain first; the backend knows them."""
    exhibits: list[Exhibit] = list(itertools.islice(itertools.cycle(GALLERY), TASKS))
    made = make_project(RECOMMENDED, [{"image": image_of(exhibit)} for exhibit in exhibits])
    control = read_config(RECOMMENDED).controls[0]
    for number, (task, exhibit) in enumerate(zip(made.tasks, exhibits, strict=True)):
        score = 0.5 + number / 100
        region = regions.make_region(exhibit.truth(), control, "Object", f"region{task}", score, exhibit.expression)
        body = {"task": task, "result": [region], "score": score, "model_version": "pages-1"}
        client.request("POST", "/api/predictions/", body)
    command = [sys.executable, "-m", "backend", "review", "stats", "--project", str(made.id)]
    own = {**os.environ, "RIS_STATE_DIR": str(state_dir)}
    subprocess.run(command, cwd=ROOT, env=own, check=True, capture_output=True, timeout=120)
    return made


def sign_in(page: Page, demo: Demo, path: str) -> None:
    page.goto(f"{demo.backend_url}/ui{path}")
    page.fill("input[name=name]", label_studio.EMAIL)
    page.fill("input[name=user]", BACKEND_USER)
    page.fill("input[name=password]", demo.secrets.backend_password)
    page.click("main button")


@pytest.fixture
def lead(browser: Browser, demo: Demo, project: Project) -> Iterator[Page]:
    """The demo's user at the queue of uncertain regions. The page tries nothing that its policy forbids."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    sign_in(page, demo, f"/projects/{project.id}/regions?queue=uncertain")
    expect(page.locator(".region").first).to_be_focused()
    yield page
    context.close()
    assert [text for text in said if "401" not in text and "409" not in text] == []  # refused decisions, which are told


def read_decisions(state_dir: Path, project: Project) -> list[tuple]:
    columns = "task, state, reason, queue, reviewer"
    with closing(sqlite3.connect(state_dir / "ris.sqlite3")) as sql:
        return sql.execute(f"SELECT {columns} FROM review WHERE project = ? ORDER BY id", [project.id]).fetchall()


def test_a_lead_decides_by_keys_alone(lead: Page, project: Project, state_dir: Path, client: LabelStudioClient):
    keyboard, cards = lead.keyboard, lead.locator(".region")
    expect(cards).to_have_count(24)
    expect(cards.first).to_be_focused()
    first_picture = cards.first.locator("img")
    lead.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=first_picture.element_handle())
    count = lead.locator('[data-queue="uncertain"]')
    assert count.inner_text() == str(TASKS)
    expected = []
    for number in range(DECIDED):
        keys, state, reason = KEYS[number % len(KEYS)]
        for key in keys:
            keyboard.press(key)
        expect(cards.nth(number)).to_have_attribute("data-state", state)
        expect(cards.nth(number + 1)).to_be_focused()
        expected.append((str(project.tasks[number]), state, reason, "uncertain"))
    SCREENSHOTS.mkdir(exist_ok=True)
    lead.screenshot(path=SCREENSHOTS / "review-queue.png")
    deferred = sum(state == "second look" for _, state, *_ in expected)
    assert count.inner_text() == str(TASKS - DECIDED + deferred)
    rows = read_decisions(state_dir, project)
    assert [row[:4] for row in rows] == expected
    whoami = client.request("GET", "/api/current-user/whoami")["id"]
    assert {row[4] for row in rows} == {whoami}

    keyboard.press("u")  # of the last one
    expect(cards.nth(DECIDED - 1)).to_have_attribute("data-state", "unseen")
    expect(cards.nth(DECIDED - 1)).to_be_focused()
    keyboard.press("k")
    expect(cards.nth(DECIDED - 2)).to_be_focused()
    for _ in range(6):
        keyboard.press("j")
    lead.wait_for_url(lambda address: "start=" in address)
    expect(lead.locator(".region")).to_have_count(2)  # the last two, none is passed over


def test_the_large_picture_follows_the_keys(lead: Page):
    large = lead.locator("#large")
    lead.keyboard.press(" ")
    expect(large).to_be_visible()
    lead.wait_for_function("() => document.querySelector('#large img').naturalWidth > 480")
    before = large.locator("img").get_attribute("src")
    lead.screenshot(path=SCREENSHOTS / "review-large.png")
    lead.keyboard.press("j")
    expect(large.locator("img")).not_to_have_attribute("src", before or "")
    lead.keyboard.press("v")
    assert "view=plain" in (large.locator("img").get_attribute("src") or "")
    lead.keyboard.press("Escape")
    expect(large).not_to_be_visible()
    with lead.context.expect_page() as opened:
        lead.keyboard.press("o")
    assert "/data?task=" in opened.value.url or "/user/login" in opened.value.url


def test_two_leads_at_one_region(lead: Page, browser: Browser, demo: Demo, project: Project, state_dir: Path):
    context = browser.new_context()
    other = context.new_page()
    sign_in(other, demo, f"/projects/{project.id}/regions?queue=uncertain")
    expect(other.locator(".region").first).to_be_focused()
    other.keyboard.press("a")
    expect(other.locator(".region").first).to_have_attribute("data-state", "approved")
    before = len(read_decisions(state_dir, project))
    lead.keyboard.press("a")
    expect(lead.locator("#said")).to_contain_text("Nothing was recorded")
    assert len(read_decisions(state_dir, project)) == before
    context.close()


def test_a_lost_session_is_told(lead: Page, project: Project, state_dir: Path):
    before = len(read_decisions(state_dir, project))
    lead.context.clear_cookies()
    lead.keyboard.press("a")
    expect(lead.locator("#said")).to_contain_text("Sign in")
    assert len(read_decisions(state_dir, project)) == before


def test_without_javascript(browser: Browser, demo: Demo, project: Project, state_dir: Path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, demo, f"/projects/{project.id}/regions?queue=audit")
    before = read_decisions(state_dir, project)
    page.locator(".region button[value=approved]").first.click()
    expect(page.locator(".notice")).to_contain_text("approved")
    page.locator(".region summary").first.click()
    page.locator(".region input[name=comment]").first.fill("the <b>tail</b> is missing")
    page.locator(f".region button[value='{REASONS[2]}']").first.click()
    expect(page.locator(".notice")).to_contain_text(f"rejected, {REASONS[2]}")
    page.locator(".notice button").click()
    expect(page.locator(".notice")).not_to_contain_text(f"rejected, {REASONS[2]}")
    rows = read_decisions(state_dir, project)[len(before) :]
    [*_, earlier] = [("unseen", None, None), *(row[1:4] for row in before if row[0] == rows[1][0])]  # by keys, above
    assert [row[1:4] for row in rows] == [("approved", None, "audit"), ("rejected", REASONS[2], "audit"), earlier]
    context.close()


PAGES = {"overview": "", "queue": "/regions?queue=audit", "bulk": "/bulk?threshold=0.5", "runs": "/runs"}
VIOLATIONS = "axe.run().then(found => found.violations.map(one => [one.id, one.nodes.map(node => node.html)]))"


@pytest.mark.parametrize(("width", "scheme"), [(640, "dark"), (800, "light"), (1920, "dark")])
def test_every_page_fits_and_has_no_barrier(browser: Browser, demo: Demo, project: Project, width: int, scheme: str):
    """640 pixels is what a window of 1,280 has at a zoom of 200 %."""
    size = {"width": width, "height": 1000}
    context = browser.new_context(viewport=size, color_scheme=scheme, bypass_csp=True)  # type: ignore[arg-type]  # light or dark
    page = context.new_page()

    def look(name: str) -> None:
        page.screenshot(path=SCREENSHOTS / f"review-{name}-{width}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(VIOLATIONS) == [], name

    page.goto(f"{demo.backend_url}/ui/sign-in")
    look("sign-in")
    sign_in(page, demo, f"/projects/{project.id}")
    for name, path in PAGES.items():
        page.goto(f"{demo.backend_url}/ui/projects/{project.id}{path}")
        look(name)
    page.goto(f"{demo.backend_url}/ui/projects/{project.id}{PAGES['queue']}")
    page.keyboard.press("r")
    look("reject")
    page.keyboard.press("i")
    expect(page.locator("h1")).to_contain_text("Region")
    look("region")
    context.close()


def test_the_tab_key_goes_through_the_page_from_top_to_bottom(lead: Page):
    lead.evaluate("document.activeElement.blur()")
    places, focusable = [], "[...document.querySelectorAll('a, button, summary, input, .region')]"
    for _ in range(30):
        lead.keyboard.press("Tab")
        place, outline = lead.evaluate(
            f"[{focusable}.indexOf(document.activeElement), getComputedStyle(document.activeElement)]"
            ".map(one => one.outlineStyle ? one.outlineStyle + one.boxShadow : one)"
        )
        assert outline != "nonenone", place
        places.append(place)
    assert places[0] >= 0
    assert places == sorted(set(places))


def test_keys_lead_from_region_to_region(lead: Page):
    lead.keyboard.press("i")
    heading = lead.locator("h1")
    expect(heading).to_contain_text("Region")
    first = heading.inner_text()
    lead.keyboard.press("j")
    expect(heading).not_to_have_text(first)
    expect(heading).to_contain_text("Region")
    expect(lead.locator(".region")).to_be_focused()  # by the script that reads keys
    lead.keyboard.press("k")
    expect(heading).to_have_text(first)


def test_what_is_pressed_stands_in_the_database_in_label_studio_and_in_the_data_set(
    browser, demo: Demo, state_dir: Path
):
    """`ris bench review` with a few proposals: by keys alone, and without JavaScript; masks are compared pixel by pixel."""
    report = review(browser, demo, state_dir, len(PRESSES))
    assert dict(report.disagreements) == {way: Disagreements(0, 0, 0) for way in WAYS}
    assert [len(seconds) for seconds in report.seconds.values()] == [len(PRESSES)] * 2
