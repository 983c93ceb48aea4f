"""A store that an earlier bug damaged is repaired: it marked every annotation as deleted that was not listed."""

import json

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from backend.corrections.judging import judge_tasks
from backend.corrections.queries import read_corrections
from backend.corrections.reconciler import reconcile
from backend.corrections.store import CorrectionStore, open_correction_store
from backend.db.correction_tables import annotation_deleted, annotation_version, to_judge
from backend.db.database import MIGRATIONS
from backend.label_studio.annotations import read_event
from backend.label_studio.client import LabelStudioClient
from tests.backend.corrections.fake_tasks import FakeTasks
from tests.backend.corrections.made import (
    PROJECT,
    START,
    annotation,
    box,
    brush,
    clock,
    deletion,
    event,
    hand_out,
    rle,
    send,
)

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)

COPY = brush("copy", box(20, 0), "the box", origin="prediction")
SAVED = (
    annotation(1, 5, [brush("a", box(0, 0), "the box")]),
    annotation(2, 5, [brush("b", box(0, 15))], completed_by=2),
    annotation(3, 6, [brush("c", box(0, 15))]),
    annotation(4, 7, [COPY], parent_prediction=9),
)


@pytest.fixture
def studio() -> FakeTasks:
    """Annotation 2 was deleted meanwhile, and nobody was told."""
    made = FakeTasks(PROJECT)
    for one in SAVED:
        made.happen(json.loads(event(one)))
    made.tasks[5]["annotations"] = [SAVED[0]]
    return made


@pytest.fixture
def spoilt(store, correction_store) -> str:
    """The address of a database as the version before left it."""
    hand_out(store, 5, [("a", 1)], [rle(0, 0)], user=1)
    hand_out(store, 7, [("bulk", 1)], [rle(20, 0)], kind="open", at=10)
    send(store, *(event(one) for one in SAVED), event(annotation(8, 5, [], completed_by=2)), deletion(8))
    correction_store.read_events()
    config, engine = Config(), store._engine
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as db:
        config.attributes["connection"] = db
        command.downgrade(config, "0008")
        for one in SAVED:
            db.execute(sa.text(f"INSERT INTO annotation_deleted VALUES ({one['id']}, {PROJECT}, 'api', 1)"))
        db.execute(sa.text("UPDATE annotation_deleted SET project = NULL WHERE source = 'webhook'"))
        db.execute(sa.text(f"INSERT INTO poll VALUES ({PROJECT}, '{clock(5000)}')"))
        judged_twice = "INSERT INTO outcome (version_id, region, outcome, offered_by, is_relabelled, is_reworded, label, model_version) "
        judged_twice += (
            "SELECT id, {}, {}, 'bulk', {false}, {false}, 'Object', {} FROM annotation_version WHERE annotation = 4"
        )
        false = "0" if db.dialect.name == "sqlite" else "false"
        db.execute(
            sa.text("DELETE FROM outcome WHERE version_id IN (SELECT id FROM annotation_version WHERE annotation = 4)")
        )
        db.execute(sa.text(judged_twice.format("'copy'", "'accepted'", "''", false=false)))
        db.execute(sa.text(judged_twice.format("'bulk'", "'rejected'", "'v1'", false=false)))
        db.commit()
    correction_store.close()
    return engine.url.render_as_string(hide_password=False)


def stands(correction_store: CorrectionStore) -> dict[str, str]:
    with correction_store.reading() as db:
        return {one.outcome.region: one.outcome.outcome for one in read_corrections(db, PROJECT)}


def test_it_stands_as_it_should_after_the_upgrade_and_the_next_look(spoilt, studio, serve):
    correction_store = open_correction_store(spoilt)
    correction_store.read_events()
    expected = {"a": "accepted", "b": "missed", "c": "missed", "copy": "accepted"}
    assert stands(correction_store) == expected
    reconcile(LabelStudioClient(serve(studio).url, "token"), correction_store, PROJECT, is_thorough=True)
    assert stands(correction_store) == {id: outcome for id, outcome in expected.items() if id != "b"}
    with correction_store.reading() as db:
        columns = (annotation_deleted.c.annotation, annotation_deleted.c.project, annotation_deleted.c.source)
        kept = db.execute(sa.select(*columns).order_by(annotation_deleted.c.annotation)).all()
        assert [tuple(row) for row in kept] == [(2, PROJECT, "absence"), (8, PROJECT, "webhook")]
        assert db.scalar(sa.select(sa.func.count()).select_from(to_judge)) == 0
    correction_store.close()


def test_what_the_fault_let_be_purged_is_found_again(spoilt, studio, serve):
    with sa.create_engine(spoilt, poolclass=sa.NullPool).connect() as db:  # `ris corrections retention --history`
        db.execute(
            sa.text("DELETE FROM outcome WHERE version_id IN (SELECT id FROM annotation_version WHERE annotation < 8)")
        )
        db.execute(sa.text("DELETE FROM annotation_version WHERE annotation < 8"))
        db.commit()
    correction_store = open_correction_store(spoilt)
    reconcile(LabelStudioClient(serve(studio).url, "token"), correction_store, PROJECT)
    assert set(stands(correction_store)) == {"a", "c", "copy"}
    correction_store.close()


def test_a_project_that_an_earlier_version_compared_is_compared_from_its_beginning_once(correction_store):
    with correction_store.writing() as db:
        db.execute(sa.text(f"INSERT INTO poll (project, seen_until) VALUES ({PROJECT}, '{clock(5000)}')"))
    assert correction_store.seen_until(PROJECT) is None
    correction_store.set_seen_until(PROJECT, clock(6000))
    assert correction_store.seen_until(PROJECT) == clock(6000)


def test_what_an_earlier_version_read_of_an_annotation_is_read_anew_and_never_made_less(
    store, correction_store, outcomes
):
    """It noted no problems, and of several texts the last one."""
    texts = [
        {"id": "r", "type": "textarea", "from_name": name, "value": {"text": [name]}} for name in ("words", "note")
    ]
    saved = annotation(30, 30, [brush("r", box(0, 0)), *texts])
    send(store, event(saved))
    correction_store.read_events()
    with correction_store.writing() as db:
        [regions] = db.scalars(sa.select(annotation_version.c.regions))
        earlier = {**regions[0], "expression": "note"}
        for name in ("shape", "expressions", "texts"):
            del earlier[name]
        db.execute(sa.update(annotation_version).values(regions=[earlier], problems=None))
        judge_tasks(db, {(PROJECT, "30")})
    assert outcomes("expression")[30, START + 100] == {"r": "note"}
    less = json.loads(event({**saved, "result": []}))
    for body, expected in ((less, "note"), (json.loads(event(saved)), "words")):
        correction_store.add(read_event(body), "api")
        assert outcomes("expression")[30, START + 100] == {"r": expected}
