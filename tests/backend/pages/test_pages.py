"""The pages as a browser without JavaScript sees them."""

import html
import io
import json
import re

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from backend.db.review_tables import listed_region, review
from backend.pages import pictures, queue
from backend.pages.drawing import draw_region
from backend.pages.kept import KeptBytes
from backend.review.listing import RegionFilter, read_listed, refresh
from backend.review.suspects import score_listed
from tests.backend.corrections.made import PROJECT, annotation, box, brush, event, send
from tests.backend.pages.conftest import FIELD, LEAD, REGIONS, predict, read_forms, sign_in
from tests.backend.review.test_listing import counted

LIST = f"/ui/projects/{PROJECT}/regions"
DECISIONS = f"/ui/projects/{PROJECT}/decisions"


def rows(project) -> list:
    with project.reading() as db:
        return [dict(row) for row in db.execute(sa.select(review).order_by(review.c.id)).mappings()]


def test_the_overview_counts_and_leads_to_each_list(client):
    page = client.get(f"/ui/projects/{PROJECT}").text
    assert f"<b>{REGIONS}</b> unseen" in page
    links = set(re.findall(r'href="(/ui/projects/\d+/[^"#]*)"', page))
    assert any("queue=uncertain" in link for link in links)
    for link in links:
        assert client.get(link.replace("&amp;", "&")).status_code == 200, link


def test_the_first_page_lists_projects(client):
    assert f'href="/ui/projects/{PROJECT}"' in client.get("/ui/").text


def test_an_empty_list_says_so_without_keys(client):
    page = client.get(LIST, params={"queue": "to correct"}).text
    assert "No region is in this list." in page
    assert "<kbd>" not in page


def test_an_unknown_project_is_named_in_the_remedy(client):
    assert "There is no project 77 here. Connect it: `ris connect --project 77`." in client.get("/ui/projects/77").text


def test_a_queue_is_in_its_order_in_pages(client):
    first = client.get(LIST, params={"queue": "uncertain"}).text
    assert first.index("task 1<") < first.index("task 2<") < first.index("task 24<")
    assert "1 to 24 of 30" in first
    second = client.get(LIST, params={"queue": "uncertain", "start": 24}).text
    assert "25 to 30 of 30" in second
    assert len(read_forms(first) + read_forms(second)) == REGIONS


def test_a_page_of_a_long_list_is_reached_by_its_number(client):
    first = client.get(LIST, params={"at_least": 0.5}).text
    assert 'name="page"' not in first  # the two pages lead to each other
    second = client.get(LIST, params={"at_least": 0.5, "page": 2}).text
    assert f"25 to {REGIONS} of {REGIONS}" in second
    assert 'id="previous"' in second
    for page in ("0", "-1", "x", str(10**9)):
        assert client.get(LIST, params={"page": page}).status_code == 404


def test_a_list_of_many_pages_asks_for_the_number_and_keeps_its_filter(client, monkeypatch):
    monkeypatch.setattr(queue, "PER_PAGE", 10)
    page = client.get(LIST, params={"queue": "uncertain", "at_least": 0.5, "start": 10}).text
    [form] = re.findall(r'<form method="get">.*?</form>', page, re.DOTALL)
    assert dict(FIELD.findall(form)) == {"queue": "uncertain", "at_least": "0.5"}
    assert 'max="3" value="2"' in form
    assert "11 to 20 of 30" in client.get(LIST, params={"page": 2}).text


def test_words_of_other_scripts_have_a_direction_of_their_own(client, project):
    predict(project, REGIONS + 1, 0.6, "القط 3", label="كائن", version="نموذج-٢")
    client.get(LIST)  # lists and scores it
    with project.writing() as db:
        reason = 'wrong words: it is what was proposed for "القط 3"'
        is_task = listed_region.c.task == "1"
        db.execute(sa.update(listed_region).where(is_task).values(suspicion=0.5, suspicion_reason=reason))
    assert 'proposed for "<bdi>القط 3</bdi>"' in client.get(f"{LIST}?queue=suspicious").text
    page = client.get(f"{LIST}?model_version=نموذج-٢").text
    assert '<p class="words" dir="auto" title="القط 3">القط 3</p>' in page
    assert '<span class="label" dir="auto">كائن</span>' in page
    assert "model version: <b><bdi>نموذج-٢</bdi></b>." in page


