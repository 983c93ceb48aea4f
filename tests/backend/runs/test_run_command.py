"""`ris run …` and `ris warm` as a user types them."""

import json
import re

import cv2
import pytest
import typer
from typer.testing import CliRunner

from backend.base.errors import Unreachable
from backend.commands.run import runs
from backend.commands.warm import warm
from backend.inference import cache_room
from backend.inference.cache_room import CacheTooSmall
from backend.runs.spec import BadRun, RunSpec
from backend.transport import worker_registry
from tests.backend.runs.fake_studio import PROJECT

RED = "Red: the red square"


@pytest.fixture
def ris(rig, monkeypatch, database_url, redis_url, tmp_path):
    """Types a command; what it printed and its exit code."""
    settings = {
        "RIS_STATE_DIR": str(tmp_path / "state"),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "LABEL_STUDIO_URL": rig.url,
        "LABEL_STUDIO_API_KEY": "token",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    rig.conn.set(worker_registry.MODEL_VERSION_KEY, rig.segmenter.model_version)
    app = typer.Typer()
    app.add_typer(runs, name="run")
    app.command()(warm)

    def run(*arguments):
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        run.told.append(done.stderr)
        return done.stdout, done.exit_code

    run.told = []
    return run


@pytest.fixture
def started(ris, rig):
    """The newest run of the ledger, after `ris run start` on two tasks."""
    rig.add_tasks(2)
    ris("run", "start", "--project", str(PROJECT), "--expression", RED, "--name", "evening")
    return rig.run_store.list_runs()[0]


def test_start_plans_at_once_and_status_tells_how_it_stands(ris, rig, started):
    out, code = ris("run", "status", "evening")
    assert code == 0
    assert f"run {started.id} (evening), project 3: running" in out
    assert "2 to do" in out
    assert "no worker is ready" in out
    rig.carry_on(started)
    document = json.loads(ris("run", "status", started.id[:4], "--json")[0])
    assert (document["state"], document["items"], document["about"]) == ("done", {"done": 2}, RED)


def test_watched_run_is_looked_at_until_it_is_over(ris, rig, started, monkeypatch):
    monkeypatch.setattr("backend.commands.run.time.sleep", lambda _: rig.carry_on(started))
    out, code = ris("run", "status", "evening", "--watch")
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("run ")] == ["running", "done"]


def test_list_shows_every_run(ris, rig, started):
    rig.carry_on(started)
    ris("run", "start", "--project", "3", "--expression", RED)
    out, _ = ris("run", "list")
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["done", "done"]
    assert len(json.loads(ris("run", "list", "--project", "4", "--json")[0])) == 0


def test_run_is_paused_resumed_and_cancelled(ris, started):
    assert "paused" in ris("run", "pause", "evening")[0]
    assert "running" in ris("run", "resume", "evening")[0]
    assert "2 tasks." in ris("run", "cancel", "evening")[0]
    with pytest.raises(BadRun, match="cannot be resumed"):
        ris("run", "resume", "evening")


def test_wait_exits_non_zero_on_failures_and_failures_are_told(ris, rig):
    bad, _ = rig.add_tasks(2)
    rig.studio.tasks[bad]["image"] = "data:image/png;base64,AAAA"
    ris("run", "start", "--project", "3", "--expression", RED)
    rig.carry_on(rig.run_store.list_runs()[0])
    run = rig.run_store.list_runs()[0].id
    assert ris("run", "wait", run)[1] == 1
    assert f"task {bad}  image unreadable" in ris("run", "failures", run)[0]
    assert json.loads(ris("run", "failures", run, "--json")[0])[0]["task"] == bad
    assert "1 tasks." in ris("run", "retry", run)[0]
    assert ris("run", "wait", run, "--timeout", "0")[1] == 1


def test_wait_exits_zero_when_all_is_well(ris, rig, started):
    rig.carry_on(started)
    assert ris("run", "wait", "evening")[1] == 0


WRONG = {
    "no source": [],
    "two sources": ["--expression", "x", "--per-label"],
    "tasks": ["--expression", "x", "--tasks", "5-1"],
    "score": ["--expression", "x", "--min-score", "2"],
    "top k": ["--expression", "x", "--top-k", "0"],
    "blank": ["--expression", " "],
    "notify": ["--expression", "x", "--notify", "file:///etc"],
    "view and tasks": ["--expression", "x", "--view", "1", "--tasks", "1"],
}


@pytest.mark.parametrize("options", WRONG.values(), ids=WRONG)
def test_what_cannot_be_asked_is_refused(ris, rig, options):
    with pytest.raises(BadRun):
        ris("run", "start", "--project", "3", *options)
    assert rig.run_store.list_runs() == []


def test_run_that_is_planned_first_is_told_while_another_waits_for_it(ris, rig, monkeypatch):
    rig.add_tasks(1)
    first = rig.run_store.add_run(RunSpec(PROJECT, expressions=(RED,)), rig.segmenter.model_version)
    rig.run_store.hold_writing(first.id, "Label Studio does not answer", 0, 0)
    monkeypatch.setattr("backend.commands.run.time.sleep", lambda _: rig.skip_pauses(first) or rig.supervisor.tick())
    _, code = ris("run", "start", "--project", str(PROJECT), "--expression", RED)
    assert code == 0
    assert f"The run {first.id} is planned first. Label Studio does not answer" in ris.told[-1]


