"""Exactly once: whatever happens around the writing of predictions, each is there once in the end."""

import pytest

from backend.runs.leases import LeaseLost
from backend.runs.studio_client import RunClient
from backend.runs.writer import PredictionWriter

RED = "Red: the red square"


@pytest.fixture
def ready(rig):
    """A run of three tasks that are computed and not written."""
    rig.add_tasks(3)
    run = rig.start(RED)
    rig.work(run)
    return run


def prediction_writer(rig, run, name="me"):
    """What writes for a steward of that name, who takes over."""
    rig.let_lease_end(run)
    fence = rig.run_store.leases.take(run.id, name)
    return PredictionWriter(rig.run_store, RunClient(rig.url, "token", 5.0), rig.run_store.get(run.id), fence)


def counts(rig):
    return [len(rig.studio.of(task)) for task in rig.studio.tasks]


def test_written_once_when_the_answer_is_lost(rig, ready):
    """Label Studio carried the import out, and died before it said so."""
    rig.studio.forgets = True
    rig.supervisor.tick()
    assert (rig.states(ready), counts(rig)) == ({"writing": 3}, [1, 1, 1])
    rig.studio.forgets = False
    assert rig.carry_on(ready).state == "done"
    assert counts(rig) == [1, 1, 1]
    assert rig.studio.imports == [3]


def test_written_once_when_the_writer_dies_before_sending(rig, ready):
    fence = rig.run_store.leases.take(ready.id, "me")
    assert len(rig.run_store.writes.take_ready(ready.id, fence, 2)) == 2
    assert rig.carry_on(ready).state == "done"
    assert counts(rig) == [1, 1, 1]


def test_stopped_writer_sends_nothing_once_another_took_over(rig, ready, monkeypatch):
    """The process stands still between announcing and sending; meanwhile somebody else does its work."""
    slow = prediction_writer(rig, ready, "slow")
    send = slow._studio.import_predictions

    def stand_still(*arguments):
        prediction_writer(rig, ready, "quick").push()
        return send(*arguments)

    monkeypatch.setattr(slow._studio, "import_predictions", stand_still)
    with pytest.raises(LeaseLost):
        slow.push()
    assert counts(rig) == [1, 1, 1]
    assert rig.states(ready) == {"done": 3}


def test_last_byte_is_not_sent_after_the_lease_is_lost(rig, ready):
    slow = prediction_writer(rig, ready, "slow")
    body = [{"task": 1, "result": [], "model_version": "v", "score": 0.0}]
    prediction_writer(rig, ready, "quick")
    with pytest.raises(LeaseLost):
        slow._studio.import_predictions(3, body, slow._check)
    assert (rig.studio.imports, rig.studio.predictions) == ([], [])


def test_double_is_found_by_the_sweep_and_deleted(rig, ready):
    """It slipped through the fence: stopped for longer than a lease between the check and the last byte."""
    writer = prediction_writer(rig, ready)
    writer.push()
    rig.studio.predictions += [{**one, "id": 100 + one["id"]} for one in rig.studio.predictions]
    assert rig.carry_on(ready).state == "done"
    assert counts(rig) == [1, 1, 1]
    assert all(one["id"] < 100 for one in rig.studio.predictions)


def test_writer_that_finds_its_lease_lost_too_late_has_the_run_swept_again(rig, ready, monkeypatch):
    slow = prediction_writer(rig, ready, "slow")
    send = slow._studio.import_predictions

    def stand_still_after_the_check(project, predictions, check):
        check()
        rig.let_lease_end(ready)
        rig.carry_on(ready)
        return send(project, predictions, lambda: None)

    monkeypatch.setattr(slow._studio, "import_predictions", stand_still_after_the_check)
    with pytest.raises(LeaseLost):
        slow.push()
    assert counts(rig) == [2, 2, 2]
    assert rig.carry_on(ready).state == "done"
    assert counts(rig) == [1, 1, 1]


