"""The ledger on SQLite and on PostgreSQL: what several processes do at once adds up."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from backend.db.request_store import open_store
from backend.db.run_tables import item as item_table
from backend.db.run_tables import run as run_table
from backend.db.tables import metadata
from backend.runs.item import MAX_ATTEMPTS, MAX_DEFERRALS, Planned
from backend.runs.queries import Query
from backend.runs.spec import BadRun, RunSpec
from backend.runs.store import LeaseLost, open_ledger

ROOT = Path(__file__).parents[3]
DOG, CAT = Query("the dog", "Dog"), Query("the cat")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'ris.sqlite3'}"
    return request.getfixturevalue("postgres_url")


def make_run(ledger, tasks=3, state="running", **spec):
    run = ledger.add_run(RunSpec(3, expressions=("the dog",), **spec), "v1", state, label_config="<View/>")
    ledger.items.add(run.id, [Planned(task, f"/data/{task}.png", (DOG,)) for task in range(1, tasks + 1)])
    return run


def finish(ledger, item):
    return ledger.items.finish(item, [{"selected": []}], "sha", "fp", "v1", {"encode_s": 0.5})


def test_tables_are_migrated_as_they_are_used(database_url):
    ledger = open_ledger(database_url)
    with ledger._engine.connect() as db:
        assert compare_metadata(MigrationContext.configure(db), metadata) == []


def test_run_is_what_was_asked_and_is_found_by_id_beginning_and_name(ledger):
    spec = RunSpec(3, expressions=("a", "b"), tasks=(1, 2), name="evening", mode="add", min_score=0.5)
    run = ledger.add_run(spec, "v1")
    assert [ledger.get(key).spec for key in (run.id, run.id[:3], "evening")] == [spec] * 3
    for nothing in ("", "morning", "%"):
        with pytest.raises(BadRun, match="no run"):
            ledger.get(nothing)


def test_items_are_added_once_and_claimed_once_in_order(ledger):
    run = make_run(ledger)
    assert ledger.items.add(run.id, [Planned(1, "x", ()), Planned(9, "y", (DOG, CAT))]) == 1
    claimed = [ledger.items.claim(run.id, "w") for _ in range(5)]
    assert [one and (one.task, one.image, one.attempt) for one in claimed] == [
        (1, "/data/1.png", 1),
        (2, "/data/2.png", 1),
        (3, "/data/3.png", 1),
        (9, "y", 1),
        None,
    ]
    assert claimed[3].queries == (DOG, CAT)


@pytest.mark.parametrize("state", ["planning", "paused", "cancelling", "done"])
def test_nothing_is_claimed_of_a_run_that_rests(ledger, state):
    assert ledger.items.claim(make_run(ledger, state=state).id, "w") is None


def test_answer_is_kept_until_it_is_written(ledger):
    run = make_run(ledger, 1)
    assert finish(ledger, ledger.items.claim(run.id, "w"))
    fence = ledger.take_lease(run.id, "s")
    [item] = ledger.items.take_ready(run.id, fence, 10)
    assert (item.state, item.answers) == ("writing", ({"selected": []},))
    assert ledger.items.move(run.id, fence, [1], "done") == 1
    assert ledger.tallies.count_written(3, "v1") == 1
    assert ledger.tallies.stage_seconds() == {"encode": 0.5}
    assert not ledger.items.has_open(run.id)


def test_image_that_cannot_be_had_is_tried_later_and_not_for_ever(ledger):
    run = make_run(ledger, 1)
    for _ in range(MAX_DEFERRALS):
        late = ledger.items.claim(run.id, "w")
        assert late.attempt == 1
        ledger.items.defer(late, "down", -1.0)
    assert ledger.tallies.counts(run.id) == {"failed": 1}
    held = make_run(ledger, 1)
    ledger.items.defer(ledger.items.claim(held.id, "w"), "down", 60.0)
    assert ledger.items.claim(held.id, "w") is None


def test_workers_that_die_over_an_item_are_counted(ledger):
    run = make_run(ledger, 1)
    for i in range(MAX_ATTEMPTS):
        ledger.items.claim(run.id, f"w{i}")
        assert ledger.items.take_from(run.id, 1, "another") is None
        state = ledger.items.take_from(run.id, 1, f"w{i}")
    assert state == "failed"
    [failure] = ledger.tallies.failures(run.id)
    assert failure.reason == "worker died"


def test_lease_has_one_holder_and_every_change_of_hands_a_fence(ledger, monkeypatch):
    run = make_run(ledger)
    first = ledger.take_lease(run.id, "a")
    assert ledger.take_lease(run.id, "b") is None
    assert ledger.take_lease(run.id, "a") == first
    monkeypatch.setattr("backend.runs.store.LEASE_S", -1.0)
    ledger.renew(run.id, first)
    second = ledger.take_lease(run.id, "b")
    assert second > first
    with pytest.raises(LeaseLost):
        ledger.renew(run.id, first)
    assert ledger.items.move(run.id, first, [1], "done") == 0
    assert ledger.items.take_ready(run.id, first, 1) == []


def test_failed_items_are_planned_again_by_the_steward_alone(ledger):
    run = make_run(ledger, 2)
    fence = ledger.take_lease(run.id, "me")
    for _ in range(2):
        ledger.items.fail(ledger.items.claim(run.id, "w"), "lost", "image unreachable")
    assert ledger.items.retry(run.id) == 2
    assert ledger.items.claim(run.id, "w") is None
    now = [Planned(1, "/data/new.png", (CAT,)), Planned(2, "", (), error="The task has no image address.")]
    assert ledger.items.plan_again(run.id, fence - 1, now) == 0
    assert ledger.items.plan_again(run.id, fence, now) == 2
    begun = ledger.items.claim(run.id, "w")
    assert (begun.task, begun.image, begun.queries, begun.attempt) == (1, "/data/new.png", (CAT,), 1)
    assert [one.reason for one in ledger.tallies.failures(run.id)] == ["task data"]


def test_failed_replacement_is_tried_again_although_what_it_replaces_stands(ledger):
    former = make_run(ledger, 1)
    ledger.take_lease(former.id, "me")
    finish(ledger, ledger.items.claim(former.id, "w"))
    later = ledger.add_run(RunSpec(3, expressions=("the cat",), mode="replace"), "v1", "running")
    ledger.items.add(later.id, [Planned(1, "/data/1.png", (CAT,), replaces=former.id)])
    ledger.items.fail(ledger.items.claim(later.id, "w"), "lost", "image unreachable")
    assert ledger.items.retry(later.id) == 1


def test_known_tasks_are_those_of_runs_that_stand(ledger):
    run, other = make_run(ledger, 2), make_run(ledger, 0)
    assert set(ledger.items.known(3, "v1", [1, 2, 7], but=other.id)) == {1, 2}
    assert ledger.items.known(3, "v2", [1], but=other.id) == {}
    assert ledger.items.known(4, "v1", [1], but=other.id) == {}
    assert ledger.items.known(3, "v1", [1], but=run.id) == {}
    ledger.items.cancel(run.id)
    assert ledger.items.known(3, "v1", [1], but=other.id) == {}


def test_pauses_grow_and_end_with_the_first_success(ledger):
    run = make_run(ledger)
    pauses = [ledger.hold_writing(run.id, "down", 5.0, 60.0) for _ in range(6)]
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert ledger.get(run.id).note == "down"
    ledger.rest(run.id, 0.0)
    assert (ledger.get(run.id).push_strikes, ledger.get(run.id).note) == (0, None)


def test_several_workers_see_one_outage_once(ledger):
    run = make_run(ledger)
    ledger.hold(run.id, "down", 5.0, 60.0)
    ledger.hold(run.id, "down", 5.0, 60.0)
    assert ledger.get(run.id).strikes == 1


def test_counts_are_told_apart_for_metrics(ledger):
    run = make_run(ledger, 2)
    ledger.items.fail(ledger.items.claim(run.id, "w"), "damaged", "image unreadable")
    assert ledger.tallies.count_all() == {("new", ""): 1, ("failed", "image unreadable"): 1}
    assert ledger.tallies.count_runs() == {"running": 1}
    assert ledger.tallies.answered_since(run.id, time.time() - 60) == 1


HAMMER = """
import sys
from backend.runs.store import open_ledger
ledger, run, worker = open_ledger(sys.argv[1]), sys.argv[2], sys.argv[3]
mine = 0
while item := ledger.items.claim(run, worker):
    mine += ledger.items.finish(item, [{"selected": []}], worker, "fp", "v", {})
print(mine)
"""


@pytest.mark.slow
def test_processes_at_once_claim_every_item_once_and_lose_no_update(ledger, database_url):
    run = make_run(ledger, 400)
    command = [sys.executable, "-c", HAMMER, database_url, run.id]
    processes = [subprocess.Popen([*command, f"w{i}"], cwd=ROOT, stdout=subprocess.PIPE, text=True) for i in range(3)]
    numbers = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert sum(numbers) == 400
    assert ledger.tallies.counts(run.id) == {"ready": 400}
    with ledger._reading() as db:
        assert db.scalar(sa.select(sa.func.max(item_table.c.attempts))) == 1


@pytest.mark.slow
def test_processes_that_open_a_fresh_database_migrate_it_once(database_url):
    command = [
        sys.executable,
        "-c",
        "import sys; from backend.db.request_store import open_store; open_store(sys.argv[1])",
    ]
    processes = [subprocess.Popen([*command, database_url], cwd=ROOT) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    with open_store(database_url)._engine.connect() as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(run_table)) == 0
