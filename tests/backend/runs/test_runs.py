"""Runs from beginning to end, with what goes wrong in between."""

import base64
import json
import time
from dataclasses import replace

import pytest

from backend.base.errors import ImageUnreachable
from backend.inference.feature_cache import FeatureCache
from backend.label_studio.images import ImageFetcher
from backend.label_studio.predictions_api import PAGE
from backend.runs import control, execution, summary
from backend.runs.items import RunItems
from backend.runs.spec import BadRun, RunSpec
from tests.backend.runs.claiming import begin_next
from tests.backend.runs.conftest import picture
from tests.backend.runs.fake_studio import PROJECT

RED, BLUE = "Red: the red square", "Blue: the blue square"


def labels_of(rig, task):
    [prediction] = rig.studio.of(task)
    return [region["value"]["brushlabels"][0] for region in prediction["result"]]


# What is asked


def test_every_task_gets_one_prediction_and_its_score_shows(rig):
    tasks = rig.add_tasks(3)
    run = rig.carry_on(rig.start("the red square"))
    assert (run.state, rig.states(run)) == ("done", {"done": 3})
    for task in tasks:
        [prediction] = rig.studio.of(task)
        [region] = prediction["result"]
        assert (region["value"]["brushlabels"], region["meta"]["text"]) == (["Red"], ["the red square"])
    assert rig.studio.project["model_version"] == rig.segmenter.model_version
    assert rig.studio.imports == [3]


def test_prediction_holds_the_regions_of_all_queries_and_the_lowest_score(rig):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(RED, BLUE))
    [prediction] = rig.studio.of(task)
    assert labels_of(rig, task) == ["Red", "Blue"]
    assert prediction["score"] == min(region["score"] for region in prediction["result"])
    assert prediction["model_version"] == rig.segmenter.model_version
    assert "square" not in prediction["model_version"]


@pytest.mark.parametrize("value", [f"{RED}; {BLUE}", [RED, BLUE]], ids=["text", "list"])
def test_expressions_come_from_a_field_of_the_task(rig, value):
    [task] = rig.add_tasks(1, say=value)
    [other] = rig.add_tasks(1)
    run = rig.carry_on(rig.start(expression_field="say"))
    assert labels_of(rig, task) == ["Red", "Blue"]
    [failure] = rig.items.in_state(run.id, "failed")
    assert (failure.task, rig.studio.of(other)) == (other, [])


def test_what_a_field_says_to_be_absent_is_not_looked_for(rig):
    [both] = rig.add_tasks(1, say=f"none: the giraffe; {RED}")
    [nothing] = rig.add_tasks(1, say="none: the giraffe")
    run = rig.carry_on(rig.start(expression_field="say"))
    assert (labels_of(rig, both), rig.studio.of(nothing)) == (["Red"], [])
    [failure] = rig.run_store.counts.failures(run.id)
    assert "names nothing to look for" in failure.error


def test_every_label_is_asked_for(rig):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(per_label=True))
    assert set(labels_of(rig, task)) == {"Red", "Blue"}


def test_several_instances_of_a_label_are_handed_out(rig):
    rig.segmenter.proposer.cells = 4  # each colour is four cells
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(per_label=True))
    assert labels_of(rig, task).count("Red") == 4
    assert len({region["id"] for region in rig.studio.of(task)[0]["result"]}) == 8


def test_only_chosen_tasks_are_done(rig):
    _, second, third, fourth = rig.add_tasks(4)
    rig.studio.annotations[third] = [{"id": 9}]
    run = rig.carry_on(rig.start(RED, tasks=(second, third, fourth), only_unlabelled=True))
    assert (run.state, {one["task"] for one in rig.studio.predictions}) == ("done", {second, fourth})


def test_scores_below_the_floor_are_not_handed_out(rig):
    [task] = rig.add_tasks(1)
    run = rig.carry_on(rig.start(RED, min_score=1.0))
    assert run.state == "done"
    assert [prediction["result"] for prediction in rig.studio.of(task)] == [[]]


