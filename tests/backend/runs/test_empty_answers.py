"""Predictions without regions: nothing in them says whose they are, so none is taken for another's, and none is deleted on a guess."""

import dataclasses
import json

import pytest

from backend.runs import control
from backend.runs.studio_client import RunClient
from backend.runs.writer import MAX_REPAIRS, PredictionWriter

RED, BLUE = "Red: the red square", "Blue: the blue square"
NOTHING = {"min_score": 1.0}
"""Candidates of the toy score less than this."""


def prediction_writer(rig, run, name="me"):
    """What writes for a steward of that name, who takes over."""
    rig.let_lease_end(run)
    fence = rig.run_store.leases.take(run.id, name)
    return PredictionWriter(rig.run_store, RunClient(rig.url, "token", 5.0), rig.run_store.get(run.id), fence)


def stand(rig, task):
    """Id and number of regions of each prediction of a task."""
    return [(one["id"], len(one["result"])) for one in rig.studio.of(task)]


def foreign(rig, task, id):
    """A prediction without regions of the same version, as Label Studio keeps one when a task is opened."""
    one = {"id": id, "task": task, "model_version": rig.segmenter.model_version, "result": [], "score": 0.0}
    rig.studio.predictions.append(one)
    return one


def forget_notes(rig, run, **values):
    """As if an older version of this program had written an item."""
    with rig.run_store._transactions.writing() as db:
        changed = ", ".join([f"{name} = '{value}'" for name, value in values.items()] + ["before = NULL"])
        db.exec_driver_sql(f"UPDATE item SET {changed} WHERE run = '{run.id}'")


CHANGES = {
    "nothing by nothing": (NOTHING, NOTHING, 0),
    "something by nothing": ({}, NOTHING, 0),
    "nothing by something": (NOTHING, {}, 1),
    "something by something": ({}, {}, 1),
}


@pytest.mark.parametrize(("was", "becomes", "regions"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("mode", ["replace", "add"])
def test_one_prediction_takes_the_place_of_the_other(rig, mode, was, becomes, regions):
    tasks = rig.add_tasks(3)
    rig.carry_on(rig.start(RED, **was))
    old = {task: rig.studio.of(task)[0]["id"] for task in tasks}
    run = rig.carry_on(rig.start(BLUE, mode=mode, **becomes))
    assert (run.state, run.repairs, rig.states(run)) == ("done", 0, {"done": 3})
    for task in tasks:
        [(id, number)] = stand(rig, task)
        assert id != old[task]
        assert number == (regions if mode == "replace" else 2 * regions)
    again = rig.start(BLUE, mode=mode, **becomes)
    assert (again.state, again.skipped) == ("done", 3)


def test_replaced_again_and_again(rig):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(RED, **NOTHING))
    for number in range(4):
        run = rig.carry_on(rig.start((RED, BLUE)[number % 2 == 0], mode="replace", **NOTHING))
        assert (run.state, run.repairs, len(stand(rig, task))) == ("done", 0, 1)


@pytest.mark.parametrize("at", ["before sending", "after sending", "before deleting"])
def test_replacing_nothing_by_nothing_goes_on_where_it_was_interrupted(rig, at):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(RED, **NOTHING))
    run = rig.start(BLUE, mode="replace", **NOTHING)
    rig.work(run)
    writer = prediction_writer(rig, run, "who dies")
    if at == "before sending":
        writer._send = lambda made: None
    elif at == "after sending":
        writer._confirm = lambda items: None
    else:
        writer._remove_replaced = lambda item: None
    writer.push()
    rig.let_lease_end(run)
    assert rig.states(run) == {"replacing" if at == "before deleting" else "writing": 1}
    run = rig.carry_on(run)
    assert (run.state, run.repairs, stand(rig, task)) == ("done", 0, [(2, 0)])


