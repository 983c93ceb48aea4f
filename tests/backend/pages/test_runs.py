"""Bulk runs on the pages: what `ris run status` says, and the verbs of `ris run`."""

import re
from contextlib import ExitStack

import pytest

from backend.review.actions import read_actions
from backend.runs import summary
from backend.runs.item import PlannedItem
from backend.runs.queries import Query
from backend.runs.run import Run
from backend.runs.spec import RunSpec
from backend.runs.store import open_run_store
from tests.backend.corrections.made import PROJECT
from tests.backend.pages.conftest import LEAD
from tests.backend.pages.test_security import SCRIPTS, TAGS, read_elements
from tests.backend.review.test_listing import counted

RUNS = f"/ui/projects/{PROJECT}/runs"


@pytest.fixture
def run_store(project):
    opened = open_run_store(project._engine.url.render_as_string(hide_password=False))
    yield opened
    opened.close()


def plan(task: int, error: str | None = None) -> PlannedItem:
    return PlannedItem(task, f"/data/{task}.png", (Query("the box"),), error=error)


@pytest.fixture
def make_run(run_store):
    """A run with three tasks to do and a failed one."""

    def make(state: str = "running", project: int = PROJECT, error: str = "The image is gone.", **spec) -> Run:
        wanted = {"expressions": ("the box",), "name": "night", **spec}
        made = run_store.add_run(RunSpec(project, **wanted), "v1", state=state)
        run_store.items.add(made.id, [plan(1), plan(2), plan(3), plan(4, error)])
        return made

    return make


def page_of(run: Run) -> str:
    return f"{RUNS}/{run.id}"


def read_token(html: str) -> str:
    return re.search(r'name="token" value="([^"]+)"', html)[1]


@pytest.fixture
def act(client):
    """Press a button of a run's page."""

    def post(run: Run, verb: str, **fields):
        fields = {"token": read_token(client.get(page_of(run)).text), **fields}
        return client.post(f"{page_of(run)}/{verb}", data=fields)

    return post


def test_the_list_has_the_projects_own_runs_and_leads_to_each(client, make_run):
    ours, other = make_run(), make_run(project=8)
    page = client.get(RUNS).text
    assert other.id not in page
    assert re.search(rf'href="{page_of(ours)}">{ours.id}</a>', page)
    assert re.search(r'running</td><td class="number">4</td><td class="number">0</td><td class="number">1</td>', page)
    assert client.get(page_of(ours)).status_code == 200


def test_a_project_without_runs_says_how_to_start_one(client):
    assert "ris run start --project 7" in client.get(RUNS).text


def test_each_expression_of_a_run_has_a_direction_of_its_own(client, make_run):
    words = ("القط 3", "car 7", "one", "two", "three", "four")
    run = make_run(expressions=words, name="ليلة 1")
    listed, page = client.get(RUNS).text, client.get(page_of(run)).text
    assert "<b><bdi>ليلة 1</bdi></b>: <bdi>القط 3</bdi>; <bdi>car 7</bdi>" in listed
    assert "<bdi>three</bdi>; and 1 more" in listed
    assert "<bdi>three</bdi>; <bdi>four</bdi>" in page


def test_the_list_has_pages(client, run_store):
    ids = [run_store.add_run(RunSpec(PROJECT, expressions=("x",))).id for _ in range(51)]
    pages = [client.get(RUNS, params={"start": start}).text for start in (0, 50)]
    assert 'id="next"' in pages[0]
    assert 'id="next"' not in pages[1]
    assert sorted(re.findall(rf'href="{RUNS}/(\w+)"', "".join(pages))) == sorted(ids)


def test_a_run_has_every_fact_of_its_status(client, run_store, make_run):
    run = make_run(watch=True)
    run_store.change(run.id, "paused", "paused by hand", only_from=("running",))
    page = client.get(page_of(run)).text
    status = summary.look(run_store, run.id, 1)
    assert len(status.to_facts()) >= 6
    for name, text in status.to_facts():
        assert re.search(rf'<th scope="row">{name}</th><td>\s*<bdi>{re.escape(text)}</bdi>\s*</td>', page)
        assert f"  {name:<10} {text}" in status.to_text()
    assert "The image is gone." in page
    assert 'href="http://studio.example.org/projects/7/data?task=4"' in page


@pytest.mark.parametrize(
    ("before", "verb", "after"),
    [
        ("running", "pause", "paused"),
        ("preview", "pause", "paused"),
        ("paused", "resume", "running"),
        ("preview", "resume", "running"),
        ("running", "cancel", "cancelled"),
        ("paused", "cancel", "cancelled"),
        ("done", "retry", "running"),
    ],
)
def test_each_verb_does_what_it_says(client, run_store, make_run, act, before, verb, after):
    run = make_run(before)
    assert f'action="{page_of(run)}/{verb}"' in client.get(page_of(run)).text
    answer = act(run, verb)
    assert answer.status_code == 303
    assert run_store.get(run.id).state == after
    page = client.get(answer.headers["location"]).text
    assert f"{verb.capitalize()}: done." in page
    assert ("3 tasks." in page) == (verb == "cancel")


def test_a_run_that_watches_is_finished(run_store, make_run, act):
    run = make_run(watch=True)
    assert act(run, "finish").status_code == 303
    assert run_store.get(run.id).spec.watch is False