def test_without_push_answers_stay_in_the_ledger(rig):
    [task] = rig.add_tasks(1)
    run = rig.carry_on(rig.start(RED, push=False))
    assert (run.state, rig.studio.of(task)) == ("done", [])
    [item] = rig.items.in_state(run.id, "done")
    assert item.answers[0].candidates[0]["mask"]["size"] == [40, 42]


def test_warm_run_only_fills_the_cache(rig):
    rig.add_tasks(2)
    run = rig.carry_on(rig.start(kind="warm"))
    assert (run.state, rig.studio.predictions, len(list(rig.service.cache.images._entries()))) == ("done", [], 2)


def test_warm_run_pauses_where_the_first_images_would_be_deleted_before_the_last_are_encoded(rig, tmp_path):
    rig.add_tasks(4)
    rig.work(rig.start(kind="warm", tasks=(1,)))
    one = rig.service.cache.images.mean_bytes()
    rig.service = replace(rig.service, cache=FeatureCache(tmp_path / "features", int(3.5 * one)))
    rig.means = replace(rig.means, service=rig.service)
    run = rig.carry_on(rig.start(kind="warm"))
    assert (run.state, "CACHE_BYTES=" in run.note, f"ris run resume {run.id}" in run.note) == ("paused", True, True)
    assert rig.states(run) == {"new": 4}


def test_planning_holds_one_page_of_tasks_at_a_time(rig, monkeypatch):
    """Whatever the number of tasks: pages go into the database as they come."""
    rig.add_tasks(2 * PAGE + 7)
    held, add = [], rig.run_store.items.add
    monkeypatch.setattr(
        RunItems, "add", lambda self, run, planned, *state: held.append(len(planned)) or add(run, planned, *state)
    )
    run = rig.start(RED)
    assert rig.states(run) == {"new": 2 * PAGE + 7}
    assert max(held) == PAGE
    assert len([number for number in held if number]) == 3


# Again


def test_same_queries_again_are_nothing_to_do(rig):
    rig.add_tasks(2)
    rig.carry_on(rig.start(RED, BLUE))
    again = rig.start(BLUE, RED)
    assert (again.state, again.skipped, rig.states(again)) == ("done", 2, {})
    assert "nothing to do" in again.note
    assert len(rig.studio.predictions) == 2


def test_new_tasks_are_done_and_answered_ones_skipped(rig):
    rig.add_tasks(2)
    rig.carry_on(rig.start(RED))
    [new] = rig.add_tasks(1)
    again = rig.carry_on(rig.start(RED))
    assert (again.skipped, rig.states(again), len(rig.studio.predictions)) == (2, {"done": 1}, 3)
    assert len(rig.studio.of(new)) == 1


def test_other_queries_are_refused(rig):
    rig.add_tasks(2)
    rig.carry_on(rig.start(RED))
    other = rig.start(BLUE)
    assert other.state == "failed"
    assert "--add" in other.note
    assert len(rig.studio.predictions) == 2


def test_added_queries_are_merged_into_one_prediction(rig):
    tasks = rig.add_tasks(2)
    rig.carry_on(rig.start(RED))
    rig.carry_on(rig.start(BLUE, mode="add"))
    assert [labels_of(rig, task) for task in tasks] == [["Red", "Blue"]] * 2
    again = rig.start(RED, BLUE)
    assert (again.state, again.skipped) == ("done", 2)


def test_replaced_predictions_are_deleted_by_id_and_annotations_of_them_are_on_record(rig):
    first, second = rig.add_tasks(2)
    rig.carry_on(rig.start(RED, tasks=(first,)))
    [old] = rig.studio.of(first)
    rig.studio.annotations[first] = [{"id": 50, "parent_prediction": old["id"]}, {"id": 51, "parent_prediction": None}]
    foreign = {"id": 900, "task": first, "model_version": "another", "result": []}
    rig.studio.predictions.append(foreign)
    run = rig.carry_on(rig.start(BLUE, mode="replace"))
    assert run.state == "done"
    assert labels_of(rig, second) == ["Blue"]
    assert foreign in rig.studio.of(first)
    assert [one["id"] for one in rig.studio.of(first) if one is not foreign] != [old["id"]]
    item = rig.items.get(run.id, first)
    assert item.replaced == {"run": item.replaces, "predictions": [old["id"]], "annotations": [50]}
    assert len(rig.studio.annotations[first]) == 2


