"""Who may see and do what; what others wrote is text."""

import re
import time
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from backend.db.project_store import ProjectConnection
from backend.pages.sessions import COOKIE, LIFETIME_S, Sessions, open_sessions
from backend.review.listing import refresh
from backend.settings.environment import Settings
from tests.backend.corrections.made import PROJECT
from tests.backend.pages.conftest import LEAD, LEAD_EMAIL, PASSWORD, USER, predict, read_forms
from tests.backend.pages.test_pages import DECISIONS, LIST, rows

SCRIPTS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</article></main><script src=//evil.example></script>",
    "javascript:alert(1)",
    "{{ 1009 * 9176 }}{% raw %}",
    "<svg/onload=alert(1)>",
    "&lt;script&gt;",
    "\u202e txt.exe <b>",
    "`${alert(1)}`",
    "<!--",
    "]]>",
    "\x00<script>",
]


@pytest.mark.parametrize(
    "path",
    ["/ui/", f"/ui/projects/{PROJECT}", LIST, f"/ui/projects/{PROJECT}/bulk", f"{LIST}/{'0' * 32}/picture?mask=x"],
)
def test_nothing_is_shown_to_whoever_is_not_signed_in(make_client, path):
    answer = make_client().get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/ui/sign-in?next=")


def test_a_decision_without_a_session_is_told_and_not_recorded(make_client, client, project):
    [form, *_] = read_forms(client.get(LIST).text)
    answer = make_client().post(DECISIONS, data={**form, "state": "approved"})
    assert answer.status_code == 401
    assert "nothing was recorded" in answer.text
    assert rows(project) == []


@pytest.mark.parametrize(
    "change",
    [
        {"password": "x"},
        {"user": "x"},
        {"password": ""},
        {"name": ""},
        {"name": "0"},
        {"name": "stranger@example.org"},
        {"name": "9" * 40},
    ],
)
def test_a_wrong_login_begins_no_session(make_client, change):
    client = make_client()
    answer = client.post("/ui/sign-in", data={"name": LEAD_EMAIL, "user": USER, "password": PASSWORD, **change})
    assert answer.status_code == 400
    assert COOKIE not in client.cookies
    assert PASSWORD not in answer.text


def test_without_credentials_only_the_name_is_asked(make_client):
    client = make_client(BASIC_AUTH_USER="", BASIC_AUTH_PASS="")
    assert 'name="password"' not in client.get("/ui/sign-in").text
    assert client.post("/ui/sign-in", data={"name": "5"}).status_code == 303
    assert client.get("/ui/").status_code == 200


@pytest.mark.parametrize(
    ("after", "goes"),
    [
        (LIST, LIST),
        ("//evil.example/ui/", "/ui/"),
        ("https://evil.example/ui/", "/ui/"),
        ("/predict", "/ui/"),
        ("/ui/../predict", "/ui/"),
        ("/ui/\\evil", "/ui/"),
        ("/ui/\r\nX: y", "/ui/"),
        ("http://[", "/ui/"),
    ],
)
def test_signing_in_leads_nowhere_else(make_client, after, goes):
    form = {"name": LEAD_EMAIL, "user": USER, "password": PASSWORD, "next": after}
    assert make_client().post("/ui/sign-in", data=form).headers["location"] == goes


