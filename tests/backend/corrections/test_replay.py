"""Every recorded webhook, in any order, twice, or lost: the correction store ends the same."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from backend.corrections.reconciler import reconcile
from backend.corrections.store import CorrectionStore, open_correction_store
from backend.db.correction_tables import annotation_deleted, annotation_version, outcome
from backend.db.request_store import open_request_store
from backend.label_studio.client import LabelStudioClient
from tests.backend.corrections.fake_tasks import FakeTasks
from tests.backend.corrections.made import RECORDED, recorded

EVENTS = [recorded(name) for name in RECORDED]
PROJECT = 1


def predictions() -> dict[int, dict[str, Any]]:
    """What the recorded annotations began with, as Label Studio has it."""
    first, bulk = recorded("annotation_created")["annotation"], recorded("annotations_created_bulk")["annotation"]
    kept = [result for result in first["result"] if result.get("origin") == "prediction"]
    made = {first["parent_prediction"]: (first["task"], kept)}
    made |= {one["parent_prediction"]: (one["task"], one["result"]) for one in bulk}
    return {
        id: {"id": id, "task": task, "result": result, "model_version": "v", "created_at": "2026-11-20T09:05:00Z"}
        for id, (task, result) in made.items()
    }


def contents(correction_store: CorrectionStore) -> dict[str, list[Any]]:
    """Everything in the correction store, without row numbers and sources."""
    shown = [c for c in outcome.c if c.name not in ("id", "version_id")]
    own = [c for c in annotation_version.c if c.name not in ("id", "source", "seen_at", "task_data")]
    with correction_store.reading() as db:
        versions = db.execute(sa.select(*own)).all()
        joined = sa.select(annotation_version.c.annotation, annotation_version.c.updated_at, *shown)
        outcomes = db.execute(joined.join(outcome, outcome.c.version_id == annotation_version.c.id)).all()
        deleted = db.execute(sa.select(annotation_deleted.c.annotation)).all()
    return {
        name: sorted(map(repr, rows)) for name, rows in locals().items() if name in ("versions", "outcomes", "deleted")
    }


class Life:
    """A backend, and a Label Studio whose webhooks may get lost on the way to it."""

    def __init__(self, folder, serve) -> None:
        url = f"sqlite:///{folder / 'ris.sqlite3'}"
        self.store, self.correction_store = open_request_store(url), open_correction_store(url)
        self.studio = FakeTasks(PROJECT)
        self.studio.predictions = predictions()
        self.api = LabelStudioClient(serve(self.studio).url, "token")

    def send(self, events: Sequence[dict[str, Any]]) -> None:
        for body in events:
            self.store.projects.add_webhook(body["action"], PROJECT, json.dumps(body))
            self.correction_store.read_events()

    def poll(self) -> None:
        reconcile(self.api, self.correction_store, PROJECT, is_thorough=True)


@pytest.fixture
def live(tmp_path, serve):
    """Makes lives."""
    lives: list[Life] = []

    def begin() -> Life:
        folder = tmp_path / str(len(lives))
        folder.mkdir()
        lives.append(Life(folder, serve))
        return lives[-1]

    yield begin
    for life in lives:
        life.store.close()
        life.correction_store.close()


@pytest.fixture
def expected(live) -> dict[str, list[Any]]:
    life = live()
    for body in EVENTS:
        life.studio.happen(body)
        life.send([body])
    life.poll()
    return contents(life.correction_store)


def test_the_recorded_webhooks_make_these_outcomes(live, expected):
    life = live()
    for body in EVENTS:
        life.studio.happen(body)
    life.send(EVENTS)
    life.poll()
    with life.correction_store.reading() as db:
        joined = sa.select(annotation_version.c.annotation, outcome.c.region, outcome.c.outcome)
        rows = db.execute(
            joined.join(outcome, outcome.c.version_id == annotation_version.c.id).order_by(
                annotation_version.c.annotation, annotation_version.c.updated_at, outcome.c.region
            )
        ).all()
    assert [tuple(row) for row in rows] == [
        (1, "396787048e", "accepted"),
        (1, "9c9a2a9d72", "accepted"),
        (1, "c24e34a4da", "missed"),  # the recording's own answers are not in this store
        (1, "396787048e", "accepted"),
        (1, "9c9a2a9d72", "edited"),
        (1, "c24e34a4da", "missed"),
        (3, "4fb3c3dc65", "accepted"),
        (3, "55275347d9", "accepted"),
        (4, "213e29132b", "accepted"),
        (4, "2a38c6e855", "accepted"),
    ]
    assert len(expected["deleted"]) == 3


@pytest.mark.parametrize("order", ["doubled", "backwards", "shuffled 1", "shuffled 2", "shuffled 3"])
def test_neither_order_nor_repetition_matters(live, expected, order):
    events = [*EVENTS, *EVENTS] if order == "doubled" else EVENTS[::-1] if order == "backwards" else list(EVENTS)
    if order.startswith("shuffled"):
        random.Random(order).shuffle(events)
    life = live()
    for body in EVENTS:
        life.studio.happen(body)
    life.send(events)
    life.poll()
    assert contents(life.correction_store) == expected


@pytest.mark.parametrize("seed", range(4))
def test_a_third_that_is_lost_is_fetched(live, expected, seed):
    lost = set(random.Random(seed).sample(range(len(EVENTS)), len(EVENTS) // 3))
    life = live()
    for number, body in enumerate(EVENTS):
        life.studio.happen(body)
        if number not in lost:
            life.send([body])
        life.poll()
    assert contents(life.correction_store) == expected


def test_without_any_webhook_the_store_ends_the_same(live, expected):
    life = live()
    for body in EVENTS:
        life.studio.happen(body)
        life.poll()
    assert contents(life.correction_store) == expected
