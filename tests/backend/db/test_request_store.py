import multiprocessing
import os
import sqlite3
import stat
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.base.errors import BadSettings, Unreachable
from backend.db import database
from backend.db import request_store as module
from backend.db.project_store import ProjectConnection
from backend.db.records import Answer, Region
from backend.db.request_store import RequestCounts, RequestStore, open_request_store
from backend.label_studio.messages import Message

BODY = {
    "data": {"image": "/a.png"},
    "label_config": "<View/>",
    "hostname": None,
    "expressions": ["the dog"],
    "extra_params": {},
}


def add(store: RequestStore, **fields) -> str:
    given = {"kind": "interactive", "task": "5", "body": BODY, "lifetime_s": 60, "project": 1, "user": 7, **fields}
    return store.add_request(**given)


def an_answer(*region_ids: str) -> Answer:
    candidates = [
        {"rank": 1, "score": 0.5, "bbox_xywh": [0, 0, 1, 1], "mask": {"size": [1, 1], "counts": "01"}, "parts": {}}
    ]
    handed_out = [Region(id, 1, "brush", "Object") for id in region_ids]
    return Answer("the dog", "Object", "match", "v1", "fp", "sha", 1, 1, candidates, [0], handed_out)


def count(store: RequestStore, table: sa.Table) -> int:
    with store._engine.connect() as db:
        return db.scalar(sa.select(sa.func.count()).select_from(table))


def test_request_comes_back_as_it_was_given(store):
    request = store.get_request(add(store, prompt_id="p1"))
    assert (request.kind, request.project, request.task, request.user, request.prompt_id) == (
        "interactive",
        1,
        "5",
        7,
        "p1",
    )
    assert (request.body, request.state, request.answer, request.attempts) == (BODY, "queued", None, 0)
    assert request.expires_at == pytest.approx(request.created_at + 60)


def test_unknown_request_is_none(store):
    assert store.get_request("nobody") is None
    assert not store.start_request("nobody")


def test_finished_request_holds_its_answer_and_what_was_handed_out(store):
    request_id = add(store)
    assert store.start_request(request_id)
    assert store.finish_request(request_id, {"result": []}, [an_answer("aaaaaaaaaa", "bbbbbbbbbb")], error="half of it")
    request = store.get_request(request_id)
    assert (request.state, request.answer, request.error) == ("done", {"result": []}, "half of it")
    assert request.finished_at >= request.created_at
    with store._engine.connect() as db:
        answer = db.execute(sa.select(module.answer)).mappings().one()
        regions = db.execute(sa.select(module.region)).mappings().all()
    assert (answer["request_id"], answer["project"], answer["task"], answer["expression"]) == (
        request_id,
        1,
        "5",
        "the dog",
    )
    assert answer["candidates"][0]["mask"] == {"size": [1, 1], "counts": "01"}
    assert {(region["id"], region["answer_id"], region["label"], region["task"]) for region in regions} == {
        ("aaaaaaaaaa", answer["id"], "Object", "5"),
        ("bbbbbbbbbb", answer["id"], "Object", "5"),
    }


def test_second_finisher_records_nothing(store):
    request_id = add(store)
    store.start_request(request_id)
    assert store.finish_request(request_id, {"result": [1]}, [an_answer("aaaaaaaaaa")])
    assert not store.finish_request(request_id, {"result": [2]}, [an_answer("bbbbbbbbbb")])
    assert store.get_request(request_id).answer == {"result": [1]}
    assert count(store, module.region) == 1


def test_region_id_given_out_before_undoes_the_whole_answer(store):
    first, second = add(store), add(store, task="6")
    for request_id in (first, second):
        store.start_request(request_id)
    store.finish_request(first, {}, [an_answer("aaaaaaaaaa")])
    with pytest.raises(sa.exc.IntegrityError):
        store.finish_request(second, {}, [an_answer("aaaaaaaaaa")])
    assert store.get_request(second).state == "running"
    assert count(store, module.answer) == 1


def test_failed_request_keeps_its_reason(store):
    request_id = add(store)
    store.start_request(request_id)
    assert store.fail_request(request_id, "no such image", {"result": []})
    assert not store.fail_request(request_id, "again")
    request = store.get_request(request_id)
    assert (request.state, request.error, request.answer) == ("failed", "no such image", {"result": []})


