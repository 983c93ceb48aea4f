"""Answers are copied into their new form in batches: a process that dies on the way loses nothing and doubles nothing."""

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from backend.base.errors import Unreachable
from backend.db import carry_over, database
from backend.db.counters import find_drift
from backend.db.database import MIGRATIONS, open_database
from backend.db.tables import answer

ITEMS, REQUESTS = 23, 11
CANDIDATE = {
    "rank": 1,
    "score": 0.5,
    "bbox_xywh": [0.0, 0.0, 2.0, 1.0],
    "mask": {"size": [1, 2], "counts": "02"},
    "parts": {"look": 1.0},
}


@pytest.fixture(params=["sqlite", "postgresql"])
def former_url(request, tmp_path) -> str:
    """A database of version 0.2 with answers of annotators and of a run."""
    sqlite = f"sqlite:///{tmp_path / 'ris.sqlite3'}"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as db:
        config.attributes["connection"] = db
        command.upgrade(config, "0011")
        _fill(db)
        db.commit()
    return url


def _fill(db: sa.Connection) -> None:
    candidates = json.dumps([CANDIDATE])
    for number in range(1, REQUESTS + 1):
        db.exec_driver_sql(
            "INSERT INTO request (id, created_at, expires_at, kind, project, task, body, state, attempts) "
            f"VALUES ('r{number}', 1, 2, 'interactive', 3, '{number}', '{{}}', 'done', 1)"
        )
        db.exec_driver_sql(
            "INSERT INTO answer (id, request_id, created_at, project, task, expression, label, decision, model_version, encode_fp, "
            "image_sha256, height, width, candidates, selected) VALUES "
            f"({number}, 'r{number}', 1, 3, '{number}', 'the dog', 'Dog', 'match', 'v', 'fp', 'sha', 1, 2, '{candidates}', '[0]')"
        )
        db.exec_driver_sql(f"INSERT INTO region VALUES ('region{number}', {number}, 1, 'brush', 'Dog', '{number}')")
    db.exec_driver_sql(
        "INSERT INTO run (id, created_at, project, state, spec, does_push, model_version, planned_to, skipped, hold_until, strikes, "
        "push_at, push_strikes, fence, lease_until, is_told) VALUES ('run', 1, 3, 'done', '{}', true, 'v9', 0, 0, 0, 0, 0, 0, 1, 0, true)"
    )
    answers = [
        {
            "expression": "a",
            "label": "Dog",
            "is_guess": True,
            "decision": "match",
            "selected": [0],
            "candidates": [CANDIDATE],
        }
    ]
    answers.append({**answers[0], "expression": "b", "selected": [], "others": [0], "repeats": 0})
    for task in range(1, ITEMS + 1):
        db.exec_driver_sql(
            "INSERT INTO item (run, task, image, queries, state, attempts, deferrals, retry_at, encode_fp, image_sha256, answers) "
            f"VALUES ('run', {task}, 'x', '[]', 'done', 1, 0, 0, 'fp', 'sha', '{json.dumps(answers)}')"
        )


def read_all(url: str) -> list[tuple]:
    engine = open_database(url)
    with engine.connect() as db:
        assert find_drift(db) == {}
        assert db.scalar(sa.text("SELECT count(*) FROM region")) == REQUESTS
        columns = (
            answer.c.run,
            answer.c.request_id,
            answer.c.task,
            answer.c.query,
            answer.c.expression,
            answer.c.repeats,
        )
        rows = [tuple(row) for row in db.execute(sa.select(*columns))]
        assert all(one == [CANDIDATE] for one in db.scalars(sa.select(answer.c.candidates)))
    engine.dispose()
    return rows


def expected() -> set[tuple]:
    interactive = {(None, f"r{number}", str(number), None, "the dog", None) for number in range(1, REQUESTS + 1)}
    bulk = {("run", None, str(task), 0, "a", None) for task in range(1, ITEMS + 1)}
    return interactive | bulk | {("run", None, str(task), 1, "b", 0) for task in range(1, ITEMS + 1)}


def test_all_answers_are_in_one_table(former_url):
    rows = read_all(former_url)
    assert len(rows) == len(set(rows)) == REQUESTS + 2 * ITEMS
    assert set(rows) == expected()


class Killed(BaseException):
    """As SIGKILL: nothing cleans up after it."""


@pytest.fixture(params=range(8))
def dying(request, monkeypatch) -> Iterator[None]:
    """The process dies in the middle of the n-th batch, before it is committed or after."""
    monkeypatch.setattr(carry_over, "BATCH", 5)
    number, is_before = divmod(request.param, 2)
    left = [number * 2 + 1]
    copies = {name: getattr(carry_over, name) for name in ("_copy_answers", "_copy_items")}

    def die(name):
        def copy(engine, after):
            left[0] -= 1
            if left[0] == 0 and is_before:
                raise Killed
            keys = copies[name](engine, after)
            if left[0] == 0:
                raise Killed
            return keys

        return copy

    with monkeypatch.context() as patch:
        for name in copies:
            patch.setattr(carry_over, name, die(name))
        yield


def test_a_copy_that_was_cut_short_goes_on_and_doubles_nothing(former_url, dying, monkeypatch):
    with pytest.raises(Killed):
        open_database(former_url)
    monkeypatch.undo()
    rows = read_all(former_url)
    assert len(rows) == REQUESTS + 2 * ITEMS
    assert set(rows) == expected()


@pytest.mark.parametrize("former_url", ["sqlite"], indirect=True)
def test_a_disk_that_may_become_full_is_refused_before_anything_is_copied(former_url, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(database, "copy_before_migration", lambda *_: None)  # which looks at the disk first
        patch.setattr(carry_over.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
        with pytest.raises(Unreachable, match="MiB of free disk space"):
            open_database(former_url)
    assert set(read_all(former_url)) == expected()
