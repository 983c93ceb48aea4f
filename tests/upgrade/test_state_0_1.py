"""A state folder of version 0.1 (`tests/data/state-0.1`) opened by today's code: nothing is lost, and nobody has to do anything.

One thing is meant to go: deletions that were concluded from what Label Studio's list left empty (`source` "api"), and with them
how far their projects were looked at.
"""

import gzip
import json
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.corrections.store import open_correction_store as open_corrections
from backend.db.request_store import open_request_store
from backend.db.tables import answer
from backend.exporters.export import export
from backend.exporters.request import ExportFilter, ExportRequest
from backend.inference.feature_cache import FeatureCache
from backend.inference.own_profile import settle_profile
from backend.inference.service import InferenceService
from backend.label_studio.images import ImageFetcher
from backend.runs import control, summary
from backend.runs.execution import RunContext, work
from backend.runs.store import open_run_store
from backend.runs.worker_state import WorkerState
from backend.transport import redis_client, redis_server, worker_registry
from benchmarks import postgres
from tests.toy import toy_segmenter

FROZEN = Path(__file__).parents[1] / "data" / "state-0.1"
SAID = json.loads((FROZEN / "said.json").read_text(encoding="utf-8"))
COMPUTED = {"outcome": {"id"}}
"""Columns that are made anew."""


@dataclass(frozen=True)
class Yesterday:
    """A copy of the state that nobody has opened yet.

    Attributes:
        rows: Rows of each table as version 0.1 left them.
    """

    folder: Path
    url: str
    rows: dict[str, list[dict[str, Any]]]


@pytest.fixture(params=["sqlite", "postgresql"])
def yesterday(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yesterday]:
    folder = tmp_path / "state"
    shutil.copytree(FROZEN / "state", folder)
    with closing(sqlite3.connect(folder / "ris.sqlite3")) as db:
        rows = read_rows(db)
    if request.param == "sqlite":
        yield Yesterday(folder, f"sqlite:///{folder / 'ris.sqlite3'}", rows)
        return
    url = request.getfixturevalue("postgres_url")
    restore(url)
    yield Yesterday(folder, url, rows)


def restore(url: str) -> None:
    to, binaries = sa.make_url(url), postgres.find_binaries()
    assert binaries is not None
    psql = (binaries / "initdb").resolve().parent / "psql"
    command = [
        psql,
        "-h",
        to.query["host"],
        "-p",
        to.query["port"],
        "-U",
        "ris",
        "-v",
        "ON_ERROR_STOP=1",
        "-q",
        to.database,
    ]
    dump = gzip.decompress((FROZEN / "postgresql.sql.gz").read_bytes())
    subprocess.run(list(map(str, command)), input=dump, check=True, capture_output=True, timeout=60)


