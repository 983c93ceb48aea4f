"""The ledger on SQLite and on PostgreSQL: what several processes do at once adds up."""

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from backend.db.records import Answer
from backend.db.request_store import open_request_store
from backend.db.run_tables import item as item_table
from backend.db.run_tables import run as run_table
from backend.db.tables import metadata
from backend.runs.item import MAX_ATTEMPTS, MAX_DEFERRALS, PlannedItem
from backend.runs.leases import LeaseLost
from backend.runs.queries import Query
from backend.runs.spec import BadRun, RunSpec
from backend.runs.store import open_run_store
from tests.backend.runs.claiming import begin_next

ROOT = Path(__file__).parents[3]
DOG, CAT = Query("the dog", "Dog"), Query("the cat")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'ris.sqlite3'}"
    return request.getfixturevalue("migrated_postgres_url")


def make_run(run_store, tasks=3, state="running", **spec):
    run = run_store.add_run(RunSpec(3, expressions=("the dog",), **spec), "v1", state, label_config="<View/>")
    run_store.items.add(run.id, [PlannedItem(task, f"/data/{task}.png", (DOG,)) for task in range(1, tasks + 1)])
    return run


def an_answer() -> Answer:
    mask = {"size": [1, 2], "counts": "02"}
    candidates = [
        {"rank": 1, "score": 0.5, "bbox_xywh": [0.0, 0.0, 0.0, 0.0], "mask": mask, "parts": {"probability": 0.5}}
    ]
    about = {"model_version": "v1", "encode_fp": "fp", "image_sha256": "sha", "height": 1, "width": 2}
    return Answer(
        "the dog", "Dog", "match", **about, candidates=candidates, selected=[0], is_guess=False, is_calibrated=True
    )


def finish(run_store, item):
    return run_store.claims.finish(item, 3, [an_answer()], "sha", "fp", "v1", {"encode_s": 0.5})


def test_tables_are_migrated_as_they_are_used(database_url):
    with closing(open_run_store(database_url)) as run_store, run_store._engine.connect() as db:
        assert compare_metadata(MigrationContext.configure(db), metadata) == []


def test_run_is_what_was_asked_and_is_found_by_id_beginning_and_name(run_store):
    spec = RunSpec(3, expressions=("a", "b"), tasks=(1, 2), name="evening", mode="add", min_score=0.5)
    run = run_store.add_run(spec, "v1")
    assert [run_store.get(key).spec for key in (run.id, run.id[:3], "evening")] == [spec] * 3
    for nothing in ("", "morning", "%"):
        with pytest.raises(BadRun, match="no run"):
            run_store.get(nothing)


def test_items_are_added_once_and_claimed_once_in_order(run_store):
    run = make_run(run_store)
    assert run_store.items.add(run.id, [PlannedItem(1, "x", ()), PlannedItem(9, "y", (DOG, CAT))]) == 1
    claimed = [begin_next(run_store, run.id, "w") for _ in range(5)]
    assert [one and (one.task, one.image, one.attempt) for one in claimed] == [
        (1, "/data/1.png", 1),
        (2, "/data/2.png", 1),
        (3, "/data/3.png", 1),
        (9, "y", 1),
        None,
    ]
    assert claimed[3].queries == (DOG, CAT)


@pytest.mark.parametrize("state", ["planning", "paused", "cancelling", "done"])
def test_nothing_is_claimed_of_a_run_that_rests(run_store, state):
    assert begin_next(run_store, make_run(run_store, state=state).id, "w") is None


def test_answer_is_kept_until_it_is_written(run_store):
    run = make_run(run_store, 1)
    assert finish(run_store, begin_next(run_store, run.id, "w"))
    fence = run_store.leases.take(run.id, "s")
    [item] = run_store.writes.take_ready(run.id, fence, 10)
    assert (item.state, item.answers) == ("writing", (an_answer(),))
    assert run_store.writes.move(run.id, fence, [1], "done") == 1
    assert run_store.counts.count_written(3, "v1") == 1
    assert run_store.counts.stage_seconds() == {"encode": 0.5}
    assert not run_store.items.has_open(run.id)


