"""The stages of a worker overlap, and what was begun ahead goes back, or on, as if it had not been."""

import threading
import time
from dataclasses import replace

import pytest

from backend.base.errors import ImageUnreachable
from backend.runs.execution import work
from backend.runs.prefetching import AHEAD, CLAIMED
from backend.runs.recording import Recorder

RED = "the red square"


class Death(BaseException):
    """Stands for the end of the process: nothing of a worker catches it."""


@pytest.fixture
def fast(rig):
    """A worker that knows its models to be fast, so that it works ahead."""
    rig.worker_state.item_s = 0.001
    return rig


def spy_on_model(rig, monkeypatch, before):
    """Have `before` called with the number of images that the model had before, each time that it gets one."""
    encode, number = rig.segmenter.encoder.encode, iter(range(1000))

    def spied(image, proposals):
        before(next(number))
        return encode(image, proposals)

    monkeypatch.setattr(rig.segmenter.encoder, "encode", spied)


def wait_for(is_so):
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_images_of_the_next_items_are_decoded_while_the_model_is_at_work_and_no_more(fast, monkeypatch):
    fast.add_tasks(12)
    run, prepared = fast.start(RED), set()
    prepare = type(fast.service).prepare
    monkeypatch.setattr(type(fast.service), "prepare", lambda *a: (prepared.add(a[1].source.task), prepare(*a))[1])
    seen = []

    def look(number):
        if number == 0:
            wait_for(lambda: len(prepared) >= 1 + AHEAD)
            time.sleep(0.1)  # for one too many
            seen.append(len(prepared))
            seen.append(fast.states(run)["running"])

    spy_on_model(fast, monkeypatch, look)
    assert fast.work(run) == 12
    assert seen == [1 + AHEAD, CLAIMED]
    assert fast.carry_on(run).state == "done"


def test_an_item_is_recorded_while_the_model_is_at_work_on_the_next(fast, monkeypatch):
    fast.add_tasks(3)
    run = fast.start(RED, push=False)
    spy_on_model(fast, monkeypatch, lambda n: n and wait_for(lambda: fast.states(run).get("done", 0) == n))
    assert fast.work(run) == 3


def test_stopped_worker_puts_back_what_it_claimed_untouched(fast, monkeypatch):
    fast.add_tasks(6)
    run = fast.start(RED, push=False)

    def stop(number):
        if number == 1:
            fast.worker_state.end()

    spy_on_model(fast, monkeypatch, stop)
    assert fast.work(run) == 2
    assert fast.states(run) == {"done": 2, "new": 4}
    assert [one.attempt for one in fast.items.in_state(run.id, "new")] == [0, 0, 0, 0]
    assert not fast.worker_state.at_work


def test_annotator_waits_for_one_image_and_not_for_those_fetched_ahead(fast, monkeypatch):
    fast.add_tasks(6)
    run, is_over = fast.start(RED, push=False), threading.Event()
    prepare = type(fast.service).prepare

    def prepare_slowly(service, context):
        if context.source.task == "3":
            is_over.wait(20)
        prepare(service, context)

    monkeypatch.setattr(type(fast.service), "prepare", prepare_slowly)
    fast.means = replace(fast.means, is_wanted=lambda: fast.states(run).get("done", 0) >= 1)
    began = time.monotonic()
    assert fast.work(run) <= 2
    assert time.monotonic() - began < 10
    is_over.set()
    assert fast.states(run)["new"] >= 4
    fast.means = replace(fast.means, is_wanted=lambda: False)
    fast.carry_on(run)
    assert fast.states(run) == {"done": 6}


def test_paused_run_begins_no_more_of_what_was_claimed(fast, monkeypatch):
    fast.add_tasks(8)
    run = fast.start(RED, push=False)
    spy_on_model(fast, monkeypatch, lambda n: n or fast.run_store.change(run.id, "paused", None))
    fast.work(run)
    states = fast.states(run)
    assert (states["done"] <= 1 + AHEAD, states["done"] + states["new"]) == (True, 8)


def test_only_the_item_that_kills_its_workers_fails(fast, monkeypatch):
    fast.add_tasks(6)
    run, encode = fast.start(RED), fast.segmenter.encoder.encode

    def die_over_the_third(image, proposals):
        if image.size_hw[1] == 46:
            raise Death
        return encode(image, proposals)

    monkeypatch.setattr(fast.segmenter.encoder, "encode", die_over_the_third)
    release = type(fast.run_store.claims).release
    deaths = 0
    while deaths < 3:
        monkeypatch.setattr(type(fast.run_store.claims), "release", lambda *_: None)  # it is dead
        monkeypatch.setattr(Recorder, "__exit__", lambda *_: None)
        with pytest.raises(Death):
            fast.work(run)
        deaths += 1
        monkeypatch.setattr(type(fast.run_store.claims), "release", release)
        fast.worker_state.at_work.clear()
        time.sleep(0.1)  # a thread of the dead worker may still begin what it was told to
        fast.age_running(run)
        fast.supervisor.tick()
    fast.carry_on(run)
    assert fast.states(run) == {"done": 5, "failed": 1}
    [failure] = fast.run_store.counts.failures(run.id)
    assert failure.reason == "worker died"


def test_outage_of_images_seen_ahead_costs_no_item_and_holds_the_run_once(fast, monkeypatch):
    fast.add_tasks(6)
    run = fast.start(RED, push=False)
    prepare = type(fast.service).prepare

    def prepare_first(service, context):
        if context.source.task != "1":
            raise ImageUnreachable("/data/2.png cannot be fetched.", cause="down", is_own=True)
        prepare(service, context)

    monkeypatch.setattr(type(fast.service), "prepare", prepare_first)
    assert fast.work(run) == 2
    held = fast.run_store.get(run.id)
    assert (held.strikes, fast.states(run)) == (1, {"done": 1, "new": 5})
    assert {one.attempt for one in fast.items.in_state(run.id, "new")} == {0}


def test_a_slow_model_has_nothing_fetched_that_its_job_does_not_come_to(rig, monkeypatch):
    rig.add_tasks(4)
    run, prepared = rig.start(RED, push=False), set()
    rig.worker_state.item_s = 60.0
    prepare = type(rig.service).prepare
    monkeypatch.setattr(type(rig.service), "prepare", lambda *a: (prepared.add(a[1].source.task), prepare(*a))[1])
    spy_on_model(rig, monkeypatch, lambda _: time.sleep(0.3))
    assert work(rig.means, run.id, 0.2) == 1
    assert (prepared, rig.states(run)) == ({"1"}, {"done": 1, "new": 3})


def test_times_of_the_stages_are_kept_and_waiting_is_in_none(fast, monkeypatch):
    fast.add_tasks(3)
    run = fast.start(RED, push=False)
    spy_on_model(fast, monkeypatch, lambda _: time.sleep(0.2))
    fast.work(run)
    busy = fast.means.stage_times.busy_s
    assert busy["model"] >= 0.6
    assert 0 < busy["fetch"] < 0.6
    seconds = fast.run_store.counts.stage_seconds()
    assert seconds["encode"] >= 0.2
    assert max(seconds["fetch"], seconds["segment"], seconds["clean"]) < 0.2