def read_rows(db: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    db.row_factory = sqlite3.Row
    named = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'")
    tables = [row["name"] for row in named.fetchall()]
    return {table: [dict(row) for row in db.execute(f'SELECT * FROM "{table}"')] for table in tables}


def plain(value: Any) -> Any:
    """The same whether a database gives JSON as text or read, and truth as a number or not."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return json.loads(value)
    return int(value) if isinstance(value, bool) else value


def is_guessed(table: str, row: dict[str, Any]) -> bool:
    if table == "poll":
        return bool(row["project"] == SAID["project"])
    return table == "annotation_deleted" and row["source"] == "api"


def test_the_profile_stays_what_it_was(yesterday: Yesterday):
    store = open_request_store(yesterday.url)
    assert settle_profile(None, store.engine, "cpu") == "base"
    store.close()


def test_every_row_is_there_but_the_deletions_that_were_guessed(yesterday: Yesterday):
    open_request_store(yesterday.url).close()
    with sa.create_engine(yesterday.url, poolclass=sa.NullPool).connect() as db:
        assert sum(map(len, yesterday.rows.values())) > 90
        for table, rows in yesterday.rows.items():
            if table == "webhook_read":  # its columns are the event's own now
                read = {(row.id, row.read_at, row.problem) for row in db.execute(sa.text("SELECT * FROM webhook"))}
                assert {(row["webhook_id"], row["read_at"], row["problem"]) for row in rows} <= read
                continue
            if table in ("answer", "item"):  # what they say of answers has another form: see the next test
                rows = [
                    {name: one for name, one in row.items() if name not in ("answers", "candidates")} for row in rows
                ]
            now = [row._mapping for row in db.execute(sa.text(f'SELECT * FROM "{table}"'))]
            for row in rows:
                kept = {name: plain(value) for name, value in row.items() if name not in COMPUTED.get(table, ())}
                is_there = any(kept == {name: plain(one[name]) for name in kept} for one in now)
                assert is_there != is_guessed(table, row), (table, row)


def test_answers_of_annotators_and_of_runs_are_in_one_table_as_they_were(yesterday: Yesterday):
    open_request_store(yesterday.url).close()
    expected = [
        (row["request_id"], None, row["task"], json.loads(row["candidates"]), json.loads(row["selected"]))
        for row in yesterday.rows["answer"]
    ]
    expected += [
        (None, row["run"], str(row["task"]), answer["candidates"], answer["selected"])
        for row in yesterday.rows["item"]
        for answer in json.loads(row["answers"] or "null") or ()
    ]
    assert {bool(one[1]) for one in expected} == {True, False}
    with sa.create_engine(yesterday.url, poolclass=sa.NullPool).connect() as db:
        columns = (answer.c.request_id, answer.c.run, answer.c.task, answer.c.candidates, answer.c.selected)
        stored = [tuple(row) for row in db.execute(sa.select(*columns))]
    assert len(stored) == len(expected)
    assert all(one in stored for one in expected)


def test_outcomes_are_what_they_were(yesterday: Yesterday):
    open_corrections(yesterday.url).close()
    wanted = "SELECT region, outcome, offered_region, iou, label, expression FROM outcome ORDER BY region, version_id"
    with sa.create_engine(yesterday.url, poolclass=sa.NullPool).connect() as db:
        found = [dict(row._mapping) for row in db.execute(sa.text(wanted))]
    key = lambda row: json.dumps(row, sort_keys=True)  # noqa: E731  (databases sort text differently)
    assert sorted(found, key=key) == sorted(SAID["outcomes"], key=key)


def test_exports_are_what_they_were(yesterday: Yesterday, tmp_path: Path):
    """As version 0.2 wrote them from the same state, line by line."""
    expected = json.loads(gzip.decompress((FROZEN.parent / "exports-of-state-0.1.json.gz").read_bytes()))
    correction_store = open_corrections(yesterday.url)
    correction_store.read_events()
    for source, files in expected.items():
        chosen = ExportFilter(SAID["project"], source=source)
        order = ExportRequest("jsonl", tmp_path / source, chosen, title="t", licence="l", images="none")
        export(correction_store, order, fetch=None, pool=tmp_path / "pool", max_pixels=10**7)
        written = {file.name: file.read_text() for file in (tmp_path / source).rglob("*.jsonl")}
        assert written == files
    correction_store.close()


def test_only_true_deletions_stand(yesterday: Yesterday):
    run_store = open_corrections(yesterday.url)
    [deleted] = [row for row in yesterday.rows["annotation_deleted"] if row["source"] == "webhook"]
    known = {row["annotation"] for row in yesterday.rows["annotation_version"]}
    assert set(run_store.live_annotations(SAID["project"])) == known - {deleted["annotation"]}
    run_store.close()


def test_run_that_was_done_stands_as_it_did(yesterday: Yesterday):
    run_store = open_run_store(yesterday.url)
    now = summary.look(run_store, "done", None).to_json()
    then = SAID["run status"]
    assert {name: now[name] for name in ("id", "name", "project", "state", "note", "model_version", "items")} == {
        name: then[name] for name in ("id", "name", "project", "state", "note", "model_version", "items")
    }
    assert now["versions"] == {then["model_version"]: 4}
    run_store.close()


def test_run_whose_workers_are_gone_is_finished_with_the_version_of_today(yesterday: Yesterday):
    run_store, store, segmenter = open_run_store(yesterday.url), open_request_store(yesterday.url), toy_segmenter()
    run = run_store.get("running")
    before = run_store.counts.by_state(run.id)
    worker_state = WorkerState()
    worker_state.begin("today")
    cache = FeatureCache(yesterday.folder / "features", 1 << 30)
    service = InferenceService(
        store, cache, ImageFetcher(label_studio_url=None, timeout_s=5.0), segmenter, 10_000_000, 5
    )
    means = RunContext(run_store, service, worker_state, lambda: False)
    for task in [item.task for item in run_store.items.in_state(run.id, "running")]:  # whose worker died
        assert run_store.claims.take_from(run.id, task, run_store.items.get(run.id, task).worker) == "new"

    assert work(means, run.id, 30.0) == 1
    paused = run_store.get(run.id)
    assert (paused.state, f"--with-version {segmenter.model_version}" in paused.note) == ("paused", True)

    control.resume(run_store, paused, segmenter.model_version)
    assert work(means, run.id, 60.0) == sum(before.values()) - before["done"]
    now = summary.look(run_store, run.id, None)
    assert now.items == {"done": sum(before.values())}
    assert now.versions == {
        run.model_version: before["done"],
        segmenter.model_version: sum(before.values()) - before["done"],
    }
    store.close()
    run_store.close()


@pytest.mark.parametrize("yesterday", ["sqlite"], indirect=True)
def test_cached_files_are_left_and_can_be_read(yesterday: Yesterday):
    folder = yesterday.folder / "features"
    cache = FeatureCache(folder, 1 << 30)
    files = {file: file.read_bytes() for file in folder.rglob("*.safetensors")}
    assert len(files) == 2
    for file in files:
        made_by, sha256 = file.parent.parent.name, file.stem
        if made_by.startswith("prompt-"):
            assert cache.get_embedding(made_by.removeprefix("prompt-"), sha256) is not None
        else:
            assert cache.get(made_by, sha256) is not None
    assert {file: file.read_bytes() for file in files} == files


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose name leaves room for a unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="ris-old-"))
    yield folder
    redis_server.stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def test_redis_has_what_it_had(short_folder: Path):
    shutil.copy2(FROZEN / "state" / "appendonly.aof", short_folder)
    conn = redis_client.connect(redis_server.ensure(None, short_folder))
    assert worker_registry.model_version(conn, "demo") == SAID["run status"]["model_version"]
