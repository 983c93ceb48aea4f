"""Bulk runs against the real Label Studio: every task once, whatever is asked again, and nobody's annotation touched."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.label_studio.client import LabelStudioClient
from backend.runs.run import Run
from backend.runs.store import RunStore, open_run_store
from benchmarks.chaos import wreak
from benchmarks.environment import BenchmarkEnvironment, LoadPlan
from demo.gallery import GALLERY
from demo.up import Demo, decode_mask, measure_overlap
from tests.e2e.conftest import RECOMMENDED, MakeProject, Project

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SCENES = GALLERY[:4]
RIS = [sys.executable, "-m", "backend", "run"]


@pytest.fixture(scope="module")
def ris(demo: Demo, state_dir: Path) -> Callable[..., str]:
    """Types `ris run …`; what it printed."""
    settings = {
        "RIS_STATE_DIR": str(state_dir),
        "LABEL_STUDIO_URL": demo.url,
        "LABEL_STUDIO_API_KEY": demo.secrets.token,
    }

    def run(*arguments: str) -> str:
        command = [*RIS, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def run_store(demo: Demo, state_dir: Path) -> RunStore:
    return open_run_store(f"sqlite:///{state_dir / 'ris.sqlite3'}")


@pytest.fixture(scope="module")
def project(make_project: MakeProject, image_of: Callable) -> Project:
    return make_project(RECOMMENDED, [{"image": image_of(one), "say": one.expression} for one in SCENES])


@pytest.fixture(scope="module")
def first(ris, run_store: RunStore, project: Project) -> Run:
    """A run over the project that has ended."""
    ris("start", "--project", str(project.id), "--expression-field", "say", "--name", "all scenes")
    ris("wait", "all scenes", "--timeout", "200")
    return run_store.get("all scenes")


def predictions(client: LabelStudioClient, task: int) -> list[dict]:
    return client.request("GET", f"/api/predictions/?task={task}")


def test_every_task_has_one_prediction_with_the_mask_it_asks_for(
    client: LabelStudioClient, project: Project, first: Run
):
    for task, scene in zip(project.tasks, SCENES, strict=True):
        [prediction] = predictions(client, task)
        [region] = prediction["result"]
        assert measure_overlap(decode_mask(region), scene.truth()) >= 0.7
        assert (prediction["model_version"], region["score"]) == (first.model_version, prediction["score"])


def test_scores_show_in_the_data_manager(client: LabelStudioClient, project: Project, first: Run):
    assert client.request("GET", f"/api/projects/{project.id}/")["model_version"] == first.model_version
    listed = client.request("GET", f"/api/tasks?project={project.id}&fields=all")["tasks"]
    assert all(0 < task["predictions_score"] <= 1 and task["total_predictions"] == 1 for task in listed)


def test_same_queries_again_write_nothing(ris, client: LabelStudioClient, project: Project, first: Run):
    said = ris("start", "--project", str(project.id), "--expression-field", "say")
    assert "nothing to do" in said
    assert [len(predictions(client, task)) for task in project.tasks] == [1] * len(SCENES)


def test_replaced_prediction_goes_and_the_annotation_made_of_it_stays(
    ris, client: LabelStudioClient, run_store: RunStore, project: Project, first: Run
):
    task = project.tasks[0]
    [old] = predictions(client, task)
    accepted = {"result": old["result"], "parent_prediction": old["id"]}
    made = client.request("POST", f"/api/tasks/{task}/annotations/", accepted)
    chosen = ("--tasks", str(task), "--expression", "the tree", "--replace", "--name", "second")
    ris("start", "--project", str(project.id), *chosen)
    ris("wait", "second", "--timeout", "200")
    [new] = predictions(client, task)
    assert new["id"] != old["id"]
    assert {region["meta"]["text"][0] for region in new["result"]} <= {"the tree"}
    item = run_store.items.get(run_store.get("second").id, task)
    assert item.replaced == {"run": first.id, "predictions": [old["id"]], "annotations": [made["id"]]}
    [kept] = client.request("GET", f"/api/tasks/{task}/annotations/")
    assert kept["result"] == made["result"]


def test_nothing_takes_the_place_of_nothing_and_the_run_ends(
    ris, client: LabelStudioClient, run_store: RunStore, make_project: MakeProject, image_of: Callable
):
    """No region tells whose such a prediction is; one that a person imported at the same version stays."""
    made = make_project(RECOMMENDED, [{"image": image_of(one)} for one in SCENES[:2]])
    asked = ("start", "--project", str(made.id), "--min-score", "1")
    ris(*asked, "--expression", "the tree", "--name", "empty")
    ris("wait", "empty", "--timeout", "200")
    first = {task: predictions(client, task) for task in made.tasks}
    assert [[one["result"] for one in of] for of in first.values()] == [[[]], [[]]]
    kept = {"task": made.tasks[0], "result": [], "model_version": run_store.get("empty").model_version}
    imported = client.request("POST", "/api/predictions/", kept)["id"]
    before = {task: [one["id"] for one in of] for task, of in first.items()}
    for mode, expression in (("--replace", "the house"), ("--add", "the chair")):
        name = f"empty{mode}"
        ris(*asked, "--expression", expression, mode, "--name", name)
        ris("wait", name, "--timeout", "120")
        assert run_store.get(name).state == "done"
        now = {task: [one["id"] for one in predictions(client, task) if one["id"] != imported] for task in made.tasks}
        assert [len(ids) for ids in now.values()] == [1, 1]
        assert all(now[task] != before[task] for task in made.tasks)
        before = now
    assert imported in [one["id"] for one in predictions(client, made.tasks[0])]


def test_only_the_tasks_of_a_view_are_asked(
    ris, client: LabelStudioClient, make_project: MakeProject, image_of: Callable
):
    made = make_project(RECOMMENDED, [{"image": image_of(one), "say": one.expression} for one in SCENES])
    chosen = sorted(made.tasks[1:3])
    is_chosen = {"filter": "filter:tasks:id", "operator": "in", "type": "Number"}
    bounds = {"min": chosen[0], "max": chosen[-1]}
    shown = {"filters": {"conjunction": "and", "items": [{**is_chosen, "value": bounds}]}, "ordering": ["-tasks:id"]}
    view = client.request("POST", "/api/dm/views/", {"project": made.id, "data": {"title": "Chosen", **shown}})
    said = ris(
        "start", "--project", str(made.id), "--expression-field", "say", "--view", str(view["id"]), "--name", "view"
    )
    assert "2 to do" in said
    ris("wait", "view", "--timeout", "200")
    assert [task for task in made.tasks if predictions(client, task)] == chosen


def test_tasks_that_are_imported_later_join_a_run_that_watches(
    ris, client: LabelStudioClient, run_store: RunStore, make_project: MakeProject, image_of: Callable
):
    made = make_project(RECOMMENDED, [{"image": image_of(SCENES[0])}])
    asked = ("--expression", "the tree", "--watch", "--name", "watched")
    assert "watches" in ris("start", "--project", str(made.id), *asked)
    run = run_store.get("watched")
    for number, scene in enumerate(SCENES[1:3], 2):
        client.request("POST", f"/api/projects/{made.id}/import", [{"image": image_of(scene)}])
        deadline = time.monotonic() + 120
        while run_store.counts.by_state(run.id) != {"done": number}:
            assert time.monotonic() < deadline, run_store.counts.by_state(run.id)
            time.sleep(0.5)
    ris("finish", "watched")
    ris("wait", "watched", "--timeout", "120")
    listed = client.request("GET", f"/api/tasks?project={made.id}&fields=all")["tasks"]
    assert [task["total_predictions"] for task in listed] == [1, 1, 1]


@pytest.fixture
def retrieve(
    client: LabelStudioClient, run_store: RunStore, make_project: MakeProject
) -> Callable[[list[dict]], tuple[Project, Run]]:
    """Selects all tasks of a new project but its first, and presses "Retrieve Predictions"; the run that comes of it."""

    def press(data: list[dict]) -> tuple[Project, Run]:
        made = make_project(RECOMMENDED, data)
        selected = {"selectedItems": {"all": True, "excluded": [made.tasks[0]]}}
        client.request("POST", f"/api/dm/actions?id=retrieve_tasks_predictions&project={made.id}", selected)
        [run] = run_store.list_runs(project=made.id)
        return made, run

    return press


def test_retrieve_predictions_becomes_a_run_over_the_selected_tasks(
    ris, client: LabelStudioClient, retrieve: Callable, image_of: Callable
):
    made, run = retrieve([{"image": image_of(one), "expression": one.expression} for one in SCENES[:3]])
    ris("wait", run.id, "--timeout", "200")
    assert [len(predictions(client, task)) for task in made.tasks] == [0, 1, 1]
    for task, scene in zip(made.tasks[1:], SCENES[1:3], strict=True):
        [region] = predictions(client, task)[0]["result"]
        assert measure_overlap(decode_mask(region), scene.truth()) >= 0.7


def test_retrieve_predictions_without_expressions_is_a_failed_run_with_its_reason(
    retrieve: Callable, image_of: Callable
):
    _, run = retrieve([{"image": image_of(one)} for one in SCENES[:3]])
    assert run.state == "failed"
    assert "ris connect --expression-field" in run.note


def test_threshold_of_a_pilot_reaches_label_studio(
    ris, client: LabelStudioClient, run_store: RunStore, make_project: MakeProject, image_of: Callable, tmp_path: Path
):
    made = make_project(RECOMMENDED, [{"image": image_of(one), "say": one.expression} for one in SCENES[:3]])
    asked = ("--project", str(made.id), "--expression-field", "say", "--name", "pilot")
    said = ris("start", *asked, "--pilot", "2", "--sheet", str(tmp_path / "sheet.png"))
    assert "answering 2 tasks drawn at random" in said
    scores = [
        answer.candidates[answer.selected[0]]["score"]
        for item in run_store.counts.answered(run_store.get("pilot").id, 9)
        for answer in item.answers
    ]
    assert [predictions(client, task) for task in made.tasks] == [[], [], []]
    ris("resume", "pilot", "--min-score", str(max(scores)))
    ris("wait", "pilot", "--timeout", "200")
    found = [predictions(client, task) for task in made.tasks]
    assert [len(one) for one in found] == [1, 1, 1]
    results = [one["result"] for [one] in found]
    assert 1 <= sum(map(bool, results)) <= 2 or len(set(scores)) == 1
    assert all(region["score"] >= max(scores) for result in results for region in result)


def test_dropped_prediction_and_deleted_task_are_reported(
    ris, client: LabelStudioClient, run_store: RunStore, make_project: MakeProject, image_of: Callable, tmp_path: Path
):
    """The label config changes, and a task goes, between answering and writing."""
    two = make_project(RECOMMENDED, [{"image": image_of(one), "say": one.expression} for one in SCENES[:3]])
    preview = ("--preview", "3", "--sheet", str(tmp_path / "sheet.png"))
    said = ris("start", "--project", str(two.id), "--expression-field", "say", "--name", "drops", *preview)
    assert "3 tasks: about" in said
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    config = RECOMMENDED.replace('value="Object"', 'value="Other"')
    assert config != RECOMMENDED
    client.request("PATCH", f"/api/projects/{two.id}/", {"label_config": config})
    client.request("DELETE", f"/api/tasks/{two.tasks[2]}/")
    ris("resume", "drops")
    with pytest.raises(AssertionError, match="3 failed"):
        ris("wait", "drops", "--timeout", "200")
    found = {one.task: one.reason for one in run_store.counts.failures(run_store.get("drops").id)}
    assert found[two.tasks[2]] == "task gone"
    assert found[two.tasks[0]] in ("dropped by Label Studio", "refused by Label Studio")


def test_nothing_is_lost_or_doubled_whatever_is_killed(demo: Demo, short_folder: Path):
    """The small version of `ris bench chaos`, on the demo's Label Studio, which others need too and is left alone."""
    plan = LoadPlan(tasks=60, kills=4, redis_kills=1, stops=1, lease_s=6.0, model_s=0.2)
    report = wreak(BenchmarkEnvironment(short_folder, plan, demo.url, demo.secrets.token, restart_studio=None))
    events = {"worker killed": 4, "Redis killed": 1, "backend killed": 1, "worker stopped": 1}
    assert report.events == events
    assert (report.lost, report.doubled, report.stray, report.items["missing"]) == (0, 0, 0, 0)
    assert set(report.items) <= {"done", "failed", "missing"}
    assert report.items["done"] + report.items["failed"] == 60 * report.runs
    assert set(report.reasons) <= {"worker died"}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose name leaves room for a unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="ris-chaos-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