@pytest.mark.parametrize(("state", "verb"), [("paused", "pause"), ("running", "resume"), ("done", "cancel")])
def test_what_its_state_does_not_allow_is_not_offered_and_refused(client, run_store, make_run, act, state, verb):
    run = make_run(state)
    assert f'action="{page_of(run)}/{verb}"' not in client.get(page_of(run)).text
    answer = act(run, verb)
    assert answer.status_code == 400
    assert f"The run {run.id} is {state}" in answer.text
    assert run_store.get(run.id).state == state


@pytest.mark.parametrize("score", ["x", "nan", "2", "-1", "0.5"])
def test_a_threshold_that_cannot_be_applied_changes_nothing(run_store, make_run, act, score):
    run = make_run("preview")  # its tasks are not answered yet
    assert act(run, "resume", min_score=score).status_code == 400
    assert (run_store.get(run.id).state, run_store.get(run.id).spec.min_score) == ("preview", None)


@pytest.mark.parametrize("fields", [{"token": ""}, {"token": "x" * 64}])
def test_a_form_of_another_session_changes_nothing(run_store, make_run, act, fields):
    run = make_run()
    assert act(run, "cancel", **fields).status_code == 403
    assert run_store.get(run.id).state == "running"


def test_another_page_or_nobody_changes_nothing(client, make_client, run_store, make_run):
    run = make_run()
    token = {"token": read_token(client.get(page_of(run)).text)}
    evil = {"Origin": "https://evil.example"}
    assert client.post(f"{page_of(run)}/cancel", data=token, headers=evil).status_code == 403
    assert make_client().post(f"{page_of(run)}/cancel", data=token).status_code == 401
    assert client.get(f"{page_of(run)}/cancel").status_code == 405
    assert make_client().get(page_of(run)).status_code == 303
    assert run_store.get(run.id).state == "running"


def test_another_projects_run_is_not_there(client, run_store, make_run):
    own, run = make_run(), make_run(project=8)
    token = {"token": read_token(client.get(page_of(own)).text)}
    for id in (run.id, own.id[:4], "night", "0" * 8, "%00"):
        assert client.get(f"{RUNS}/{id}").status_code == 404
        assert client.post(f"{RUNS}/{id}/cancel", data=token).status_code == 404
    assert client.post(f"{page_of(own)}/delete", data=token).status_code == 404
    assert {run_store.get(one.id).state for one in (own, run)} == {"running"}


def test_what_others_wrote_is_text(client, make_run):
    pages = client.get(RUNS).text
    for text in SCRIPTS:
        name = text if text.isprintable() else ""
        run = make_run(error=text, expressions=(text,), name=name)
        pages += client.get(page_of(run)).text
    elements = read_elements(pages + client.get(RUNS).text)
    assert {tag for tag, _ in elements} <= {
        *TAGS.split(),
        *["h2", "table", "thead", "tbody", "tr", "th", "td", "code", "textarea"],
    }
    assert [one for _, one in elements if any(name.startswith("on") or name == "style" for name in one)] == []
    assert "{{ 1009 * 9176 }}" in pages


def test_statements_do_not_grow_with_runs_or_tasks(client, run_store, make_run):
    run = make_run()
    context = client.app.routes[-1].app.state.context

    def count(path: str) -> int:
        with ExitStack() as stack:
            noted = [stack.enter_context(counted(one)) for one in (context.correction_store, context.run_store)]
            assert client.get(path).status_code == 200
            return sum(one.lstrip().startswith("SELECT") for statements in noted for one in statements)

    before = [count(RUNS), count(page_of(run))]
    run_store.items.add(run.id, [plan(task, "gone") for task in range(100, 300)])
    for _ in range(20):
        make_run()
    assert [count(RUNS), count(page_of(run))] == before
    assert max(before) <= 14


def start(client, **fields):
    return client.post(RUNS, data={"token": read_token(client.get(RUNS).text), **fields})


def test_a_run_is_started_as_it_is_asked_for(client, project, run_store):
    fields = {"expressions": "the dog\r\n\r\n the <red> cat ", "name": "first", "preview": "5", "min_score": "0.4"}
    answer = start(client, **fields, only_unlabelled="1")
    assert answer.status_code == 303
    [run] = run_store.list_runs(project=PROJECT)
    assert answer.headers["location"] == page_of(run)
    expressions = ("the dog", "the <red> cat")
    assert run.spec == RunSpec(
        PROJECT, "predict", expressions, name="first", preview=5, min_score=0.4, only_unlabelled=True
    )
    with project.reading() as db:
        assert [one.reviewer for one in (*read_actions(db, PROJECT), *read_actions(db, PROJECT, run.id))] == [
            LEAD,
            LEAD,
        ]
    assert f"user {LEAD}" in client.get(page_of(run)).text


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"expressions": "x", "field": "try"},
        {"expressions": "x", "preview": "-1"},
        {"expressions": "x", "preview": "many"},
        {"expressions": "x", "min_score": "2"},
        {"expressions": "x", "name": "n" * 101},
    ],
)
def test_a_run_that_cannot_be_is_not_started(client, run_store, fields):
    assert start(client, **fields).status_code == 400
    assert run_store.list_runs() == []