WRONG_PROJECT = {
    "unknown": (9, {}, "There is no project 9"),
    "no label config": (PROJECT, {"label_config": "<View></View>"}, "no <Image>"),
    "no control for masks": (
        PROJECT,
        {"label_config": '<View><Image name="image" value="$image"/></View>'},
        "BrushLabels",
    ),
}


@pytest.mark.parametrize("view", ["8", "9"], ids=["another project's", "unknown"])
def test_view_that_the_project_does_not_have_is_said_at_once(ris, rig, view):
    with pytest.raises(BadRun, match=f"has no view {view}"):
        ris("run", "start", "--project", str(PROJECT), "--expression", RED, "--view", view)
    assert [run.state for run in rig.run_store.list_runs()] == ["failed"]  # it does not stand in the way of others


@pytest.mark.parametrize(("number", "changes", "said"), WRONG_PROJECT.values(), ids=WRONG_PROJECT)
@pytest.mark.parametrize("command", [("run", "start", "--expression", RED), ("warm",)], ids=["run", "warm"])
def test_project_that_cannot_be_run_is_said_at_once(ris, rig, command, number, changes, said):
    rig.studio.project |= changes
    rig.add_tasks(1)
    with pytest.raises(BadRun, match=said):
        ris(*command, "--project", str(number))


def test_other_queries_are_refused_at_once(ris, rig, started):
    rig.carry_on(started)
    with pytest.raises(BadRun, match="--add"):
        ris("run", "start", "--project", "3", "--expression", "Blue: the blue square")


def test_run_needs_a_worker_that_said_its_version(ris, rig):
    rig.conn.delete(worker_registry.MODEL_VERSION_KEY)
    with pytest.raises(Unreachable, match="ris worker"):
        ris("run", "start", "--project", "3", "--expression", RED)


def test_preview_draws_a_sheet_and_says_what_all_will_take(ris, rig, tmp_path, monkeypatch):
    rig.add_tasks(6)
    sheet = tmp_path / "sheet.png"
    command = ("run", "start", "--project", "3", "--expression", RED, "--preview", "3", "--sheet", str(sheet))
    sleep = lambda _: (rig.work(rig.run_store.list_runs()[0]), rig.supervisor.tick())  # noqa: E731
    monkeypatch.setattr("backend.commands.run.time.sleep", sleep)
    out, _ = ris(*command)
    assert cv2.imread(str(sheet)).shape == (720, 640, 3)
    assert re.search(r"6 tasks: about \d s", out)  # longer on a busy machine
    run = rig.run_store.list_runs()[0]
    assert f"ris run resume {run.id}" in out
    assert rig.states(run) == {"ready": 3, "held": 3}
    ris("run", "resume", run.id)
    assert (rig.carry_on(run).state, len(rig.studio.predictions)) == ("done", 6)


def test_pilot_shows_what_thresholds_keep_and_resume_applies_one(ris, rig, tmp_path, monkeypatch):
    rig.add_tasks(6)
    sleep = lambda _: (rig.work(rig.run_store.list_runs()[0]), rig.supervisor.tick())  # noqa: E731
    monkeypatch.setattr("backend.commands.run.time.sleep", sleep)
    command = (
        "run",
        "start",
        "--project",
        "3",
        "--expression",
        RED,
        "--pilot",
        "3",
        "--sheet",
        str(tmp_path / "a.png"),
    )
    out, _ = ris(*command)
    assert "answering 3 tasks drawn at random" in out
    assert "3 of these 3 tasks have a mask; 3 masks in all" in out
    assert re.search(r"^ +0\.0 +100% +100% +44% to 100%$", out, re.MULTILINE)
    run = rig.run_store.list_runs()[0]
    assert rig.states(run) == {"ready": 3, "held": 3}
    ris("run", "resume", run.id, "--min-score", "1")
    assert rig.carry_on(run).state == "done"
    assert [one["result"] for one in rig.studio.predictions] == [[]] * 6


def test_warm_refuses_a_cache_that_is_too_small(ris, rig, monkeypatch):
    rig.add_tasks(3)
    monkeypatch.setenv("CACHE_BYTES", "1000")
    with pytest.raises(CacheTooSmall, match="CACHE_BYTES="):
        ris("warm", "--project", "3")
    monkeypatch.setenv("CACHE_BYTES", str(1 << 60))
    monkeypatch.setattr(cache_room, "IMAGE_BYTES", 1 << 50)
    with pytest.raises(CacheTooSmall, match=r"MiB free, but 3 images need about"):
        ris("warm", "--project", "3")
    monkeypatch.setattr(cache_room, "IMAGE_BYTES", 1000)
    monkeypatch.setenv("CACHE_BYTES", str(1 << 30))
    assert "fill the cache" in ris("warm", "--project", "3")[0]
    assert rig.carry_on(rig.run_store.list_runs()[0]).state == "done"


def test_run_that_watches_is_started_and_finished(ris, rig):
    rig.add_tasks(1)
    told, _ = ris("run", "start", "--project", str(PROJECT), "--expression", RED, "--watch", "--name", "all night")
    assert "watches    tasks that are imported later join" in told
    told, code = ris("run", "finish", "all night")
    assert ("watches" in told, code) == (False, 0)
    assert rig.carry_on(rig.run_store.get("all night")).state == "done"
