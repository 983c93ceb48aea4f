"""Tasks that are imported later join a run that watches its project, each exactly once, until it is finished."""

import pytest

from backend.runs import control, planner, summary, watching
from backend.runs.spec import BadRun, RunSpec
from tests.backend.runs.fake_studio import PROJECT

RED, BLUE = "Red: the red square", "Blue: the blue square"


@pytest.fixture
def impatient(rig, monkeypatch):
    """A rig whose supervisors look at the project every time."""
    monkeypatch.setattr(watching, "LOOK_S", 0.0)
    return rig


def predicted(rig):
    return sorted(one["task"] for one in rig.studio.predictions)


def test_later_tasks_join_and_each_is_answered_once_until_the_run_is_finished(impatient):
    rig = impatient
    tasks = rig.add_tasks(2)
    run = rig.carry_on(rig.start(RED, watch=True), ticks=6)
    assert (run.state, rig.states(run), predicted(rig)) == ("running", {"done": 2}, tasks)
    tasks += rig.add_tasks(3)
    run = rig.carry_on(run, ticks=6)
    assert (run.state, rig.states(run), predicted(rig)) == ("running", {"done": 5}, tasks)
    control.finish(rig.run_store, run)
    rig.add_tasks(1)
    run = rig.carry_on(run)
    assert (run.state, rig.states(run), predicted(rig)) == ("done", {"done": 5}, tasks)


def test_run_over_an_empty_project_waits_for_its_first_task(impatient):
    rig = impatient
    run = rig.carry_on(rig.start(RED, watch=True), ticks=3)
    assert (run.state, rig.states(run)) == ("running", {})
    tasks = rig.add_tasks(1)
    rig.carry_on(run, ticks=6)
    assert predicted(rig) == tasks


def test_lower_ids_that_show_later_than_higher_ones_join_too(impatient):
    rig = impatient
    rig.add_tasks(5)
    late = {task: rig.studio.tasks.pop(task) for task in (2, 3)}
    run = rig.carry_on(rig.start(RED, watch=True), ticks=6)
    rig.studio.tasks |= late
    rig.carry_on(run, ticks=6)
    assert predicted(rig) == [1, 2, 3, 4, 5]


def test_two_supervisors_that_look_at_once_add_each_task_once(impatient):
    rig = impatient
    rig.add_tasks(1)
    run = rig.start(RED, watch=True)
    tasks = rig.add_tasks(3)
    other = rig.hire("other")[1]
    for steward in (rig.supervisor, other, rig.supervisor):
        rig.let_lease_end(run)
        steward.tick()
    assert rig.states(run) == {"new": 1 + len(tasks)}
    rig.carry_on(run, ticks=6)
    assert predicted(rig) == [1, *tasks]


def test_what_other_runs_answered_is_skipped_and_counted_once(impatient):
    rig = impatient
    rig.add_tasks(1)
    run = rig.carry_on(rig.start(RED, watch=True), ticks=4)
    [theirs] = rig.add_tasks(1)
    rig.run_store.change(run.id, "paused", None)
    rig.carry_on(rig.start(RED, tasks=(theirs,)))
    control.resume(rig.run_store, run)
    run = rig.carry_on(run, ticks=6)
    assert (run.state, run.skipped, rig.states(run)) == ("running", 1, {"done": 1})
    assert predicted(rig) == [1, theirs]


def test_later_task_with_other_answers_pauses_the_run_and_says_why(impatient):
    rig = impatient
    rig.add_tasks(1)
    run = rig.carry_on(rig.start(RED, watch=True), ticks=4)
    [theirs] = rig.add_tasks(1)
    rig.run_store.change(run.id, "paused", None)
    rig.carry_on(rig.start(BLUE, tasks=(theirs,)))
    control.resume(rig.run_store, run)
    run = rig.carry_on(run, ticks=4)
    assert (run.state, f"Task {theirs} was asked other queries" in run.note) == ("paused", True)


def test_nothing_joins_while_another_run_of_the_project_is_planned(impatient):
    rig = impatient
    rig.add_tasks(1)
    run = rig.start(RED, watch=True)
    rig.add_tasks(1)
    rig.run_store.add_run(RunSpec(PROJECT, expressions=(RED,)), rig.segmenter.model_version)
    fence = rig.run_store.leases.take(run.id, "me")
    with_studio = rig.supervisor._make_studio(PROJECT)
    assert planner.plan_later(rig.run_store, with_studio, run, fence, 0) == 0
    assert rig.states(run) == {"new": 1}


def test_answers_that_are_not_written_and_previews_watch_too(impatient):
    rig = impatient
    rig.add_tasks(2)
    run = rig.start(RED, watch=True, push=False, preview=1)
    rig.carry_on(run, ticks=1)
    rig.add_tasks(1)
    rig.supervisor.tick()
    assert rig.states(run) == {"done": 1, "held": 1}
    control.resume(rig.run_store, rig.run_store.get(run.id))
    rig.carry_on(run, ticks=4)
    assert (rig.states(run), rig.studio.predictions) == ({"done": 3}, [])


def test_status_says_that_a_run_watches_and_how_to_finish_it(impatient):
    rig = impatient
    rig.add_tasks(1)
    run = rig.start(RED, watch=True)
    status = summary.look(rig.run_store, run.id, 1)
    assert (status.to_json()["watches"], f"`ris run finish {run.id}`" in status.to_text()) == (True, True)
    control.finish(rig.run_store, run)
    status = summary.look(rig.run_store, run.id, 1)
    assert (status.to_json()["watches"], "watches" in status.to_text()) == (False, False)
    with pytest.raises(BadRun, match="nothing to finish"):
        control.finish(rig.run_store, run)


@pytest.mark.parametrize("selection", [{"tasks": (1, 2)}, {"view": 7}], ids=["tasks", "view"])
def test_a_selection_cannot_watch(selection):
    with pytest.raises(BadRun, match="whole project"):
        RunSpec(PROJECT, expressions=(RED,), watch=True, **selection)


def test_a_quiet_project_costs_one_request_a_look(rig, monkeypatch):
    rig.add_tasks(3)
    run = rig.carry_on(rig.start(RED, watch=True), ticks=6)
    paths = []
    request = type(rig.supervisor._make_studio(PROJECT)).request

    def spied(studio, method, path, *more):
        paths.append(path)
        return request(studio, method, path, *more)

    monkeypatch.setattr(watching, "LOOK_S", 0.0)
    monkeypatch.setattr(watching, "SETTLE_S", 0.0)
    rig.supervisor = rig.hire("next")[1]
    rig.let_lease_end(run)
    monkeypatch.setattr("backend.runs.studio_client.RunClient.request", spied)
    rig.supervisor.tick()
    assert len(paths) == 1