def test_the_overview_has_the_sign_off(client):
    page = f"/ui/projects/{PROJECT}"
    assert "Nothing is approved." in client.get(page).text
    client.post(DECISIONS, data={**read_forms(client.get(f"{LIST}?queue=audit").text)[0], "state": "approved"})
    said = html.unescape(client.get(page).text)
    assert f"Approved by user {LEAD} (1), on " in said
    assert "Of these 1 regions 1 were looked at one by one, and 0 were approved in bulk." in said
    assert re.search(
        r"<li>p >= 0: with 95 % confidence at most \d+\.\d % of these 30 regions are wrong \(1 audited, 0 wrong\)", said
    )


def test_a_decision_is_one_row_and_the_list_comes_back(client, project):
    [form, *_] = read_forms(client.get(LIST, params={"queue": "uncertain"}).text)
    answer = client.post(DECISIONS, data={**form, "state": "approved"})
    assert answer.status_code == 303
    page = client.get(answer.headers["location"]).text
    assert "1/p1: <b>approved</b>" in page
    assert "1 to 24 of 29" in page
    [row] = rows(project)
    assert (row["state"], row["reviewer"], row["queue"], row["task"]) == ("approved", LEAD, "uncertain", "1")
    [undo, *_] = re.findall(r'<div class="notice".*?</div>', page, re.DOTALL)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', undo))
    assert client.post(DECISIONS, data=fields).status_code == 303
    assert [row["state"] for row in rows(project)] == ["approved", "unseen"]


def test_a_rejection_has_a_reason_and_a_comment(client, project):
    [form, *_] = read_forms(client.get(LIST, params={"queue": "uncertain"}).text)
    said = {"state": "rejected", "reason": "wrong outline", "comment": "the <left> edge"}
    fragment = client.post(DECISIONS, data={**form, **said}, headers={"X-Fragment": "1"})
    assert fragment.status_code == 200
    assert fragment.text.lstrip().startswith("<article")
    assert 'data-stays="0"' in fragment.text
    assert "the &lt;left&gt; edge" in fragment.text
    [row] = rows(project)
    assert (row["reason"], row["comment"]) == ("wrong outline", "the <left> edge")


def test_a_deferred_region_stays_in_its_queue(client):
    [form, *_] = read_forms(client.get(LIST, params={"queue": "uncertain"}).text)
    fragment = client.post(DECISIONS, data={**form, "state": "second look"}, headers={"X-Fragment": "1"}).text
    assert 'data-stays="1"' in fragment


def test_the_queue_of_suspicion_says_why(client, store, project):
    send(store, event(annotation(1, 1, [brush("p1", box(3, 3), "the box")], parent_prediction=1)))
    project.read_events()
    page = client.get(LIST, params={"queue": "suspicious"}).text
    assert len(read_forms(page)) == 1
    assert re.search(
        r'<b title="score of suspicion">0\.\d\d</b> wrong thing: the proposal is another thing \(p 0\.50', page
    )
    assert "not scored" not in page
    assert "score of suspicion" not in client.get(LIST, params={"queue": "audit"}).text  # whoever audits looks first


def test_a_decision_says_by_how_much_each_queue_changed(client):
    def numbers() -> dict[str, int]:
        page = client.get(LIST).text
        return {name: int(n) for name, n in re.findall(r'data-queue="([^"]+)" data-number="(\d+)"', page)}

    before = numbers()
    [form, *_] = read_forms(client.get(LIST, params={"queue": "uncertain"}).text)
    decided = client.post(DECISIONS, data={**form, "state": "rejected"}, headers={"X-Fragment": "1"}).text
    changes = json.loads(html.unescape(re.search(r'data-changes="([^"]*)"', decided)[1]))
    assert changes == {"uncertain": -1, "audit": -1, "to correct": 1}
    assert {name: before[name] + changes.get(name, 0) for name in before} == numbers()