def test_image_that_cannot_be_had_is_tried_later_and_not_for_ever(run_store):
    run = make_run(run_store, 1)
    for _ in range(MAX_DEFERRALS):
        late = begin_next(run_store, run.id, "w")
        assert late.attempt == 1
        run_store.claims.defer(late, "down", -1.0)
    assert run_store.counts.by_state(run.id) == {"failed": 1}
    held = make_run(run_store, 1)
    run_store.claims.defer(begin_next(run_store, held.id, "w"), "down", 60.0)
    assert begin_next(run_store, held.id, "w") is None


def test_workers_that_die_over_an_item_are_counted(run_store):
    run = make_run(run_store, 1)
    for i in range(MAX_ATTEMPTS):
        begin_next(run_store, run.id, f"w{i}")
        assert run_store.claims.take_from(run.id, 1, "another") is None
        state = run_store.claims.take_from(run.id, 1, f"w{i}")
    assert state == "failed"
    [failure] = run_store.counts.failures(run.id)
    assert failure.reason == "worker died"


def test_items_are_claimed_several_at_once_and_go_back_as_they_were(run_store):
    run = make_run(run_store, 5)
    claimed = run_store.claims.claim(run.id, "w", 3)
    assert ([one.task for one in claimed], [one.attempt for one in claimed]) == ([1, 2, 3], [0, 0, 0])
    assert [one.task for one in run_store.claims.claim(run.id, "other", 8)] == [4, 5]
    begun = run_store.claims.begin(claimed[0])
    assert (begun.attempt, run_store.claims.begin(claimed[0])) == (1, None)
    run_store.claims.release(claimed)
    assert run_store.counts.by_state(run.id) == {"new": 3, "running": 2}
    assert not finish(run_store, begun)
    assert [one.attempt for one in run_store.claims.claim(run.id, "w", 8)] == [0, 0, 0]


def test_release_leaves_what_was_given_to_another_worker(run_store):
    run = make_run(run_store, 1)
    claimed = run_store.claims.claim(run.id, "w", 1)
    assert run_store.claims.take_from(run.id, 1, "w") == "new"
    taken = begin_next(run_store, run.id, "other")
    run_store.claims.release(claimed)
    assert (run_store.claims.begin(claimed[0]), finish(run_store, taken)) == (None, True)


def test_worker_that_dies_over_items_that_it_only_claimed_costs_them_nothing(run_store):
    run = make_run(run_store, 1)
    for _ in range(MAX_ATTEMPTS + 1):
        run_store.claims.claim(run.id, "w", 8)
        assert run_store.claims.take_from(run.id, 1, "w") == "new"
    assert begin_next(run_store, run.id, "w").attempt == 1


@pytest.mark.parametrize("state", ["paused", "cancelling"])
def test_item_that_was_claimed_is_not_begun_when_its_run_rests(run_store, state):
    run = make_run(run_store, 1)
    [claimed] = run_store.claims.claim(run.id, "w", 8)
    run_store.change(run.id, state, None)
    assert run_store.claims.begin(claimed) is None


def test_lease_has_one_holder_and_every_change_of_hands_a_fence(run_store, monkeypatch):
    run = make_run(run_store)
    first = run_store.leases.take(run.id, "a")
    assert run_store.leases.take(run.id, "b") is None
    assert run_store.leases.take(run.id, "a") == first
    monkeypatch.setattr("backend.runs.leases.LEASE_S", -1.0)
    run_store.leases.renew(run.id, first)
    second = run_store.leases.take(run.id, "b")
    assert second > first
    with pytest.raises(LeaseLost):
        run_store.leases.renew(run.id, first)
    assert run_store.writes.move(run.id, first, [1], "done") == 0
    assert run_store.writes.take_ready(run.id, first, 1) == []


def test_failed_items_are_planned_again_by_the_steward_alone(run_store):
    run = make_run(run_store, 2)
    fence = run_store.leases.take(run.id, "me")
    for _ in range(2):
        run_store.claims.fail(begin_next(run_store, run.id, "w"), "lost", "image unreachable")
    assert run_store.items.retry(run.id) == 2
    assert begin_next(run_store, run.id, "w") is None
    now = [PlannedItem(1, "/data/new.png", (CAT,)), PlannedItem(2, "", (), error="The task has no image address.")]
    assert run_store.items.plan_again(run.id, fence - 1, now) == 0
    assert run_store.items.plan_again(run.id, fence, now) == 2
    begun = begin_next(run_store, run.id, "w")
    assert (begun.task, begun.image, begun.queries, begun.attempt) == (1, "/data/new.png", (CAT,), 1)
    assert [one.reason for one in run_store.counts.failures(run.id)] == ["task data"]


