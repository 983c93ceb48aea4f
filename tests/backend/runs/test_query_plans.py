"""Nothing that workers, annotators or /metrics ask reads a whole table, or sorts one: databases say how they would answer each statement.

The statements are those of a whole run, recorded while it goes on beside many other items, so none can be forgotten here.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from backend.corrections.store import CorrectionStore
from backend.db.counters import find_drift, recount
from backend.db.request_store import RequestStore
from backend.runs import summary
from tests.backend.runs.claiming import begin_next
from tests.backend.runs.test_store import an_answer

ITEMS = 3000
BIG = ("item", "webhook", "request", "answer", "region", "annotation_version")
"""Tables that grow with the work."""
RED, DOG = "the red square", "the dog"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'ris.sqlite3'}"
    return request.getfixturevalue("migrated_postgres_url")


@pytest.fixture(params=["without statistics", "with statistics"])
def filled(request, rig):
    """A rig whose database has much of everything."""
    with rig.run_store._transactions.writing() as db:
        _fill(db)
    if request.param == "with statistics" or rig.run_store._engine.dialect.name == "postgresql":
        with rig.run_store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            db.exec_driver_sql("ANALYZE")  # PostgreSQL does so by itself
    return rig


def test_no_statement_of_a_run_reads_a_whole_table(filled):
    engine = filled.run_store._engine
    statements: dict[str, object] = {}
    with _recording(engine, statements):
        _do_everything(filled)
    assert len(statements) > 50
    with engine.connect() as db:
        bad = {
            statement: plan
            for statement, parameters in statements.items()
            if (plan := _explain(db, statement, parameters))
        }
    assert bad == {}


def test_the_check_sees_scans_and_sorts(filled):
    """Otherwise the test above could not fail."""
    engine = filled.run_store._engine
    with engine.connect() as db:
        for statement in (
            "SELECT task FROM item WHERE image = 'x'",
            "SELECT task FROM item WHERE run = 'over' ORDER BY image LIMIT 1",
        ):
            assert _explain(db, statement, ())


def _do_everything(rig) -> None:
    """What workers, the supervisor, people who look and Prometheus ask."""
    tasks = rig.add_tasks(4)
    del rig.studio.tasks[tasks[3]]
    run = rig.start(RED, top_k=2)
    claims, items = rig.run_store.claims, rig.items
    claims.defer(begin_next(rig.run_store, run.id, "w1"), "later", 0.0)
    claims.put_back(begin_next(rig.run_store, run.id, "w1"))
    claims.take_from(run.id, begin_next(rig.run_store, run.id, "w1").task, "w1")
    items.count_beginnable(run.id, 10)
    rig.run_store.counts.first_begun(run.id)
    assert rig.carry_on(run).state == "done"
    again = rig.start(DOG, mode="add")
    assert rig.carry_on(again).state == "done"
    for one in (run, again):
        summary.look(rig.run_store, one.id, 1)
        rig.run_store.counts.failures(one.id)
        rig.run_store.counts.answered(one.id, 10)
    rig.run_store.counts.count_all()
    rig.run_store.counts.count_runs()
    rig.run_store.counts.stage_seconds()
    rig.run_store.counts.answered_since(None, 5e9)
    rig.run_store.counts.answered_since(run.id, 5e9)
    request_store = RequestStore(rig.run_store._engine)
    request_store.counts()
    request_store.expire_overdue()
    request_store.projects.add_webhook("ANNOTATION_DELETED", 3, "{}")
    assert CorrectionStore(rig.run_store._engine).read_events() == 1


@contextmanager
def _recording(engine: sa.Engine, statements: dict[str, object]) -> Iterator[None]:
    """Note every statement once, with its parameters."""

    def note(_db, _cursor, statement, parameters, _context, is_many):
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            statements.setdefault(statement, parameters[0] if is_many else parameters)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def _explain(db: sa.Connection, statement: str, parameters: object) -> list[str]:
    """The steps of a plan that read, or sort, a whole table."""
    if db.dialect.name == "sqlite":
        steps = [row[3] for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        big = "|".join(BIG)
        if not any(re.search(rf"(SCAN|SEARCH) ({big})\b", step) for step in steps):
            return []  # runs are few: they may be sorted
        # To go through an index that holds only what is looked for is no scan of its table.
        wrong = re.compile(rf"SCAN ({big})\b(?!.*(webhook_unread|item_running))|TEMP B-TREE FOR .*ORDER BY")
        return [step for step in steps if wrong.search(step)]
    rows = db.exec_driver_sql(f"EXPLAIN {statement}", parameters)
    wrong = re.compile(rf"Seq Scan on ({'|'.join(BIG)})\b|Sort  \(.*rows=\d{{3,}}")
    return [row[0] for row in rows if wrong.search(row[0])]


def _fill(db: sa.Connection) -> None:
    """Two runs of many items, one done and one that waits, and as many events and requests."""
    names = (
        "created_at, project, state, spec, does_push, planned_to, skipped, hold_until, strikes, push_at, push_strikes, fence, "
        "lease_until, is_told"
    )
    zeros = "0, 0, 0, 0, 0, 0, 0, 0"
    spec = '{"project": 3, "expressions": ["x"]}'
    for run, state in (("over", "done"), ("rest", "paused")):
        values = f"1, 3, '{state}', '{spec}', true, {zeros}, true"
        db.exec_driver_sql(f"INSERT INTO run (id, {names}) VALUES ('{run}', {values})")
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < {ITEMS + 999})"
    for run, state, finished in (("over", "done", "i"), ("rest", "new", "NULL"), ("rest", "failed", "i")):
        # `rest` has as many failed items, of other tasks
        task = "i + 100000" if state == "failed" else "i"
        db.exec_driver_sql(
            f"INSERT INTO item (run, task, image, queries, state, attempts, deferrals, retry_at, started_at, finished_at, worker) "
            f"{numbers} SELECT '{run}', {task}, '/x.png', '[]', '{state}', 1, 0, 0, {finished}, {finished}, 'w' FROM n"
        )
    db.exec_driver_sql(
        f"INSERT INTO webhook (received_at, action, project, body, read_at) {numbers} SELECT i, 'A', 3, '{{}}', i FROM n"
    )
    text, cast = "CAST(i AS TEXT)", "" if db.dialect.name == "sqlite" else "::bytea"
    db.exec_driver_sql(
        "INSERT INTO request (id, created_at, expires_at, kind, project, task, body, state, attempts) "
        f"{numbers} SELECT {text}, i, i, 'interactive', 3, {text}, '{{}}', 'done', 1 FROM n"
    )
    db.exec_driver_sql(
        "INSERT INTO answer (request_id, created_at, project, task, expression, label, decision, model_version, encode_fp, "
        f"image_sha256, height, width, candidates, selected) {numbers} "
        f"SELECT {text}, i, 3, {text}, 'x', 'y', 'match', 'v', 'f', 's', 1, 1, ''{cast}, '[]' FROM n"
    )


def test_an_answered_item_costs_three_statements(rig):
    rig.add_tasks(2)
    run = rig.start(RED, DOG)
    item = begin_next(rig.run_store, run.id, "w")
    answers = [an_answer(), an_answer()]
    statements: list[str] = []
    note = lambda _db, _cursor, statement, *_: statements.append(statement)  # noqa: E731
    sa.event.listen(rig.run_store._engine, "before_cursor_execute", note)
    assert rig.run_store.claims.finish(item, 3, answers, "sha", "fp", "v1", {})
    sa.event.remove(rig.run_store._engine, "before_cursor_execute", note)
    assert [statement.split()[0] for statement in statements if statement[:5] != "BEGIN"] == ["UPDATE", "INSERT"]


def test_counters_are_right_whatever_wrote(filled):
    _do_everything(filled)
    with filled.run_store._transactions.writing() as db:
        assert find_drift(db) == {}
        for table in ("item_count", "row_count"):
            db.exec_driver_sql(f"UPDATE {table} SET number = number + 1")
        assert set(find_drift(db)) == {"item_count", "row_count"}
        recount(db)
        assert find_drift(db) == {}