def test_an_image_is_fetched_once_and_a_picture_drawn_once(client, project, monkeypatch):
    context = client.app.routes[-1].app.state.context
    asked: list[str] = []
    get, drawn = context.fetched.get, []
    monkeypatch.setattr(context.fetched, "get", lambda key, make: get(key, lambda: asked.append(key[1]) or make()))
    monkeypatch.setattr(pictures, "draw_region", lambda *values: drawn.append(values[4]) or draw_region(*values))
    with project.reading() as db:
        regions = read_listed(db, PROJECT, RegionFilter(), limit=2)
    for view in ("overlay", "saved", "overlay", "saved"):
        for region in regions:
            query = {"mask": region.mask_sha256, "view": view}
            assert client.get(f"{LIST}/{region.id}/picture", params=query).status_code == 200
    assert asked == ["1", "2"]
    assert drawn == ["overlay", "overlay", "saved", "saved"]


def test_what_is_kept_is_bounded():
    kept = KeptBytes(10)
    for key in "abc":
        kept.keep(key, bytes(4))
    assert [kept.find(key) is not None for key in "abc"] == [False, True, True]
    kept.keep("d", bytes(11))
    assert kept.find("d") is None
    kept.keep("b", bytes(7))
    assert [kept.find(key) is not None for key in "bc"] == [True, False]


def test_whoever_is_later_is_told_and_nothing_is_recorded(client, make_client, project):
    other = sign_in(make_client(), "8")
    [form, *_] = read_forms(client.get(LIST).text)
    [theirs, *_] = read_forms(other.get(LIST).text)
    assert other.post(DECISIONS, data={**theirs, "state": "approved"}).status_code == 303
    late = client.post(DECISIONS, data={**form, "state": "rejected"})
    assert late.status_code == 409
    assert "Meanwhile user 8 decided about 1/p1: approved." in late.text
    assert len(rows(project)) == 1


def test_a_mask_that_was_changed_meanwhile_is_not_decided(client, store, project):
    [form, *_] = read_forms(client.get(LIST).text)
    send(store, event(annotation(1, 1, [brush("p1", box(3, 3), "the box")], parent_prediction=1)))
    project.read_events()
    assert client.post(DECISIONS, data={**form, "state": "approved"}).status_code in (404, 409)
    assert rows(project) == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"state": "unseen"}, 400),
        ({"state": ""}, 400),
        ({"state": "rejected", "reason": "ugly"}, 400),
        ({"state": "rejected", "comment": "x" * 1001}, 400),
        ({"state": "undo"}, 400),
        ({"state": "approved", "region": "0" * 32}, 404),
        ({"state": "approved", "mask": "0"}, 409),
        ({"state": "approved", "list": "queue=best"}, 404),
        ({"state": "approved", "list": "start=-1"}, 400),
        ({"state": "approved", "comment": "x" * 20_000}, 413),
    ],
)
def test_what_the_page_would_not_send_is_refused(client, project, change, status):
    [form, *_] = read_forms(client.get(LIST).text)
    assert client.post(DECISIONS, data={**form, **change}).status_code == status
    assert rows(project) == []


@pytest.mark.parametrize(
    "path",
    [
        "/ui/projects/8",
        "/ui/projects/8/regions",
        "/ui/projects/x",
        "/ui/projects/-1",
        "/ui/projects/99999999999",
        f"{LIST}?queue=best",
        f"{LIST}?state=fine",
        f"{LIST}?start=-5",
        f"{LIST}?at_least=nan",
        f"{LIST}?done=../../x",
        f"{LIST}/..%2f..%2fetc/picture?mask=x",
        "/ui/static/../app.py",
        "/ui/static/..%2fapp.py",
    ],
)
def test_what_is_not_there_is_not_found(client, path):
    assert client.get(path).status_code == 404


def test_a_region_of_another_project_is_not_found(client, project):
    with project.reading() as db:
        [region] = read_listed(db, PROJECT, RegionFilter(), limit=1)
    path = f"/regions/{region.id}/picture?mask={region.mask_sha256}"
    assert client.get(f"/ui/projects/{PROJECT}{path}").status_code == 200
    assert client.get(f"/ui/projects/{PROJECT + 1}{path}").status_code == 404
    [form, *_] = read_forms(client.get(LIST).text)
    assert client.post("/ui/projects/8/decisions", data={**form, "state": "approved"}).status_code == 404


