"""The page of one region, as a browser without JavaScript sees it."""

import io
import re
from html import unescape

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from backend.db.answer_rows import AnswerOrigin, insert_answers
from backend.db.listing import note_tasks
from backend.db.records import Answer
from backend.db.run_tables import item, run
from backend.review.listing import RegionFilter, read_listed, refresh
from backend.review.suspects import score_listed
from tests.backend.corrections.made import (
    CONFIG,
    HEIGHT,
    PROJECT,
    START,
    WIDTH,
    annotation,
    box,
    brush,
    event,
    hand_out,
    rle,
    send,
)
from tests.backend.corrections.test_offered_regions import fill
from tests.backend.pages.conftest import LEAD, predict, read_forms
from tests.backend.pages.test_pages import DECISIONS, LIST, rows
from tests.backend.pages.test_security import SCRIPTS, TAGS, read_elements
from tests.backend.review.test_listing import counted

TASK = 50


def find(project, task: int):
    refresh(project, PROJECT)
    with project.reading() as db:
        [found] = [one for one in read_listed(db, PROJECT, RegionFilter(), limit=999) if one.task == str(task)]
    return found


@pytest.fixture
def edited(store, project):
    """A region that was offered as the first of three candidates, and saved smaller."""
    hand_out(store, TASK, [("e1", 1)], [rle(2, 2, 12, 8), rle(20, 2), rle(2, 15)], user=1, chosen=False)
    send(store, event(annotation(1, TASK, [brush("e1", box(2, 2, 6, 8), "the box")])))
    project.read_events()
    return find(project, TASK)


def page_of(region) -> str:
    return f"{LIST}/{region.id}"


def test_a_queue_leads_to_the_page_and_the_page_back(client):
    page = client.get(LIST, params={"queue": "uncertain"}).text
    link = re.search(r'href="(/ui/projects/7/regions/[0-9a-f]{32}\?queue=uncertain)"', page)
    one = client.get(link[1]).text
    assert f'href="{LIST}?queue=uncertain">Back to uncertain' in one
    assert 'href="http://studio.example.org/projects/7/data?task=1"' in one
    assert "nobody has annotated the task" in one
    assert "The answer is not on record" in one


def test_it_leads_to_its_neighbours_also_when_it_left_the_list(client, project):
    order = [form["region"] for form in read_forms(client.get(LIST, params={"queue": "uncertain"}).text)]

    def links(page: str) -> dict[str, str]:
        return dict(re.findall(rf'<a id="(next|previous)" href="{LIST}/([0-9a-f]{{32}})\?queue=uncertain"', page))

    first, second = (client.get(f"{LIST}/{id}?queue=uncertain").text for id in order[:2])
    assert links(first) == {"next": order[1]}
    assert links(second) == {"previous": order[0], "next": order[2]}
    [form] = read_forms(second)
    decided = client.post(DECISIONS, data={**form, "list": unescape(form["list"]), "state": "approved"})
    assert links(client.get(decided.headers["location"]).text) == links(second)


def test_it_compares_what_was_offered_with_what_was_saved(client, edited):
    page = client.get(page_of(edited)).text
    assert "edited" in page
    assert "IoU of the two masks</th><td>0.500<" in page
    assert "area</th><td>-50.0 % of the offered one<" in page
    assert "Candidates: 3" in page
    assert re.search(r"<b>#1</b> score 0\.900 · IoU 0\.50 · <b>handed out</b>", page)
    assert re.search(r"<b>#2</b> score 0\.700 · IoU 0\.00\s*</figcaption>", page)
    assert "not on record" in page  # how it was read: `hand_out` does not say


def test_it_says_how_the_expression_was_read(client, store, project):
    reading = {"meant": ["box", "red box"], "unused": ["shiny"], "numbers": [None]}
    candidates = [{"rank": 1, "score": 0.7, "mask": rle(0, 0), "parts": {}, "bbox_xywh": [0, 0, 10, 10]}]
    about = ("the shiny red boxes", "Object", "ambiguous", "v7", "fp", "ab", HEIGHT, WIDTH)
    made = Answer(*about, candidates, [0], is_guess=True, reading=reading, is_calibrated=True)
    with store._engine.begin() as db:
        origin = store_run(db)
        insert_answers(db, AnswerOrigin(PROJECT, str(TASK), run=origin), [made])
    region = find(project, TASK)
    page = client.get(page_of(region)).text.replace("<bdi>", "").replace("</bdi>", "")
    for part in ("red box (noun: box)", "any number", "shiny", "Object (guessed)", "ambiguous", "run r1", "p 0.700"):
        assert part in page, part


def store_run(db) -> str:
    spec = fill(run, id="r1", project=PROJECT, label_config=CONFIG, model_version="v7", spec={}, state="done")
    db.execute(sa.insert(run).values(spec))
    row = fill(item, run="r1", task=TASK, state="done", finished_at=START, image=f"/data/{TASK}.png")
    db.execute(sa.insert(item).values(row))
    note_tasks(db, [(PROJECT, str(TASK))])
    return "r1"


def test_a_decision_comes_back_to_the_page_with_its_history(client, project, edited):
    address = page_of(edited)
    for change in ({"state": "rejected", "reason": "wrong outline", "comment": "the <b> edge"}, {"state": "undo"}):
        [form] = read_forms(client.get(address, params={"queue": "confident but edited"}).text)
        answer = client.post(DECISIONS, data={**form, **change})
        assert answer.headers["location"] == f"{address}?queue=confident+but+edited"
    page = client.get(address).text
    first, second = rows(project)
    history = page.partition("<h2>Decisions</h2>")[2]
    assert "rejected: wrong outline" in history
    assert "the &lt;b&gt; edge" in history
    assert f"unseen (takes {first['id']} back)" in history
    assert history.count(f"user {LEAD}") == 2
    assert history.count("as now") == 2
    assert (first["queue"], second["undoes"]) == ("confident but edited", first["id"])


