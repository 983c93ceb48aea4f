"""Against a real SQLite."""

import sqlalchemy as sa

from backend.db import project_store
from backend.db.project_store import FetchedImage, ProjectConnection, PromptMemory
from backend.db.tables import webhook


def test_prompt_is_remembered_by_project_task_and_result(store):
    store.projects.save_prompt(1, "5", "p1", ["the dog"])
    store.projects.save_prompt(1, "5", "p1", ["the dog", "the cat"])
    store.projects.save_prompt(None, "5", "p1", ["without a project"])
    assert store.projects.get_prompt(1, "5", "p1") == PromptMemory(("the dog", "the cat"))
    assert store.projects.get_prompt(None, "5", "p1") == PromptMemory(("without a project",))
    assert store.projects.get_prompt(1, "5", "p2") == PromptMemory()


def test_what_was_told_is_remembered_until_the_next_request(store):
    store.projects.save_prompt(1, "5", "p1", ["the dog"], told=["the dog"])
    assert store.projects.get_prompt(1, "5", "p1") == PromptMemory(("the dog",), ("the dog",))
    store.projects.save_prompt(1, "5", "p1", ["the dog", "the cat"])
    assert store.projects.get_prompt(1, "5", "p1").told == ()


def test_connection_is_replaced_by_the_newer_one(store):
    store.projects.save_connection(ProjectConnection(1, "http://old", None, "<View/>"))
    newer = ProjectConnection(1, "http://new", "secret", "<View></View>", {"a": 1})
    store.projects.save_connection(newer)
    assert store.projects.get_connection(1) == newer
    assert store.projects.get_connection(2) is None
    assert store.projects.get_connection(None) is None


def test_token_is_not_shown():
    assert "secret" not in repr(ProjectConnection(1, "http://ls", "secret", "<View/>"))


def test_image_is_known_by_project_and_url_for_a_while(store, monkeypatch):
    store.projects.save_image(1, "/a.png", FetchedImage("old", 1, 1))
    store.projects.save_image(1, "/a.png", FetchedImage("new", 2, 3))
    assert store.projects.get_image(1, "/a.png") == FetchedImage("new", 2, 3)
    assert store.projects.get_image(2, "/a.png") is None
    later = project_store.time.time() + project_store.SOURCE_LIFETIME_S + 1
    monkeypatch.setattr(project_store.time, "time", lambda: later)
    assert store.projects.get_image(1, "/a.png") is None


def test_webhook_is_kept_as_it_came(store):
    body = '{"action": "ANNOTATION_CREATED",  "x": "ü"}'
    webhook_id = store.projects.add_webhook("ANNOTATION_CREATED", 3, body)
    with store._engine.connect() as db:
        row = db.execute(sa.select(webhook)).mappings().one()
    assert (row["id"], row["action"], row["project"], row["body"]) == (webhook_id, "ANNOTATION_CREATED", 3, body)
