import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as Pil

from backend.corrections.store import open_correction_store
from backend.db.project_store import ProjectConnection
from backend.report.data import read_report_data, read_studio_url
from backend.report.overlays import OFFERED_RGB, SAVED_RGB, draw_case
from backend.report.page import render
from backend.report.plots import outcome_bars
from tests.backend.corrections.made import PROJECT, annotation, box, brush, event, hand_out, rle, send
from tests.backend.exporters.conftest import png


@pytest.fixture
def correction_store(store):
    """Two annotators, one of them thorough: accepted, edited, rejected, missed, one <foreign>."""
    hand_out(store, 1, [("a", 1), ("b", 2)], [rle(0, 0), rle(20, 0)], kind="open", at=10, expression="the <b>box</b>")
    hand_out(store, 2, [("c", 1)], [rle(0, 0)], expression="two; boxes")
    hand_out(store, 9, [("far", 1)], [rle(0, 0)])
    first = [brush("a", box(0, 0), "the <b>box</b>"), brush("n", box(0, 20), "new")]
    second = [brush("c", box(0, 0, 5), "two; boxes"), brush("far", box(20, 20))]
    send(
        store,
        event(annotation(1, 1, first, parent_prediction=3, lead_time=10.0)),
        event(annotation(2, 2, second, completed_by=2, lead_time=30.0)),
        event(annotation(3, 3, [brush("m", box(0, 0))], completed_by=2, lead_time=90.0)),
    )
    opened = open_correction_store(store._engine.url.render_as_string(hide_password=False))
    opened.read_events()
    yield opened
    opened.close()


def test_the_data_are_what_annotators_did(correction_store):
    data = read_report_data(
        correction_store, PROJECT, lambda one: "plural" if "two" in (one.outcome.expression or "") else "noun"
    )
    assert data.all.counts == {"accepted": 1, "rejected": 1, "missed": 2, "edited": 1, "foreign": 1}
    assert data.groups["annotator"]["2"].counts == {"edited": 1, "foreign": 1, "missed": 1}
    assert data.groups["kind"]["plural"].counts == {"edited": 1}
    assert data.times == ([10.0, 30.0], [90.0])
    assert [one.outcome.outcome for one in data.worst] == ["rejected", "edited"]
    assert sorted(data.all.judged) == [(0.7, False), (0.9, True), (0.9, True)]
    assert data.all.accepted_share == pytest.approx(1 / 3)