@pytest.fixture
def picture(client, project):
    """The picture of a task's region: the answer, and its pixels."""

    def get(task: int, **query):
        with project.reading() as db:
            [region] = [one for one in read_listed(db, PROJECT, RegionFilter(), limit=99) if one.task == str(task)]
        answer = client.get(f"{LIST}/{region.id}/picture", params={"mask": region.mask_sha256, **query})
        return answer, np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)

    return get


@pytest.mark.parametrize(("task", "channel"), [(1, 0), (2, 2)])  # red and blue, as `fetch` has them
def test_a_picture_is_of_the_regions_own_task(picture, task, channel):
    answer, pixels = picture(task, view="plain")
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cache-control"].startswith("private, max-age=")
    assert pixels.reshape(-1, 3).mean(axis=0).argmax() == channel
    assert max(pixels.shape) <= 480
    _, outlined = picture(task, size="large")
    assert max(outlined.shape) > max(pixels.shape) or outlined.shape == pixels.shape
    assert (np.abs(outlined - (255, 214, 10)).sum(axis=2) < 60).any()


def test_a_picture_without_its_image_is_grey_and_not_kept(picture):
    answer, pixels = picture(13, view="plain")
    assert answer.headers["cache-control"] == "no-store"
    assert np.ptp(pixels) <= 4


def test_what_was_changed_is_drawn_in_two_colours(store, project, picture):
    shrunk = annotation(1, 2, [brush("p2", box(2, 2, 10, 6), "the box")], parent_prediction=2)
    send(store, event(shrunk))
    project.read_events()
    refresh(project, PROJECT)
    _, pixels = picture(2)
    blue = np.abs(pixels - (15, 87, 255)).sum(axis=2) < 90  # taken away, on a blue image
    assert blue.sum() > 100


def test_statements_of_a_page_are_few_and_do_not_grow(client, make_client, project):
    def count(path: str) -> int:
        refresh(project, PROJECT)
        score_listed(project, PROJECT)
        engine = client.app.routes[-1].app.state.context.correction_store
        with counted(engine) as statements:
            assert client.get(path).status_code == 200
        return len([one for one in statements if one.lstrip().startswith("SELECT")])

    paths = ("/ui/", f"/ui/projects/{PROJECT}", f"{LIST}?queue=uncertain", f"{LIST}?queue=suspicious")
    paths = (*paths, f"/ui/projects/{PROJECT}/bulk?threshold=0.5")
    before = [count(path) for path in paths]
    for task in range(200, 260):
        predict(project, task, 0.6)
    assert [count(path) for path in paths] == before
    assert max(before) <= 12


def test_bulk_approval_is_off_until_the_audit_allows_it(client, project):
    bulk = f"/ui/projects/{PROJECT}/bulk"
    page = client.get(bulk, params={"threshold": 0.5}).text
    assert "nothing was audited of 30 regions" in page
    assert re.search(r"<button disabled>Approve 30 undecided regions", page)
    fields = {"threshold": "0.5", "most": "20", "overlooked": "0"}
    token = read_forms(client.get(LIST).text)[0]["token"]
    assert client.post(bulk, data={**fields, "number": "30", "token": token}).status_code == 400
    for _ in range(20):
        [form, *_] = read_forms(client.get(LIST, params={"queue": "audit"}).text)
        assert client.post(DECISIONS, data={**form, "state": "approved"}).status_code == 303
    page = client.get(bulk, params={"threshold": 0.5, "most": 20}).text
    assert "<button>Approve 10 undecided regions" in page
    assert client.post(bulk, data={**fields, "number": "11", "token": token}).status_code == 409
    assert len(rows(project)) == 20
    answer = client.post(bulk, data={**fields, "number": "10", "token": token})
    assert "10 regions: approved." in client.get(answer.headers["location"]).text
    assert [row["queue"] for row in rows(project)][20:] == ["bulk"] * 10
    [action] = re.findall(r"approved in bulk: <bdi>([^<]*)", client.get(bulk).text)
    assert action.startswith("p &gt;= 0.5, at most 20 % wrong accepted: 10 regions.")
    assert f"<b>{REGIONS}</b> approved" in client.get(f"/ui/projects/{PROJECT}").text