def test_the_history_keeps_decisions_about_former_masks(client, store, project, edited):
    [form] = read_forms(client.get(page_of(edited)).text)
    client.post(DECISIONS, data={**form, "state": "approved"})
    again = annotation(1, TASK, [brush("e1", box(2, 2, 4, 8), "the box")], at=200.0)
    send(store, event(again, "ANNOTATION_UPDATED"))
    project.read_events()
    page = client.get(page_of(find(project, TASK))).text
    assert "another mask" in page
    assert edited.mask_sha256[:8] in page
    assert "not decided" in page


def test_whoever_is_later_is_told(client, project, edited):
    [form] = read_forms(client.get(page_of(edited)).text)
    assert client.post(DECISIONS, data={**form, "state": "approved"}).status_code == 303
    assert client.post(DECISIONS, data={**form, "state": "rejected"}).status_code == 409
    assert len(rows(project)) == 1


def pixels_of(answer) -> np.ndarray:
    assert answer.status_code == 200
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


def test_views_outline_one_of_the_masks(client, edited):
    def yellow(**query) -> np.ndarray:
        pixels = pixels_of(client.get(f"{page_of(edited)}/picture", params={"mask": edited.mask_sha256, **query}))
        return np.abs(pixels - (255, 214, 10)).sum(axis=2) < 60

    saved, offered = (np.flatnonzero(yellow(view=view).any(axis=0)) for view in ("saved", "offered"))
    assert np.ptp(offered) > 1.7 * np.ptp(saved)  # 12 columns to 6


def test_a_candidate_is_drawn_beside_the_region(client, edited):
    page = client.get(page_of(edited)).text
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]*candidate=\d+)"', page)]
    assert len(links) == 3
    pixels = pixels_of(client.get(links[1]))
    only_saved = (np.abs(pixels - (153, 73, 102)).sum(axis=2) < 90).sum()  # orange on a blue image
    only_candidate = (np.abs(pixels - (15, 87, 255)).sum(axis=2) < 90).sum()
    assert only_saved > 100
    assert only_candidate > 100


@pytest.mark.parametrize("change", [{"answer": 999}, {"candidate": 4}, {"candidate": 0}, {"answer": -1}])
def test_a_candidate_that_is_not_there_is_not_found(client, edited, change):
    query = {"mask": edited.mask_sha256, "answer": 1, "candidate": 1, **change}
    assert client.get(f"{page_of(edited)}/picture", params=query).status_code == 404


def test_nothing_of_another_project_or_task_is_shown(client, store, project, edited):
    assert client.get(page_of(edited).replace("/7/", "/8/")).status_code == 404
    assert client.get(f"{LIST}/{'0' * 32}").status_code == 404
    hand_out(store, TASK + 1, [("e2", 1)], [rle(0, 0)])
    query = {"mask": edited.mask_sha256, "candidate": 1}
    picture = f"{page_of(edited)}/picture"
    assert client.get(picture, params={**query, "answer": 1}).status_code == 200
    assert client.get(picture, params={**query, "answer": 2}).status_code == 404


def test_it_is_not_shown_to_whoever_is_not_signed_in(make_client, edited):
    assert make_client().get(page_of(edited)).status_code == 303


def test_what_others_wrote_is_text(client, store, project):
    for number, text in enumerate(SCRIPTS):
        hand_out(store, 600 + number, [(f"s{number}", 1)], [rle(2, 2)], expression=text, label=text)
        saved = [brush(f"s{number}", box(2, 2, 8), "other " + text, label=text + "!")]
        send(store, event(annotation(600 + number, 600 + number, saved)))
    project.read_events()
    page = ""
    for number, text in enumerate(SCRIPTS):
        address = page_of(find(project, 600 + number))
        [form] = read_forms(client.get(address).text)
        client.post(DECISIONS, data={**form, "state": "rejected", "comment": text})
        page += client.get(address).text
    elements = read_elements(page)
    known = {*TAGS.split(), *["h2", "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "code"]}
    assert {tag for tag, _ in elements} <= known
    assert [one for _, one in elements if any(name.startswith("on") or name == "style" for name in one)] == []
    links = {str(one.get(name)) for _, one in elements for name in ("href", "src", "action") if one.get(name)}
    assert [
        link
        for link in links
        if not re.match(r"/ui/|http://studio\.example\.org/projects/7/data\?task=\d+$|data:,$", link)
    ] == []
    assert "{{ 1009 * 9176 }}" in page


def test_statements_do_not_grow_with_the_project_or_the_candidates(client, store, project, edited):
    def count() -> int:
        refresh(project, PROJECT)
        score_listed(project, PROJECT)
        engine = client.app.routes[-1].app.state.context.correction_store
        with counted(engine) as statements:
            assert client.get(page_of(edited)).status_code == 200
        return len([one for one in statements if one.lstrip().startswith("SELECT")])

    before = count()
    for task in range(200, 230):
        predict(project, task, 0.6)
    hand_out(store, TASK, [("e3", 1)], [rle(x, 2) for x in range(20)], user=2)
    for state in ("approved", "rejected", "second look"):
        [form] = read_forms(client.get(page_of(edited)).text)
        client.post(DECISIONS, data={**form, "state": state})
    assert count() <= before <= 12