def test_failed_replacement_is_tried_again_although_what_it_replaces_stands(run_store):
    former = make_run(run_store, 1)
    run_store.leases.take(former.id, "me")
    finish(run_store, begin_next(run_store, former.id, "w"))
    later = run_store.add_run(RunSpec(3, expressions=("the cat",), mode="replace"), "v1", "running")
    run_store.items.add(later.id, [PlannedItem(1, "/data/1.png", (CAT,), replaces=former.id)])
    run_store.claims.fail(begin_next(run_store, later.id, "w"), "lost", "image unreachable")
    assert run_store.items.retry(later.id) == 1


def test_known_tasks_are_those_of_runs_that_stand(run_store):
    run, other = make_run(run_store, 2), make_run(run_store, 0)
    assert set(run_store.items.list_answered(3, "v1", [1, 2, 7], but=other.id)) == {1, 2}
    assert run_store.items.list_answered(3, "v2", [1], but=other.id) == {}
    assert run_store.items.list_answered(4, "v1", [1], but=other.id) == {}
    assert run_store.items.list_answered(3, "v1", [1], but=run.id) == {}
    run_store.items.cancel(run.id)
    assert run_store.items.list_answered(3, "v1", [1], but=other.id) == {}


def test_pauses_grow_and_end_with_the_first_success(run_store):
    run = make_run(run_store)
    pauses = [run_store.hold_writing(run.id, "down", 5.0, 60.0) for _ in range(6)]
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert run_store.get(run.id).note == "down"
    run_store.pause_writing(run.id, 0.0)
    assert (run_store.get(run.id).push_strikes, run_store.get(run.id).note) == (0, None)


def test_several_workers_see_one_outage_once(run_store):
    run = make_run(run_store)
    run_store.hold(run.id, "down", 5.0, 60.0)
    run_store.hold(run.id, "down", 5.0, 60.0)
    assert run_store.get(run.id).strikes == 1


def test_counts_are_told_apart_for_metrics(run_store):
    run = make_run(run_store, 2)
    run_store.claims.fail(begin_next(run_store, run.id, "w"), "damaged", "image unreadable")
    assert run_store.counts.count_all() == {("new", ""): 1, ("failed", "image unreadable"): 1}
    assert run_store.counts.count_runs() == {"running": 1}
    assert run_store.counts.answered_since(run.id, time.time() - 60) == 1


HAMMER = """
import sys
from backend.runs.store import open_run_store
from tests.backend.runs.claiming import begin_next
from tests.backend.runs.test_store import an_answer
run_store, run, worker = open_run_store(sys.argv[1]), sys.argv[2], sys.argv[3]
mine = 0
while item := begin_next(run_store, run, worker):
    mine += run_store.claims.finish(item, 3, [an_answer()], worker, "fp", "v", {})
print(mine)
"""


@pytest.mark.slow
def test_processes_at_once_claim_every_item_once_and_lose_no_update(run_store, database_url):
    run = make_run(run_store, 400)
    command = [sys.executable, "-c", HAMMER, database_url, run.id]
    processes = [subprocess.Popen([*command, f"w{i}"], cwd=ROOT, stdout=subprocess.PIPE, text=True) for i in range(3)]
    numbers = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert sum(numbers) == 400
    assert run_store.counts.by_state(run.id) == {"ready": 400}
    with run_store._transactions.reading() as db:
        assert db.scalar(sa.select(sa.func.max(item_table.c.attempts))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_open_a_fresh_database_migrate_it_once(kind, request, tmp_path):
    database_url = f"sqlite:///{tmp_path / 'fresh'}" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    command = [
        sys.executable,
        "-c",
        "import sys; from backend.db.request_store import open_request_store; open_request_store(sys.argv[1])",
    ]
    processes = [subprocess.Popen([*command, database_url], cwd=ROOT) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    with closing(open_request_store(database_url)) as store, store._engine.connect() as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(run_table)) == 0
