"""Roles: a viewer reads, a reviewer decides regions, a lead approves in bulk and changes runs."""

import re
from typing import get_args

import pytest
from fastapi.testclient import TestClient

from backend.base.errors import BadSettings
from backend.pages.access import ROLES, hash_password, read_access
from backend.pages.runs import Verb
from backend.pages.sessions import COOKIE
from backend.review.actions import read_actions
from ris_core.errors import BadInput
from tests.backend.corrections.made import PROJECT
from tests.backend.pages.conftest import LEAD, LEAD_EMAIL, PASSWORD, read_forms, sign_in
from tests.backend.pages.test_pages import DECISIONS, LIST, rows
from tests.backend.pages.test_runs import make_run, read_token, run_store  # noqa: F401

OWN = "right password"
SECRET = "0123456789abcdef"
NUMBERS = {"viewer": 11, "reviewer": 12, "lead": 13}
PROJECT_PATH = f"/ui/projects/{PROJECT}"
NEEDS = {
    "/sign-in": None,
    "/sign-out": "viewer",
    "/projects/{project}/decisions": "reviewer",
    "/projects/{project}/bulk": "lead",
    "/projects/{project}/runs": "lead",
    "/projects/{project}/runs/{id}/{verb}": "lead",
}
"""The role that each route needs that changes something; None if anybody may."""


@pytest.fixture(scope="session")
def hashed() -> str:
    return hash_password(OWN)


@pytest.fixture
def make_served(make_client, tmp_path, hashed):
    """Opens the pages with a file of people: one for each role."""

    def make(more: str = "") -> TestClient:
        file = tmp_path / "access.toml"
        people = "".join(
            f'[people."{role}@files.example"]\nrole = "{role}"\nnumber = {number}\npassword = "{hashed}"\n'
            for role, number in NUMBERS.items()
        )
        file.write_text(people + more)
        return make_client(REVIEW_ACCESS=file)

    return make


def enter(client: TestClient, name: str, password: str = OWN):
    return client.post("/ui/sign-in", data={"name": name, "password": password})


@pytest.fixture
def as_role(make_served):
    """Somebody of a role who is signed in."""

    def make(role: str) -> TestClient:
        client = make_served()
        assert enter(client, f"{role}@files.example").status_code == 303
        return client

    return make


def routes_of(client: TestClient) -> list[tuple[str, str]]:
    """Method and path of every route of the pages."""
    paths = client.app.routes[-1].app.openapi()["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods]


def test_each_route_that_changes_something_says_who_may(make_client):
    changing = [path for method, path in routes_of(make_client()) if method != "get"]
    assert sorted(changing) == sorted(NEEDS)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_what_its_routes_say_and_nothing_else(as_role, project, make_run, run_store, role):  # noqa: F811
    client, run = as_role(role), make_run()
    before = rows(project)
    for path, needed in NEEDS.items():
        for verb in get_args(Verb) if "{verb}" in path else ("",):
            if needed is None or path == "/sign-out":
                continue
            answer = client.post("/ui" + path.format(project=PROJECT, id=run.id, verb=verb), data={"token": "x"})
            is_allowed = ROLES.index(role) >= ROLES.index(needed)
            assert answer.status_code == 403
            assert ("The form is not of this session" in answer.text) == is_allowed, path
            assert (f"This is for a {needed}" in answer.text) != is_allowed, path
    assert rows(project) == before
    assert run_store.get(run.id).state == "running"
    for method, path in routes_of(client):
        if method == "get" and "{id}" not in path:
            assert client.get("/ui" + path.format(project=PROJECT)).status_code == 200, path
    assert client.get(f"{PROJECT_PATH}/runs/{run.id}").status_code == 200


@pytest.mark.parametrize("role", ROLES)
def test_pages_offer_what_somebody_may(as_role, make_run, role):  # noqa: F811
    client, run = as_role(role), make_run()
    regions, bulk = client.get(LIST).text, client.get(f"{PROJECT_PATH}/bulk?threshold=0.5").text
    acting = client.get(f"{PROJECT_PATH}/runs/{run.id}").text
    assert f"<small>{role}</small>" in regions
    assert ("/decisions" in regions) == ("<kbd>a</kbd> approve" in regions) == (role != "viewer")
    assert ('class="approval"' in bulk) == (f"{run.id}/pause" in acting) == (role == "lead")


def test_a_reviewer_is_recorded_under_the_number_of_the_file(as_role, project):
    client = as_role("reviewer")
    [form, *_] = read_forms(client.get(LIST).text)
    assert client.post(DECISIONS, data={**form, "state": "approved"}).status_code == 303
    assert [row["reviewer"] for row in rows(project)] == [NUMBERS["reviewer"]]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("lead@files.example", "wrong password"),
        ("lead@files.example", ""),
        ("stranger@example.org", OWN),
        ("13", OWN),
        (LEAD_EMAIL.upper(), PASSWORD),
        ("", OWN),
    ],
)
def test_whom_the_file_does_not_name_is_refused(make_served, name, password):
    client = make_served()
    answer = enter(client, name, password)
    assert answer.status_code == 400
    assert "The name or the password is wrong." in answer.text
    assert COOKIE not in client.cookies