def test_what_was_told_is_kept_with_the_request(store):
    done, failed = add(store), add(store)
    for request_id in (done, failed):
        store.start_request(request_id)
    store.finish_request(done, {"result": []}, message=Message("nothing_found", "Nothing found for “a”.").to_json())
    store.fail_request(failed, "no such image", message=Message("bad_image", "…").to_json())
    assert store.get_request(done).message == {"kind": "nothing_found", "text": "Nothing found for “a”."}
    assert store.get_request(failed).message == {"kind": "bad_image", "text": "…"}


def test_a_request_that_is_given_up_is_answered_by_nobody(store):
    waiting, running = add(store), add(store)
    store.start_request(running)
    for request_id in (waiting, running):
        assert store.give_up(request_id, "no worker", Message("no_worker", "…").to_json())
        assert not store.give_up(request_id, "again")
        assert not store.start_request(request_id)
        assert not store.finish_request(request_id, {}, [an_answer("aaaaaaaaaa")])
        request = store.get_request(request_id)
        assert (request.state, request.error, request.message["kind"]) == ("expired", "no worker", "no_worker")
    assert count(store, module.region) == 0


def test_a_request_that_is_over_is_not_given_up(store):
    request_id = add(store)
    store.start_request(request_id)
    store.finish_request(request_id, {"result": []})
    assert not store.give_up(request_id, "too late")
    assert store.get_request(request_id).error is None


def test_encoding_was_tried_lately_unless_it_expired(store):
    add(store, kind="ahead", task="1")
    add(store, kind="encode", task="2")
    add(store, kind="interactive", task="3")
    add(store, kind="ahead", task="4", lifetime_s=-1)
    store.expire_overdue()
    assert [store.was_encoded_lately(1, task, 60) for task in "1234"] == [True, True, False, False]
    assert not store.was_encoded_lately(2, "1", 60)
    assert not store.was_encoded_lately(1, "1", 0)


def test_a_database_that_is_locked_is_unreachable(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0)
    locked = open_request_store(f"sqlite:///{tmp_path / 'ris.sqlite3'}")
    other = sqlite3.connect(tmp_path / "ris.sqlite3", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unreachable, match=r"locked.*DATABASE_URL"):
        add(locked)
    other.close()
    assert locked.get_request(add(locked)).state == "queued"


def test_what_could_not_be_written_is_not_shown(store):
    """A traceback in a log would show the statement with its values."""
    token = "".join(("ge", "heim"))
    sa.event.listen(store._engine, "connect", lambda db, _: db.execute("PRAGMA query_only = ON"))
    store._engine.dispose()
    with pytest.raises(Unreachable, match="readonly") as caught:
        store.projects.save_connection(ProjectConnection(1, "http://ls", token, "<View/>"))
    assert token not in "".join(traceback.format_exception(caught.value))


def test_newer_request_supersedes_only_what_waits_for_the_same_task_and_prompt(store):
    """Two annotators on one task, or two tabs of one, have a prompt each."""
    older = [add(store, prompt_id="p"), add(store, prompt_id="p", user=8)]
    others = [
        add(store, prompt_id="p", task="6"),
        add(store, prompt_id="another tab"),
        add(store, prompt_id=None),
        add(store, prompt_id="p", project=2),
        add(store, prompt_id="p", kind="encode"),
    ]
    started = add(store, prompt_id="p")
    store.start_request(started)
    newer = add(store, prompt_id="p")
    assert sorted(store.supersede(1, "5", "p", newer)) == sorted(older)
    assert [store.get_request(id).state for id in older] == ["superseded"] * 2
    assert [store.get_request(id).state for id in (*others, newer)] == ["queued"] * 6
    assert store.get_request(started).state == "running"
    assert not store.start_request(older[0])


def test_request_that_came_earlier_supersedes_nothing_newer(store):
    """Two that arrive together must not give up each other."""
    earlier, later = add(store), add(store)
    assert store.supersede(1, "5", None, earlier) == []
    assert store.supersede(1, "5", None, later) == [earlier]


def test_unknown_project_and_prompt_supersede_themselves(store):
    older, newer = add(store, project=None), add(store, project=None)
    assert store.supersede(None, "5", None, newer) == [older]