def test_runs_of_a_project_are_planned_one_after_the_other(rig):
    rig.add_tasks(2)
    version = rig.segmenter.model_version
    first, second = (rig.run_store.add_run(RunSpec(PROJECT, expressions=(RED,)), version) for _ in range(2))
    rig.supervisor.tick()
    rig.supervisor.tick()
    assert (rig.states(first), rig.run_store.get(second.id).skipped) == ({"new": 2}, 2)


# Failures


def test_failures_are_told_apart_and_the_others_done(rig):
    good, unreadable, no_image, gone = rig.add_tasks(4)
    rig.studio.tasks[unreadable]["image"] = "data:image/png;base64,AAAA"
    rig.studio.tasks[no_image] = {"text": "hello"}
    rig.studio.tasks[gone]["image"] = f"{rig.url}/lost.png"
    run = rig.carry_on(rig.start(RED))
    assert (run.state, rig.states(run)) == ("done", {"done": 1, "failed": 3})
    assert "ris run failures" in run.note
    assert len(rig.studio.of(good)) == 1


@pytest.mark.parametrize("push", [True, False])
def test_failed_items_are_tried_again_with_the_image_address_that_the_task_has_now(rig, push):
    """The former address may have been signed for some hours only."""
    [task] = rig.add_tasks(1)
    rig.studio.tasks[task]["image"] = f"{rig.url}/expired.png?signature=1"
    run = rig.carry_on(rig.start(RED, push=push))
    assert rig.states(run) == {"failed": 1}
    rig.studio.tasks[task]["image"] = picture(1)
    assert control.retry(rig.run_store, run) == 1
    run = rig.carry_on(run)
    assert (run.state, rig.states(run), len(rig.studio.of(task))) == ("done", {"done": 1}, push)
    assert rig.items.get(run.id, task).image == picture(1)


def test_tasks_whose_data_was_wrong_are_tried_again_with_what_it_says_now(rig):
    silent, blank, gone = rig.add_tasks(3)
    rig.studio.tasks[blank] = {"say": BLUE}
    run = rig.carry_on(rig.start(expression_field="say"))
    assert rig.states(run) == {"failed": 3}
    rig.studio.tasks[silent]["say"] = RED
    rig.studio.tasks[blank]["image"] = picture(2)
    del rig.studio.tasks[gone]
    assert control.retry(rig.run_store, run) == 3
    run = rig.carry_on(run)
    assert rig.states(run) == {"done": 2, "failed": 1}
    assert [labels_of(rig, task) for task in (silent, blank)] == [["Red"], ["Blue"]]
    assert [(one.task, one.reason) for one in rig.run_store.counts.failures(run.id)] == [(gone, "task gone")]


def test_retry_waits_for_a_studio_that_is_down(rig):
    [task] = rig.add_tasks(1)
    rig.studio.tasks[task]["image"] = "data:image/png;base64,AAAA"
    run = rig.carry_on(rig.start(RED))
    rig.studio.tasks[task]["image"], rig.studio.outage = picture(1), 503
    control.retry(rig.run_store, run)
    assert (rig.carry_on(run, ticks=3).state, rig.states(run)) == ("running", {"retrying": 1})
    rig.studio.outage = None
    assert (rig.carry_on(run).state, rig.states(run)) == ("done", {"done": 1})


def test_retried_item_that_replaces_keeps_its_queries(rig):
    [task] = rig.add_tasks(1)
    rig.carry_on(rig.start(RED))
    rig.studio.tasks[task]["image"] = f"{rig.url}/lost.png"
    run = rig.carry_on(rig.start(BLUE, mode="add"))
    assert rig.states(run) == {"failed": 1}
    rig.studio.tasks[task]["image"] = picture(1)
    assert control.retry(rig.run_store, run) == 1
    rig.carry_on(run)
    assert labels_of(rig, task) == ["Red", "Blue"]