def test_others_predictions_without_regions_stay(rig):
    """Some were there before the first run, some came between, some come while it is written."""
    [task] = rig.add_tasks(1)
    others = [foreign(rig, task, 900)]
    rig.carry_on(rig.start(RED, **NOTHING))
    others.append(foreign(rig, task, 901))
    run = rig.start(BLUE, mode="replace", **NOTHING)
    rig.work(run)
    writer = prediction_writer(rig, run)
    send = writer._studio.import_predictions

    def send_beside_another(*arguments):
        others.append(foreign(rig, task, 902))
        return send(*arguments)

    writer._studio.import_predictions = send_beside_another
    writer.push()
    run = rig.carry_on(run)
    assert (run.state, run.repairs) == ("done", 0)
    assert all(one in rig.studio.of(task) for one in others)
    assert len(rig.studio.of(task)) == 4  # and the run's own


def test_one_without_regions_is_never_taken_for_a_double(rig):
    [task] = rig.add_tasks(1)
    run = rig.start(RED, **NOTHING)
    rig.work(run)
    prediction_writer(rig, run).push()
    another = foreign(rig, task, 900)
    run = rig.carry_on(run)
    assert (run.state, another in rig.studio.of(task), len(rig.studio.of(task))) == ("done", True, 2)


def test_anothers_is_not_taken_for_the_own_that_was_not_written(rig):
    [task] = rig.add_tasks(1)
    foreign(rig, task, 900)
    run = rig.start(RED, **NOTHING)
    rig.work(run)
    writer = prediction_writer(rig, run, "who dies")
    writer._send = lambda made: None
    writer.push()
    rig.let_lease_end(run)
    assert rig.carry_on(run).state == "done"
    assert len(rig.studio.of(task)) == 2


YESTERDAYS = {
    # state of the item, predictions that are there (o: the old one, n: the new one), what is on record as replaced
    "not sent": ("writing", "o", None),
    "sent": ("writing", "on", None),
    "old one gone": ("writing", "n", None),
    "both on record": ("replacing", "on", "on"),
    "new one on record": ("replacing", "n", "n"),
    "old one on record": ("replacing", "on", "o"),
    "neither is there": ("replacing", "", "on"),
    "ready": ("ready", "o", None),
}


@pytest.mark.parametrize(("state", "there", "on_record"), YESTERDAYS.values(), ids=YESTERDAYS)
def test_what_an_older_version_left_half_done_ends_well(rig, state, there, on_record):
    [task] = rig.add_tasks(1)
    first = rig.carry_on(rig.start(RED, **NOTHING))
    run = rig.start(BLUE, mode="replace", **NOTHING)
    rig.work(run)
    rig.studio.predictions.clear()
    known = {"o": 50, "n": 60}
    ids = {which: foreign(rig, task, id)["id"] for which, id in known.items() if which in there}
    forget_notes(rig, first)
    record = {} if on_record is None else {"replaced": json.dumps({"predictions": [known[w] for w in on_record]})}
    forget_notes(rig, run, state=state, **record)
    run = rig.carry_on(run)
    assert (run.state, rig.states(run)) == ("done", {"done": 1})
    assert len(rig.studio.of(task)) == 1, (ids, stand(rig, task))


def test_yesterdays_replacement_of_something_by_nothing_is_carried_on(rig):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(RED))
    run = rig.start(BLUE, mode="replace", **NOTHING)
    rig.work(run)
    new = foreign(rig, task, 60)
    forget_notes(rig, run, state="writing")
    assert rig.carry_on(run).state == "done"
    assert rig.studio.of(task) == [new]


def test_run_whose_predictions_keep_going_pauses_and_says_so(rig):
    """Something else deletes them: an automation, or a person."""
    rig.add_tasks(2)
    run = rig.start(RED)
    rig.work(run)
    rig.studio.loses = True
    run = rig.carry_on(run, ticks=60)
    assert (run.state, run.repairs) == ("paused", MAX_REPAIRS + 1)
    assert f"ris run resume {run.id}" in run.note
    rig.studio.loses = False
    control.resume(rig.run_store, run)
    run = rig.carry_on(run)
    assert (run.state, run.repairs, len(rig.studio.predictions)) == ("done", 0, 2)