class Page(HTMLParser):
    """The page as a browser reads it: what is open, what is named, what is drawn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.stack.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_nothing_else_and_says_it_all(correction_store):
    html = render(read_report_data(correction_store, PROJECT, lambda one: "noun"), "Corrections & more", png)
    page = Page(html)
    assert page.stack == []
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "http" not in re.sub(r"data:[^\"]+", "", html)
    assert "the <b>box</b>" in page.text  # escaped, not a tag
    assert "Of 3 proposals that were offered, 33% were taken as they were, 33% changed, 0% replaced" in page.text
    assert "1 region has an id that was offered for another task" in page.text
    for title in ("By label", "By kind of expression", "By annotator", "By model version", "Worst cases"):
        assert title in page.text
    svgs = [b64decode(s.partition(",")[2]) for s in page.sources if s.startswith("data:image/svg")]
    assert len(svgs) == 7
    assert all(ElementTree.fromstring(svg).tag.endswith("svg") for svg in svgs)
    pictures = [b64decode(s.partition(",")[2]) for s in page.sources if s.startswith("data:image/png")]
    assert [max(Pil.open(BytesIO(picture)).size) for picture in pictures] == [320, 320]


def test_the_same_corrections_give_the_same_page(correction_store):
    assert render(read_report_data(correction_store, PROJECT), "t", png) == render(
        read_report_data(correction_store, PROJECT), "t", png
    )


def test_an_empty_project_has_a_page(store, correction_store):
    page = Page(render(read_report_data(correction_store, 99), "nothing yet"))
    assert page.stack == []
    assert "There is nothing to report yet: no region of project 99 was annotated" in page.text
    assert "proposals that were" not in page.text
    assert page.sources == []


def test_the_headline_counts_what_nobody_took(store, correction_store):
    hand_out(store, 4, [("said", 1)], [rle(0, 0)], expression="asked first")
    hand_out(store, 4, [("again", 1)], [rle(20, 0)], expression="asked then")
    hand_out(store, 5, [("left", 1)], [rle(0, 0)])
    hand_out(store, 6, [("first", 1)], [rle(0, 0), rle(20, 0), rle(20, 15)], expression="the one", at=20)
    hand_out(store, 6, [("next", 2)], [rle(0, 0), rle(20, 0), rle(20, 15)], expression="the one", at=30)
    hand_out(store, 6, [("third", 3)], [rle(0, 0), rle(20, 0), rle(20, 15)], expression="the one", at=40)
    send(
        store,
        event(annotation(4, 4, [brush("again", box(20, 0), "asked then")])),
        event(annotation(5, 5, [])),
        event(annotation(6, 6, [brush("third", box(20, 15), "the one")])),
    )
    correction_store.read_events()
    data = read_report_data(correction_store, PROJECT)
    assert data.all.counts["unanswered"] == 3
    # offered: 3 before, two wordings, one left, and one query of three candidates
    page = Page(render(data, "t"))
    assert "Of 8 proposals that were offered, 25% were taken as they were, 12% changed, 12% replaced" in page.text
    assert "12% deleted, 38% not taken: asked for in other words, passed over with “next”, or left." in page.text


@pytest.mark.parametrize("address", ["http://studio.example/ls/", "https://studio.example"])
def test_every_case_leads_to_its_task(correction_store, address):
    data = read_report_data(correction_store, PROJECT)
    links = [source for source in Page(render(data, "t", png, address)).sources if not source.startswith("data:")]
    start = f"{address.rstrip('/')}/projects/{PROJECT}/data?task="
    assert links == [f"{start}{one.task}" for one in data.worst]


@pytest.mark.parametrize("address", ["", "javascript:alert(1)", "studio.example"])
def test_what_is_no_address_is_no_link(correction_store, address):
    assert "<a " not in render(read_report_data(correction_store, PROJECT), "t", png, address)


def test_the_address_is_the_one_that_label_studio_gives_for_people(store, correction_store):
    assert read_studio_url(correction_store, PROJECT) is None
    connection = ("https://studio.example", None, "<View/>", {})
    store.projects.save_connection(ProjectConnection(PROJECT, *connection))
    assert read_studio_url(correction_store, PROJECT) == "https://studio.example"


def test_a_case_shows_both_outlines_around_the_masks():
    picture = np.asarray(Pil.open(BytesIO(draw_case(None, rle(0, 0), rle(5, 5)))))
    colours = {tuple(pixel) for pixel in picture.reshape(-1, 3)}
    assert {OFFERED_RGB, SAVED_RGB, (200, 200, 200)} <= colours


@pytest.mark.parametrize(("offered", "saved"), [(rle(0, 0), None), (None, rle(0, 0)), (None, None)])
def test_a_case_may_lack_one_side(offered, saved):
    assert max(Pil.open(BytesIO(draw_case(None, offered, saved))).size) == 320


def test_images_that_cannot_be_had_are_grey(correction_store):
    html = render(read_report_data(correction_store, PROJECT), "t", lambda address, task: b"no image")
    assert json.dumps(html).count("data:image/png") == 2


@pytest.mark.parametrize("size", [(20_000, 10_000), (8000, 7000)])
def test_a_picture_that_is_too_large_is_drawn_on_grey_and_the_page_is_made(correction_store, size):
    buffer = BytesIO()
    Pil.new("1", size).save(buffer, "PNG")
    assert (
        "Worst cases"
        in Page(render(read_report_data(correction_store, PROJECT), "t", lambda *_: buffer.getvalue())).text
    )


NASTY = [
    "$\\frac{$",
    "a $x$ b$",
    "<img src=x onerror=1>",
    "| a | b |",
    "x\ny\r\n",
    "\x1b[2J",
    "\ud800half",
    "_under",
    "x" * 500,
    "\x00",
]


def test_labels_of_any_text_are_text_in_plots_and_on_the_page(store):
    hand_out(store, 1, [("a", 1)], [rle(0, 0)], expression="it")
    for number, label in enumerate(NASTY):
        result = [brush(f"r{number}", box(0, 0), label, label=label)]
        send(store, event(annotation(number + 1, number + 1, result)))
    opened = open_correction_store(store._engine.url.render_as_string(hide_password=False))
    opened.read_events()
    data = read_report_data(opened, PROJECT)
    opened.close()
    html = render(data, "\ud800 <title> $")
    html.encode()
    assert "<img src=x" not in html
    assert "\x1b" not in html
    page = Page(html)
    for source in page.sources:
        kind, _, content = source.partition(";base64,")
        if kind.endswith("svg+xml"):
            ElementTree.fromstring(b64decode(content))


def test_bars_of_names_that_look_alike_stay_apart():
    counts = {f"{'x' * 80}{number}": {"accepted": number + 1} for number in range(3)}
    assert outcome_bars(counts).count(f"<!-- {'x' * 60}… -->") == 3
    assert "\\frac" in outcome_bars({"$\\frac$": {"accepted": 1}})