def test_failed_item_that_another_run_did_is_not_tried_again(rig):
    [task] = rig.add_tasks(1)
    rig.studio.tasks[task]["image"] = "data:image/png;base64,AAAA"
    first = rig.carry_on(rig.start(RED))
    rig.studio.tasks[task]["image"] = picture(1)
    rig.carry_on(rig.start(RED))
    assert rig.items.retry(first.id) == 0


def test_image_server_that_is_down_holds_the_run_and_costs_no_item(rig, monkeypatch):
    rig.add_tasks(2)
    for data in rig.studio.tasks.values():
        data["image"] = "/data/upload/1.png"
    run = rig.start(RED)

    def fetch(*_: object) -> bytes:
        raise ImageUnreachable("/data/upload/1.png cannot be fetched.", cause="down", is_own=True)

    monkeypatch.setattr(rig.fetcher, "fetch", fetch)
    assert rig.work(run) == 1  # and no further one
    assert rig.work(run) == 0
    held = rig.run_store.get(run.id)
    assert (held.strikes, rig.states(run)) == (1, {"new": 2})
    assert "cannot be fetched" in held.note
    for _ in range(10):  # for longer than other images are tried
        rig.skip_pauses(run)
        rig.work(run)
    assert rig.states(run) == {"new": 2}
    monkeypatch.setattr(rig.fetcher, "fetch", lambda *_: ImageFetcher().fetch(picture(1)))
    done = rig.carry_on(run)
    assert (done.state, done.strikes, rig.states(done)) == ("done", 0, {"done": 2})


def test_image_that_can_never_be_had_fails_in_the_end(rig, monkeypatch):
    [task] = rig.add_tasks(1)
    rig.studio.tasks[task]["image"] = "http://127.0.0.1:1/a.png"

    def fetch(*_: object) -> bytes:
        raise ImageUnreachable("http://127.0.0.1:1/a.png cannot be fetched (503).", cause="passing", status=503)

    monkeypatch.setattr(rig.fetcher, "fetch", fetch)
    run = rig.carry_on(rig.start(RED))
    assert (run.state, rig.states(run)) == ("done", {"failed": 1})


@pytest.mark.parametrize("name", ["IMG (403).jpg", "IMG (401).jpg", "IMG (503) may not be read. Set the token.jpg"])
def test_missing_file_of_an_odd_name_fails_and_the_run_goes_on(rig, serve, name):
    """Its name is in the error's text, and means nothing."""
    studio = serve(lambda _: (404, {}, b""))
    rig.fetch_from(studio.url)
    first, second = rig.add_tasks(2)
    rig.studio.tasks[first]["image"] = f"/data/upload/1/{name}"
    run = rig.carry_on(rig.start(RED))
    assert (run.state, rig.states(run)) == ("done", {"failed": 1, "done": 1})
    assert rig.items.get(run.id, second).state == "done"


def test_refused_image_pauses_the_run_whatever_its_name_is(rig, serve):
    studio = serve(lambda _: (403, {}, b""))
    rig.fetch_from(studio.url)
    [task] = rig.add_tasks(1)
    rig.studio.tasks[task]["image"] = "/data/upload/1/IMG (404).jpg"
    run = rig.carry_on(rig.start(RED))
    assert (run.state, rig.states(run)) == ("paused", {"new": 1})
    assert "LABEL_STUDIO_API_KEY" in run.note


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "image empty"),
        (b"<!doctype html><html>", "web page, no image"),
        (b"\xff\xd8\xff\xe0", "image damaged"),
        (b"%PDF-1.7", "image unreadable"),
    ],
)
def test_why_a_picture_cannot_be_opened_is_told_apart(rig, content, reason):
    [task] = rig.add_tasks(1)
    rig.studio.tasks[task]["image"] = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    rig.carry_on(rig.start(RED))
    assert rig.run_store.counts.count_all() == {("failed", reason): 1}


def test_refused_token_pauses_the_run_and_says_so(rig):
    rig.add_tasks(2)
    run = rig.start(RED)
    rig.studio.outage = 401
    paused = rig.carry_on(run)
    assert paused.state == "paused"
    assert "token" in paused.note
    assert f"ris run resume {run.id}" in paused.note
    rig.studio.outage = None
    rig.run_store.change(run.id, "running", None)
    assert (rig.carry_on(run).state, rig.studio.imports[-1], len(rig.studio.predictions)) == ("done", 2, 2)