def test_replaced_answers_are_not_written_again_by_a_late_sweep(rig):
    """A run that goes on after others replaced some of its predictions leaves those alone."""
    first, second = rig.add_tasks(2)
    rig.studio.tasks[second]["image"] = "data:image/png;base64,AAAA"
    run = rig.carry_on(rig.start(RED))
    later = rig.carry_on(rig.start(BLUE, mode="replace", tasks=(first,)))
    assert (run.state, later.state) == ("done", "done")
    new = rig.studio.of(first)
    rig.studio.tasks[second]["image"] = rig.studio.tasks[first]["image"]
    control.retry(rig.run_store, run)
    rig.let_lease_end(run)
    assert rig.carry_on(run).state == "done"
    assert (rig.studio.of(first), len(rig.studio.of(second))) == (new, 1)


# Added to


SAME_WORDS = {
    "label given": "the red square",
    "other letters": "Red: The  RED square",
}


@pytest.mark.parametrize("words", SAME_WORDS.values(), ids=SAME_WORDS)
def test_same_mask_for_the_same_words_is_not_added(rig, words):
    tasks = rig.add_tasks(2)
    rig.carry_on(rig.start(RED))
    before = [rig.studio.of(task) for task in tasks]
    run = rig.carry_on(rig.start(words, mode="add"))
    assert (run.state, rig.states(run)) == ("done", {"unchanged": 2})
    assert [rig.studio.of(task) for task in tasks] == before
    [item, _] = rig.items.in_state(run.id, "unchanged")
    assert len(item.queries) == 2
    with rig.run_store._transactions.reading() as db:
        told = db.exec_driver_sql(f"SELECT error FROM item WHERE run = '{run.id}'").scalars().all()
    assert all("Nothing to add" in text for text in told)
    again = rig.start(words, mode="add")
    assert (again.state, again.skipped) == ("done", 2)
    replaced = rig.carry_on(rig.start(BLUE, mode="replace"))
    assert (replaced.state, [len(rig.studio.of(task)) for task in tasks]) == ("done", [1, 1])


def test_what_finds_nothing_is_not_added_either_and_is_not_asked_again(rig):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(RED))
    before = rig.studio.of(task)
    nothing = "none of them"
    real = rig.segmenter.segment

    def segment(encoded, expression, top_k):
        found = real(encoded, expression, top_k)
        return dataclasses.replace(found, selected=()) if expression.raw == nothing else found

    object.__setattr__(rig.segmenter, "segment", segment)
    run = rig.carry_on(rig.start(nothing, mode="add"))
    assert (rig.states(run), rig.studio.of(task)) == ({"unchanged": 1}, before)
    assert rig.start(nothing, mode="add").skipped == 1


def test_same_mask_is_added_where_its_prediction_is_gone(rig):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(RED))
    rig.studio.predictions.clear()
    run = rig.carry_on(rig.start("the red square", mode="add"))
    assert (run.state, rig.states(run)) == ("done", {"done": 1})
    assert [len(one["result"]) for one in rig.studio.of(task)] == [1]


def test_new_masks_are_added_to_those_that_repeat(rig):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(RED))
    run = rig.carry_on(rig.start("the red square", BLUE, mode="add"))
    [prediction] = rig.studio.of(task)
    assert (rig.states(run), [region["value"]["brushlabels"] for region in prediction["result"]]) == (
        {"done": 1},
        [["Red"], ["Blue"]],
    )


def test_one_run_does_not_say_the_same_twice_and_a_given_label_beats_a_guessed_one(rig):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start("the square thing", "Blue: the square  thing", "Red: the square thing"))
    [prediction] = rig.studio.of(task)
    said = [(one["value"]["brushlabels"][0], one["meta"]["ris"].get("label_is_guess")) for one in prediction["result"]]
    assert sorted(said) == [("Blue", None), ("Red", None)]