def test_expired_request_is_not_started(store):
    request_id = add(store, lifetime_s=-1)
    assert not store.start_request(request_id)
    assert store.get_request(request_id).state == "expired"


def test_request_that_kills_its_workers_is_given_up(store):
    request_id = add(store)
    assert all(store.start_request(request_id) for _ in range(module.MAX_ATTEMPTS))
    assert not store.start_request(request_id)
    request = store.get_request(request_id)
    assert request.state == "failed"
    assert "workers died" in request.error


def test_answer_that_comes_too_late_is_not_recorded_as_handed_out(store):
    """Label Studio was answered without it."""
    request_id = add(store, lifetime_s=0.05)
    assert store.start_request(request_id)
    module.time.sleep(0.1)
    assert not store.finish_request(request_id, {}, [an_answer("aaaaaaaaaa")])
    assert count(store, module.region) == 0
    assert store.expire_overdue() == 1
    assert store.get_request(request_id).state == "expired"


def test_overdue_requests_are_closed(store):
    waiting, overdue, running = add(store), add(store, lifetime_s=0.05), add(store, lifetime_s=0.05)
    store.start_request(running)
    module.time.sleep(0.1)
    assert store.expire_overdue() == 2
    assert [store.get_request(id).state for id in (waiting, overdue, running)] == ["queued", "expired", "expired"]


def test_counts_are_by_kind_state_decision_and_action(store):
    done = add(store)
    add(store, kind="encode")
    store.start_request(done)
    store.finish_request(done, {}, [an_answer("aaaaaaaaaa")])
    store.projects.add_webhook("ANNOTATION_CREATED", 3, "{}")
    assert store.counts() == RequestCounts(
        requests={("interactive", "done"): 1, ("encode", "queued"): 1},
        answers={"match": 1},
        webhooks={"ANNOTATION_CREATED": 1},
        regions=1,
    )


def test_file_and_its_new_folder_are_private(tmp_path):
    file = tmp_path / "state" / "ris.sqlite3"
    open_request_store(f"sqlite:///{file}").projects.add_webhook("x", None, "{}")
    assert stat.S_IMODE(os.stat(file.parent).st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.glob("ris.sqlite3*")} == {0o600}


def test_readable_file_is_made_private(tmp_path):
    file = tmp_path / "ris.sqlite3"
    file.touch(0o644)
    open_request_store(f"sqlite:///{file}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_sqlite_survives_a_crash_and_keeps_references(store):
    with store._engine.connect() as db:
        pragmas = {
            name: db.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}


def _open_and_write(url: str, barrier, writes: int) -> None:
    barrier.wait()
    store = open_request_store(url)
    for i in range(writes):
        store.projects.add_webhook(f"{os.getpid()}", i, "{}")


def test_processes_that_open_a_fresh_file_at_once_all_succeed(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier, url = spawn.Barrier(3), f"sqlite:///{tmp_path / 'new' / 'ris.sqlite3'}"
    processes = [spawn.Process(target=_open_and_write, args=(url, barrier, 30)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(open_request_store(url).counts().webhooks.values()) == [30, 30, 30]


def test_reader_does_not_wait_for_a_writer(store):
    request_id = add(store)
    with store._engine.begin() as db:
        db.execute(sa.update(module.request).values(error="not committed"))
        assert store.get_request(request_id).error is None


def test_unusable_url_names_the_setting():
    with pytest.raises(BadSettings, match="DATABASE_URL"):
        open_request_store("no url at all")


def test_file_that_is_no_database_is_reported(tmp_path):
    file = tmp_path / "ris.sqlite3"
    file.write_bytes(b"not a database, but long enough to be taken for one" * 50)
    with pytest.raises(Unreachable, match=r"ris\.sqlite3"):
        open_request_store(f"sqlite:///{file}")


def test_folder_that_cannot_be_made_is_reported(tmp_path):
    Path(tmp_path / "file").touch()
    with pytest.raises(Unreachable, match="RIS_STATE_DIR"):
        open_request_store(f"sqlite:///{tmp_path / 'file' / 'ris.sqlite3'}")


def test_database_is_readable_by_other_tools(tmp_path, store):
    add(store)
    file = tmp_path / "state" / "ris.sqlite3"
    assert sqlite3.connect(file).execute("SELECT state FROM request").fetchall() == [("queued",)]
