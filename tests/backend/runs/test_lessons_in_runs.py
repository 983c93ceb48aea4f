"""Runs and what was learnt: a run that has begun goes on with what it began with, a new one takes the newest."""

from dataclasses import replace

import pytest

from backend.runs import control
from backend.runs.spec import RunSpec
from backend.transport import worker_registry
from ris_core.learning.lesson import Lesson
from ris_core.learning.words import Words
from tests.backend.runs.fake_studio import PROJECT
from tests.toy import guided_toy, toy_lesson

RED = "Red: the red square"


@pytest.fixture
def rig(rig):
    """The rig with a segmenter that can learn, known to Redis as a worker reports it."""
    rig.segmenter = guided_toy()
    rig.service = replace(rig.service, segmenter=rig.segmenter)
    rig.means = replace(rig.means, service=rig.service)
    rig.conn.set(worker_registry.MODEL_VERSION_KEY, rig.segmenter.model_version)
    return rig


def create(rig, **spec):
    """A run as people create it, planned."""
    made = control.create(
        rig.run_store,
        rig.service.store,
        rig.conn,
        RunSpec(PROJECT, **{"expressions": (RED,), "mode": "replace", **spec}),
    )
    rig.supervisor.tick()
    return rig.run_store.get(made.id)


def versions_of(rig, run):
    return {item.model_version for item in rig.items.in_state(run.id, "done")}


def test_a_run_that_has_begun_goes_on_as_it_began_and_a_new_one_takes_what_was_learnt(rig):
    rig.add_tasks(4)
    begun = create(rig, push=False)
    rig.is_wanted = True  # one item a job
    rig.work(begun)
    lesson = toy_lesson(no_match_below=1.1)
    rig.service.store.lessons.apply(PROJECT, lesson, {}, PROJECT)
    rig.is_wanted = False
    assert rig.carry_on(begun).state == "done"
    assert versions_of(rig, begun) == {rig.segmenter.model_version}
    later = rig.carry_on(create(rig, push=False))
    assert (later.state, later.model_version, versions_of(rig, later)) == (
        "done",
        lesson.model_version,
        {lesson.model_version},
    )
    assert all(not one.selected for item in rig.items.in_state(later.id, "done") for one in item.answers)


def test_a_run_keeps_its_lesson_after_it_was_taken_back_or_replaced(rig):
    rig.add_tasks(3)
    first = toy_lesson(0.1)
    rig.service.store.lessons.apply(PROJECT, first, {}, PROJECT)
    begun = create(rig)
    rig.service.store.lessons.undo(PROJECT)
    rig.service.store.lessons.apply(PROJECT, toy_lesson(0.2), {}, PROJECT)
    done = rig.carry_on(begun)
    assert (done.state, versions_of(rig, done)) == ("done", {first.model_version})
    assert {one["model_version"] for task in (1, 2, 3) for one in rig.studio.of(task)} == {first.model_version}


def test_a_run_without_its_lesson_waits_and_says_so(rig):
    rig.add_tasks(1)
    unknown = replace(toy_lesson(), base_version=rig.segmenter.model_version).model_version
    run = rig.run_store.add_run(RunSpec(PROJECT, expressions=(RED,)), f"{unknown[:-8]}00000000")
    rig.supervisor.tick()
    paused = rig.carry_on(rig.run_store.get(run.id))
    assert paused.state == "paused"
    assert rig.segmenter.model_version in paused.note


@pytest.mark.parametrize(
    ("thresholds", "min_score", "masks"), [({"Red": 1.0}, None, 0), ({"Blue": 1.0}, None, 1), ({"Red": 1.0}, 0.0, 1)]
)
def test_a_label_has_its_threshold_unless_the_run_states_one(rig, thresholds, min_score, masks):
    rig.add_tasks(1)
    rig.service.store.lessons.apply(PROJECT, toy_lesson(**thresholds), {}, PROJECT)
    run = rig.carry_on(create(rig, min_score=min_score))
    [item] = rig.items.in_state(run.id, "done")
    assert sum(len(one.selected) for one in item.answers) == masks


def test_a_run_looks_for_accepted_words_and_says_so_in_its_answers(rig):
    rig.add_tasks(1)
    words = Words({"the crimson square": "Red"}, {"crimson": "red"})
    rig.service.store.lessons.apply(PROJECT, Lesson(rig.segmenter.model_version, words=words), {}, PROJECT)
    plain = rig.carry_on(create(rig, push=False))
    learned = rig.carry_on(create(rig, push=False, expressions=("Red: the crimson square",)))
    [[before], [after]] = [rig.items.in_state(run.id, "done")[0].answers for run in (plain, learned)]
    assert after.candidates == before.candidates
    assert (after.expression, after.reading["replaced"]) == ("the crimson square", {"crimson": "red"})
    assert "replaced" not in before.reading