def test_a_sweep_asks_for_many_tasks_at_once_and_alone_only_where_something_is_wrong(rig, monkeypatch):
    rig.add_tasks(60)
    run = rig.start(RED)
    rig.work(run)
    writer = prediction_writer(rig, run)
    while writer.push() is not None:
        pass
    requests: list[str] = []
    send = writer._studio.request
    monkeypatch.setattr(writer._studio, "request", lambda *call: [requests.append(call[1]), send(*call)][1])
    lost = rig.studio.predictions.pop()["task"]
    monkeypatch.setattr(writer, "_fence", 2)  # as after a change of supervisors: every task is looked at
    with rig.run_store._transactions.writing() as db:
        db.exec_driver_sql(f"UPDATE run SET fence = 2 WHERE id = '{run.id}'")
    assert not writer.sweep()
    asked_alone = [path for path in requests if path.startswith("/api/predictions/")]
    assert asked_alone == [f"/api/predictions/?task={lost}"]
    assert len([path for path in requests if path.startswith("/api/tasks?")]) == 2
    assert rig.carry_on(run).state == "done"
    assert counts(rig) == [1] * 60


def test_prediction_that_is_gone_is_written_again(rig, ready):
    prediction_writer(rig, ready).push()
    rig.studio.predictions.pop()
    assert rig.carry_on(ready).state == "done"
    assert counts(rig) == [1, 1, 1]


def test_silent_drop_is_reported_for_its_item(rig, ready):
    rig.studio.drops = {2}
    run = rig.carry_on(ready)
    assert (run.state, rig.states(run), counts(rig)) == ("done", {"done": 2, "failed": 1}, [1, 0, 1])
    [dropped] = rig.items.in_state(run.id, "failed")
    assert dropped.task == 2


def test_deleted_task_fails_alone(rig, ready):
    del rig.studio.tasks[2]
    run = rig.carry_on(ready)
    assert (rig.states(run), counts(rig)) == ({"done": 2, "failed": 1}, [1, 1])


def test_prediction_without_regions_is_recognised_too(rig):
    rig.add_tasks(2)
    run = rig.start(RED, min_score=1.0)
    rig.work(run)
    rig.studio.forgets = True
    rig.supervisor.tick()
    rig.studio.forgets = False
    assert rig.carry_on(run).state == "done"
    assert counts(rig) == [1, 1]


def test_batches_are_limited(rig, monkeypatch):
    monkeypatch.setattr("backend.runs.writer.BATCH_BYTES", 1)
    rig.add_tasks(3)
    rig.carry_on(rig.start(RED))
    assert rig.studio.imports == [1, 1, 1]


def test_replacement_that_was_interrupted_is_carried_on(rig):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(RED))
    run = rig.start("Blue: the blue square", mode="replace")
    rig.work(run)
    writer = prediction_writer(rig, run)
    writer._remove_replaced = lambda item: None  # killed before it deletes
    writer.push()
    assert (rig.states(run), len(rig.studio.of(task))) == ({"replacing": 1}, 2)
    assert rig.carry_on(run).state == "done"
    [left] = rig.studio.of(task)
    assert left["result"][0]["value"]["brushlabels"] == ["Blue"]


def test_cancelled_while_writing_what_arrived_is_done(rig, ready):
    rig.studio.forgets = True
    rig.supervisor.tick()
    rig.studio.forgets = False
    rig.run_store.change(ready.id, "cancelling", None)
    assert rig.carry_on(ready).state == "cancelled"
    assert rig.states(ready) == {"done": 3}


def test_task_that_goes_while_its_prediction_is_looked_up_fails_alone(rig, ready):
    """Label Studio answers 400, not an empty list, when it is asked for the predictions of a task that it does not have."""
    rig.studio.forgets = True
    rig.supervisor.tick()
    rig.studio.forgets = False
    del rig.studio.tasks[2]
    run = rig.carry_on(ready)
    assert (run.state, rig.states(run), counts(rig)) == ("done", {"done": 2, "failed": 1}, [1, 1])