def test_studio_that_is_down_delays_writing(rig):
    rig.add_tasks(2)
    run = rig.start(RED)
    rig.work(run)
    rig.studio.outage = 503
    rig.supervisor.tick()
    waiting = rig.run_store.get(run.id)
    assert (waiting.state, waiting.push_strikes, rig.states(run)) == ("running", 1, {"writing": 2})
    assert "503" in waiting.note
    rig.studio.outage = None
    assert (rig.carry_on(run).note, len(rig.studio.predictions)) == (None, 2)


class Full(Exception):
    pass


Full.__name__ = "OutOfMemoryError"


@pytest.mark.parametrize(("fits", "state"), [(4, "done"), (0, "failed")])
def test_batch_is_halved_once_when_memory_is_full(rig, monkeypatch, fits, state):
    rig.add_tasks(1)
    encoder, encode = rig.segmenter.encoder, rig.segmenter.encoder.encode
    encoder.batch_size = 8

    def encode_if_it_fits(image, proposals):
        if encoder.batch_size > fits:
            raise Full("CUDA out of memory")
        return encode(image, proposals)

    monkeypatch.setattr(encoder, "encode", encode_if_it_fits)
    run = rig.carry_on(rig.start(RED))
    assert (rig.states(run), encoder.batch_size) == ({state: 1}, 8)
    for item in rig.items.in_state(run.id, "failed"):
        assert rig.items.get(run.id, item.task)


def test_worker_of_another_version_pauses_the_run(rig):
    rig.add_tasks(1)
    run = rig.start(RED)
    rig.segmenter.proposer.fingerprint["cells"] = 3
    rig.work(run)
    paused = rig.run_store.get(run.id)
    assert (paused.state, rig.states(run)) == ("paused", {"new": 1})
    assert run.model_version in paused.note


def test_run_whose_version_is_gone_is_finished_with_another_and_each_item_says_which(rig):
    first, second = rig.add_tasks(2)
    run = rig.start(RED)
    rig.is_wanted = True  # after one item
    rig.work(run)
    rig.is_wanted = False
    rig.segmenter.proposer.fingerprint["cells"] = 3
    rig.work(run)
    paused = rig.run_store.get(run.id)
    version = rig.segmenter.model_version
    assert f"ris run resume {run.id} --with-version {version}" in paused.note
    control.resume(rig.run_store, paused, version)
    over = rig.carry_on(run)
    assert (over.state, over.model_version) == ("done", version)
    assert [rig.items.get(run.id, task).model_version for task in (first, second)] == [run.model_version, version]
    written = [[one["model_version"] for one in rig.studio.of(task)] for task in (first, second)]
    assert written == [[run.model_version], [version]]
    assert rig.run_store.counts.count_written(PROJECT, run.model_version) == 1
    assert f"(1 by {run.model_version})" in summary.look(rig.run_store, run.id, 1).to_text()


def test_run_at_work_without_workers_of_its_version_takes_another(rig):
    rig.add_tasks(1)
    run = rig.start(RED)
    rig.segmenter.proposer.fingerprint["cells"] = 3
    control.resume(rig.run_store, run, rig.segmenter.model_version)
    assert rig.carry_on(run).state == "done"
    assert [one["model_version"] for one in rig.studio.predictions] == [rig.segmenter.model_version]


def test_tasks_that_another_run_answers_at_the_new_version_are_left_to_it(rig):
    both, only = rig.add_tasks(2)
    old = rig.start(RED)
    rig.segmenter.proposer.fingerprint["cells"] = 3
    new = rig.start(RED, tasks=(both,))
    control.resume(rig.run_store, old, rig.segmenter.model_version)
    rig.carry_on(new)
    rig.carry_on(old)
    assert [rig.items.get(old.id, task).state for task in (both, only)] == ["cancelled", "done"]
    assert [len(rig.studio.of(task)) for task in (both, only)] == [1, 1]