def test_a_session_ends_with_another_file(make_served):
    client = make_served()
    enter(client, "Lead@Files.EXAMPLE")
    cookie = client.cookies[COOKIE]
    for more, status in (("", 200), ('[people.new]\nrole = "viewer"\n', 303)):
        other = make_served(more)
        other.cookies.set(COOKIE, cookie)
        assert other.get("/ui/").status_code == status


def test_a_session_without_a_file_is_none_with_one(make_client, make_served):
    cookie = sign_in(make_client()).cookies[COOKIE]
    client = make_served()
    client.cookies.set(COOKIE, cookie)
    assert client.get("/ui/").status_code == 303


PROXY = f'[proxy]\nsecret = "{SECRET}"\nuser_header = "X-User"\n'
WITH_ROLES = f'{PROXY}role_header = "X-Role"\n'


@pytest.mark.parametrize(
    ("more", "headers", "status"),
    [
        (PROXY, {"X-User": "lead@files.example"}, 200),
        (PROXY, {"X-User": "stranger@example.org", "X-Role": "lead"}, 403),
        (PROXY, {}, 403),
        (PROXY, {"X-User": " "}, 403),
        (PROXY, {"X-User": "lead@files.example", "X-RIS-Proxy-Secret": "wrong"}, 303),
        (WITH_ROLES, {"X-User": LEAD_EMAIL, "X-Role": "viewer"}, 200),
        (WITH_ROLES, {"X-User": "stranger@example.org", "X-Role": "viewer"}, 403),  # Label Studio knows nobody so
        (WITH_ROLES, {"X-User": LEAD_EMAIL, "X-Role": "owner"}, 403),
        (WITH_ROLES, {"X-User": LEAD_EMAIL}, 403),
        ("", {"X-User": "lead@files.example"}, 303),
    ],
)
def test_only_the_proxy_is_believed(make_served, more, headers, status):
    answer = make_served(more).get("/ui/", headers={"X-RIS-Proxy-Secret": SECRET, **headers})
    assert answer.status_code == status, answer.text


def test_whoever_comes_through_the_proxy_decides_with_forms_of_their_own(make_served, project):
    client = make_served(WITH_ROLES)
    proxied = {"X-RIS-Proxy-Secret": SECRET, "X-User": LEAD_EMAIL, "X-Role": "reviewer"}
    page = client.get(LIST, headers=proxied)
    assert "Sign out" not in page.text
    [form, *_] = read_forms(page.text)
    decided = {**form, "state": "approved"}
    assert client.post(DECISIONS, data=decided).status_code == 401
    other = {**proxied, "X-User": "lead@files.example"}
    assert client.post(DECISIONS, data=decided, headers=other).status_code == 403
    assert client.post(DECISIONS, data=decided, headers=proxied).status_code == 303
    assert [row["reviewer"] for row in rows(project)] == [LEAD]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nobody is named"),
        ("[people", "cannot be read"),
        ('[people.a]\nrole = "owner"', "people.a.role"),
        ('[people.a]\nrole = "lead"\npassword = "plain text"', "ris review password"),
        ('[people.a]\nrole = "lead"\n[people.A]\nrole = "viewer"', "twice"),
        ('[people.a]\nrole = "lead"\nrolle = "x"', "people.a.rolle"),
        ('[people.a]\nrole = "lead"\n[proxy]\nsecret = "short"\nuser_header = "X"', "proxy.secret"),
    ],
)
def test_a_file_with_a_mistake_is_not_used(tmp_path, text, said):
    file = tmp_path / "access.toml"
    file.write_text(text)
    with pytest.raises(BadSettings, match=re.escape(said)) as caught:
        read_access(file)
    assert "plain text" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadSettings, match="REVIEW_ACCESS"):
        read_access(tmp_path / "none.toml")


def test_a_password_that_is_too_short_is_refused():
    with pytest.raises(BadInput, match="7 characters"):
        hash_password("1234567")


def test_what_is_done_with_a_run_is_on_record_also_if_it_is_refused(client, project, make_run):  # noqa: F811
    run = make_run()
    path = f"{PROJECT_PATH}/runs/{run.id}"
    token = {"token": read_token(client.get(path).text)}
    assert client.post(f"{path}/pause", data=token).status_code == 303
    assert client.post(f"{path}/pause", data=token).status_code == 400
    with project.reading() as db:
        actions = read_actions(db, PROJECT, run.id)
    assert [(one.action, one.reviewer) for one in actions] == [
        ("pause: not done", LEAD),
        ("pause", LEAD),
        ("pause", LEAD),
    ]
    assert "pause: not done" in client.get(path).text
