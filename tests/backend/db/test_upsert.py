"""The same statements on SQLite and PostgreSQL."""

import pytest
import sqlalchemy as sa

from backend.db.database import open_database
from backend.db.tables import prompt
from backend.db.upsert import insert_if_absent, upsert


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request, tmp_path):
    url = f"sqlite:///{tmp_path}/ris.sqlite3" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = open_database(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def row(task: str, *texts: str) -> dict:
    return {"project": 1, "task": task, "prompt_id": "p", "texts": list(texts), "updated_at": 1.0}


def read(db: sa.Connection) -> dict[str, list[str]]:
    return {one.task: one.texts for one in db.execute(sa.select(prompt.c.task, prompt.c.texts))}


def test_an_upsert_replaces_the_row_of_the_same_key_and_no_other(db):
    for one in (row("5", "the dog"), row("6", "the cat"), row("5", "the horse")):
        upsert(db, prompt, one)
    assert read(db) == {"5": ["the horse"], "6": ["the cat"]}


def test_an_insert_if_absent_keeps_the_row_that_is_there_and_returns_the_new_keys(db):
    upsert(db, prompt, row("5", "the dog"))
    statement = insert_if_absent(db.dialect.name, prompt).values([row("5", "the horse"), row("6", "the cat")])
    assert db.execute(statement).all() == [(1, "6", "p")]
    assert read(db) == {"5": ["the dog"], "6": ["the cat"]}