def test_the_cookie_is_for_these_pages_and_no_script(make_client):
    answer = make_client().post("/ui/sign-in", data={"name": "5", "user": USER, "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/ui/" in cookie


@pytest.mark.parametrize("change", [{"token": ""}, {"token": "x" * 64}])
def test_a_form_of_another_session_is_refused(client, project, change):
    [form, *_] = read_forms(client.get(LIST).text)
    assert client.post(DECISIONS, data={**form, "state": "approved", **change}).status_code == 403
    assert rows(project) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_cannot_decide(client, project, headers):
    [form, *_] = read_forms(client.get(LIST).text)
    assert client.post(DECISIONS, data={**form, "state": "approved"}, headers=headers).status_code == 403
    assert rows(project) == []


def test_a_decision_is_no_get_and_no_json(client, project):
    [form, *_] = read_forms(client.get(LIST).text)
    assert client.get(DECISIONS, params={**form, "state": "approved"}).status_code == 405
    assert client.post(DECISIONS, json={**form, "state": "approved"}).status_code == 400
    assert client.post(DECISIONS, data={f"f{n}": "" for n in range(50)}).status_code == 400
    assert rows(project) == []


@pytest.mark.parametrize("path", ["/ui/sign-in", "/ui/", LIST, "/ui/projects/8", "/ui/static/keys.js"])
def test_every_answer_forbids_what_the_pages_do_not_need(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


TAGS = (
    "html head meta title link script body header nav ul li a b form input button main p h1 hgroup section article img span small q "
    "details summary label kbd dialog div bdi"
)


class _Elements(HTMLParser):
    """What a browser would make of a page: its elements and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def read_elements(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Elements()
    parser.feed(html)
    return parser.found


def test_what_others_wrote_is_text(client, project):
    for number, text in enumerate(SCRIPTS):
        predict(project, 500 + number, 0.5, text, label=text)
    refresh(project, PROJECT)
    page = client.get(LIST, params={"queue": "uncertain"}).text
    form = read_forms(page)[0]
    for text in SCRIPTS:
        said = client.post(DECISIONS, data={**form, "state": "rejected", "comment": text}, headers={"X-Fragment": "1"})
        form = read_forms(said.text)[0]
        page += said.text
    page += client.get(LIST, params={"model_version": SCRIPTS[1], "outcome": SCRIPTS[0]}).text
    page += client.get("/ui/sign-in", params={"next": SCRIPTS[1]}).text
    page += sign_out_and_try(client, SCRIPTS)
    elements = read_elements(page)
    assert {tag for tag, _ in elements} <= set(TAGS.split())
    assert {one.get("src") for tag, one in elements if tag == "script"} == {"/ui/static/keys.js"}
    assert [one for _, one in elements if any(name.startswith("on") or name == "style" for name in one)] == []
    links = {
        str(one.get(name)) for _, one in elements for name in ("href", "src", "action", "data-plain") if name in one
    }
    assert [
        link
        for link in links
        if not re.match(r"/ui/|http://studio\.example\.org/projects/7/data\?task=\d+$|data:,$", link) and link
    ] == []
    assert str(1009 * 9176) not in page


def sign_out_and_try(client: TestClient, names) -> str:
    return "".join(
        client.post("/ui/sign-in", data={"name": one, "user": USER, "password": PASSWORD}).text for one in names
    )


def test_an_unlisted_scheme_of_label_studio_is_no_link(client, store, project):
    store.projects.save_connection(ProjectConnection(PROJECT, "javascript:alert(1)//", None, ""))
    page = client.get(LIST).text
    assert "javascript:" not in page


def test_signing_out_needs_the_form_and_ends_the_session(client):
    assert client.post("/ui/sign-out", data={"token": "x"}).status_code == 403
    token = read_forms(client.get(LIST).text)[0]["token"]
    assert client.post("/ui/sign-out", data={"token": token}).status_code == 303
    assert client.get(LIST).status_code == 303


def test_a_session_that_was_changed_or_is_old_is_none(monkeypatch):
    sessions = Sessions(b"k" * 32)
    cookie = sessions.begin(LEAD, "lead", "lead")
    session = sessions.read(cookie)
    assert session is not None
    assert session.reviewer == LEAD
    for other in ("", ".", "x", cookie[:-1], "A" + cookie, cookie.partition(".")[0] + "." + "0" * 64, "é.é"):
        assert sessions.read(other) is None
    assert Sessions(b"l" * 32).read(cookie) is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME_S + 1)
    assert sessions.read(cookie) is None


def test_sessions_outlive_a_restart_and_no_change_of_the_password(tmp_path):
    cookie = open_sessions(tmp_path, ("u", "p")).begin(LEAD, "lead", "lead")
    assert open_sessions(tmp_path, ("u", "p")).read(cookie) is not None
    assert open_sessions(tmp_path, ("u", "q")).read(cookie) is None
    assert open_sessions(tmp_path, None).read(cookie) is None
    assert open_sessions(tmp_path, ("u", "p"), "others").read(cookie) is None
    assert (tmp_path / "pages.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("host", "value", "served"),
    [
        ("127.0.0.1", None, True),
        ("localhost", None, True),
        ("0.0.0.0", None, False),
        ("0.0.0.0", "1", True),
        ("127.0.0.1", "0", False),
    ],
)
def test_beyond_this_machine_the_pages_are_off_unless_they_are_asked_for(host, value, served):
    more = {} if value is None else {"REVIEW_PAGES": value}
    assert Settings(_env_file=None, HOST=host, **more).serves_pages is served
