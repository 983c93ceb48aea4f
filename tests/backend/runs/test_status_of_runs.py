"""How runs are named, and how they are told to stand."""

from dataclasses import replace

import pytest

from backend.db.records import Answer
from backend.runs import control, summary
from backend.runs.spec import BadRun, RunSpec
from tests.backend.runs.claiming import begin_next
from tests.backend.runs.fake_studio import PROJECT

RED, BLUE = "Red: the red square", "Blue: the blue square"


def named(run_store, id, name="", **spec):
    """A run of this id."""
    made = run_store.add_run(RunSpec(PROJECT, expressions=("x",), name=name, **spec))
    with run_store._transactions.writing() as db:
        db.exec_driver_sql(f"UPDATE run SET id = '{id}' WHERE id = '{made.id}'")
    return id


def test_a_run_is_named_by_id_then_by_name_then_by_the_beginning_of_its_id(run_store):
    named(run_store, "aaaa1111", "bbbb2222")
    named(run_store, "bbbb2222", "evening")
    named(run_store, "cccc3333", "aaaa")
    named(run_store, "cccc4444", "100%")
    assert run_store.get("bbbb2222").id == "bbbb2222"  # not the run of that name
    assert run_store.get("aaaa").id == "cccc3333"  # not the run that begins so
    assert run_store.get("aaaa1").id == "aaaa1111"
    assert run_store.get("evening").id == "bbbb2222"
    assert run_store.get("100%").id == "cccc4444"
    for nobody in ("", "%", "_", "cccc5", "even", "Evening", "\x00", "\ud800", "a" * 200):
        with pytest.raises(BadRun, match="names no run"):
            run_store.get(nobody)


def test_several_that_are_meant_are_listed(run_store):
    named(run_store, "cccc3333", "twice")
    named(run_store, "cccc4444", "twice")
    for what in ("twice", "cccc"):
        with pytest.raises(BadRun, match=r"several runs: cccc4444 \(twice\), project 3, planning; cccc3333") as refused:
            run_store.get(what)
        assert "Give the id of one" in str(refused.value)
    for number in range(6):
        named(run_store, f"dddd000{number}")
    with pytest.raises(BadRun, match="; and others"):
        run_store.get("dddd")


def test_refused_is_told_from_failed(rig):
    rig.add_tasks(1)
    rig.carry_on(rig.start(RED))
    refused = rig.start(BLUE)
    seen = summary.look(rig.run_store, refused.id, 1)
    assert (refused.state, seen.state, seen.to_json()["is_refused"]) == ("failed", "refused", True)
    assert seen.to_row()[2] == "refused"
    assert "nothing was begun" in seen.to_text()
    broken = rig.run_store.add_run(RunSpec(PROJECT, expressions=("x",)))
    rig.run_store.change(broken.id, "failed", "The token is not accepted.")
    assert summary.look(rig.run_store, broken.id, 1).state == "failed"
    with pytest.raises(BadRun, match="is refused, so its tasks cannot be tried again"):
        control.retry(rig.run_store, rig.run_store.get(refused.id))


def test_what_found_nothing_and_what_is_unsure_is_counted(rig):
    rig.add_tasks(2)
    run = rig.carry_on(rig.start(RED, min_score=1.0))
    seen = summary.look(rig.run_store, run.id, 1)
    assert (seen.nothing_found, seen.unsure) == (2, 0)
    assert "answers    2 nothing found" in seen.to_text()
    assert seen.to_row()[3:7] == ("2", "2", "0", "0")
    with rig.run_store._transactions.writing() as db:
        db.exec_driver_sql("UPDATE item SET unfound = 0, unsure = 1 WHERE task = 1")
    told = summary.look(rig.run_store, run.id, 1).to_json()
    assert (told["nothing_found"], told["unsure"]) == (1, 1)


def test_scores_that_are_no_probabilities_are_named(rig):
    rig.add_tasks(1)
    run = rig.start(RED)
    assert not summary.look(rig.run_store, run.id, 1).is_uncalibrated  # nothing is known yet
    rig.carry_on(run)
    seen = summary.look(rig.run_store, run.id, 1)
    assert "scores     not calibrated" in seen.to_text()
    assert seen.to_json()["is_uncalibrated"]
    with rig.run_store._transactions.writing() as db:
        db.exec_driver_sql("UPDATE answer SET is_calibrated = 1")
    assert "calibrated" not in summary.look(rig.run_store, run.id, 1).to_text()


def test_an_unsure_answer_is_counted_when_it_is_recorded(rig):
    rig.add_tasks(1)
    run = rig.start(RED)
    item = begin_next(rig.run_store, run.id, "me")
    answer = Answer("x", "Red", "ambiguous", "v", "fp", "ab", 1, 1, candidates=[], selected=[])
    answers = [replace(answer, selected=[0]), answer, replace(answer, decision="match", repeats=0)]
    rig.run_store.claims.finish(item, 3, answers, "ab", "fp", "v", {})
    assert rig.run_store.counts.found(run.id) == (1, 1)


def test_a_run_that_is_over_shows_its_own_rate(rig):
    rig.add_tasks(4)
    run = rig.carry_on(rig.start(RED))
    with (
        rig.run_store._transactions.writing() as db
    ):  # long ago: three in a row, 2 s each, and one that was tried again a day later
        for task, ended in ((1, 2.0), (2, 4.0), (3, 6.0), (4, 90_000.0)):
            db.exec_driver_sql(f"UPDATE item SET started_at = {ended - 2}, finished_at = {ended} WHERE task = {task}")
    rig.run_store.change(run.id, "done", None)  # measured when a run ends, since it reads every item
    seen = summary.look(rig.run_store, run.id, 1)
    assert seen.per_s == pytest.approx(4 / 6)
    assert "0.67 tasks/s while it was at work" in seen.to_text()
    assert "worker" not in seen.to_text()


def test_what_others_wrote_commands_no_terminal(rig):
    rig.add_tasks(1)
    run = rig.start("the \x1b[2J\u202ered\nsquare")
    rig.run_store.change(run.id, "paused", "It said \x1b]0;owned\x07\ud800.")
    seen = summary.look(rig.run_store, run.id, 1)
    assert seen.to_text().replace("\n", "").isprintable()


def test_verbs_with_nothing_to_do_say_so(rig):
    rig.add_tasks(1)
    run = rig.carry_on(rig.start(RED))
    number = control.retry(rig.run_store, run)
    assert control.describe_result(rig.run_store, run, "retry", number) == "Nothing is tried again: no task failed."
    with pytest.raises(BadRun, match="is done, so there is nothing to cancel"):
        control.cancel(rig.run_store, run)
    assert "none is left out" in control.describe_result(rig.run_store, run, "cancel", 0)
    assert control.describe_result(rig.run_store, run, "cancel", 1) == "1 tasks."


def test_failures_that_others_took_up_are_said_so(rig):
    [task] = rig.add_tasks(1)
    picture = rig.studio.tasks[task]["image"]
    rig.studio.tasks[task]["image"] = "data:image/png;base64,AAAA"
    first = rig.carry_on(rig.start(RED))
    rig.studio.tasks[task]["image"] = picture
    rig.carry_on(rig.start(RED))
    assert "taken up the 1 that failed" in control.describe_result(
        rig.run_store, first, "retry", control.retry(rig.run_store, first)
    )