@pytest.mark.parametrize("version", ["", "two words", "a\nb", "x" * 201])
def test_version_that_can_be_none_is_refused(rig, version):
    rig.add_tasks(1)
    with pytest.raises(BadRun, match="give one that a worker reports"):
        control.resume(rig.run_store, rig.start(RED), version)


def test_item_that_kills_three_workers_fails_and_the_run_goes_on(rig):
    poison, other = rig.add_tasks(2)
    run = rig.start(RED)
    for i in range(3):
        assert begin_next(rig.run_store, run.id, f"victim-{i}").task == poison
        rig.age_running(run)
        rig.supervisor.tick()
    run = rig.carry_on(run)
    assert (run.state, rig.states(run)) == ("done", {"done": 1, "failed": 1})
    assert len(rig.studio.of(other)) == 1


def test_late_answer_of_a_worker_that_was_given_up_changes_nothing(rig):
    rig.add_tasks(1)
    run = rig.start(RED)
    late = begin_next(rig.run_store, run.id, "stopped")
    rig.age_running(run)
    rig.supervisor.tick()
    assert begin_next(rig.run_store, run.id, "next").attempt == 2
    assert not rig.run_store.claims.finish(late, 3, [], "sha", "fp", "v", {})
    assert not rig.run_store.claims.fail(late, "x", "y")
    assert rig.states(run) == {"running": 1}


# In between


def test_job_ends_when_an_annotator_waits_or_the_worker_is_to_stop(rig):
    rig.add_tasks(5)
    run = rig.start(RED)
    rig.is_wanted = True
    assert rig.work(run) == 1
    rig.is_wanted = False
    assert execution.work(rig.means, run.id, 0.0) == 0
    rig.worker_state.end()
    assert rig.work(run) == 0


def test_paused_run_rests_and_cancelled_run_ends(rig):
    rig.add_tasks(3)
    run = rig.start(RED)
    rig.run_store.change(run.id, "paused", None)
    assert rig.work(run) == 0
    rig.run_store.change(run.id, "running", None)
    rig.is_wanted = True
    rig.work(run)
    rig.run_store.change(run.id, "cancelling", None)
    assert rig.carry_on(run).state == "cancelled"
    assert (rig.states(run), rig.studio.predictions) == ({"cancelled": 3}, [])


def test_preview_does_a_few_tasks_and_waits(rig):
    rig.add_tasks(5)
    run = rig.start(RED, preview=2)
    assert (run.state, rig.states(run)) == ("preview", {"new": 2, "held": 3})
    run = rig.carry_on(run)
    assert (run.state, rig.states(run), rig.studio.predictions) == ("preview", {"ready": 2, "held": 3}, [])
    rig.items.release_held(run.id)
    rig.run_store.change(run.id, "running", None)
    assert (rig.carry_on(run).state, len(rig.studio.predictions)) == ("done", 5)


def test_queue_holds_a_few_jobs_however_many_tasks_there_are(rig):
    rig.add_tasks(250)
    run = rig.start(RED)
    for _ in range(3):
        time.sleep(0.01)  # until it is this worker's turn again
        rig.supervisor.tick()
    assert rig.states(run) == {"new": 250}
    assert rig.conn.lrange("rq:queue:bulk", 0, -1) == [f"run-{run.id}-{i}".encode() for i in range(2)]


def test_end_is_told_once(rig, serve):
    listener = serve(lambda request: (200, {}, b""))
    rig.add_tasks(1)
    run = rig.carry_on(rig.start(RED, notify=f"{listener.url}/told", name="evening"))
    rig.supervisor.tick()
    [request] = listener.seen
    told = json.loads(request.body)
    assert (told["run"], told["state"], told["items"], told["name"]) == (run.id, "done", {"done": 1}, "evening")


def test_tasks_that_are_left_out_are_not_asked_also_when_they_come_later(rig):
    first, second, third = rig.add_tasks(3)
    run = rig.carry_on(rig.start(RED, leave_out=(second,)))
    assert rig.states(run) == {"done": 2}
    assert [len(rig.studio.of(task)) for task in (first, second, third)] == [1, 0, 1]
