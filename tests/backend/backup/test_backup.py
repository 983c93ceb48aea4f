"""Backups of state that version 0.1 left: made at its old tables, restored elsewhere, and up to date there. Both databases, both ways."""

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.backup.archive import back_up, restore
from backend.base import processes
from backend.base.errors import BadSettings, Unreachable
from backend.corrections.store import open_correction_store
from backend.db import snapshot
from backend.db.counters import find_drift
from backend.db.database import newest_revision, open_database
from backend.db.request_store import open_request_store
from backend.report.data import read_report_data
from backend.report.page import render
from backend.runs import summary
from backend.runs.store import open_run_store
from ris_core.errors import BadInput
from tests.upgrade.test_state_0_1 import FROZEN, SAID, Yesterday, yesterday  # noqa: F401  (a fixture)


@pytest.fixture(params=["sqlite", "postgresql"])
def target_url(request, tmp_path) -> str:
    """An empty database elsewhere."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'elsewhere' / 'ris.sqlite3'}"
    own = request.getfixturevalue("_postgres_server_url")
    with sa.create_engine(own, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as db:
        name = f"restored_{abs(hash(str(tmp_path)))}"
        db.exec_driver_sql(f"CREATE DATABASE {name}")
    return own.replace("/postgres?", f"/{name}?")


def rows_of(url: str) -> dict[str, list[tuple]]:
    """Every row of every table, in an order that both databases agree on."""
    engine = open_database(url)
    with closing(engine.connect()) as db:
        tables = snapshot._reflect(db)
        rows = {
            name: sorted((tuple(row) for row in db.execute(sa.select(table))), key=repr)
            for name, table in tables.tables.items()
            if name not in snapshot.COUNTERS
        }
        assert find_drift(db) == {}
    engine.dispose()
    return rows


def report_of(url: str) -> str:
    with closing(open_correction_store(url)) as correction_store:
        correction_store.read_events()
        data = read_report_data(correction_store, SAID["project"])
        return render(data, "Corrections")


def test_restored_elsewhere_everything_is_as_it_was_and_up_to_date(yesterday: Yesterday, target_url, tmp_path):  # noqa: F811
    file = tmp_path / "b.tar.gz"
    manifest = back_up(yesterday.url, yesterday.folder, file)
    assert manifest.tables == "0008" or manifest.tables < newest_revision()
    assert {name: len(rows) for name, rows in yesterday.rows.items()}.items() <= manifest.rows.items()
    restore(file, target_url, tmp_path / "elsewhere")
    restored = rows_of(target_url)
    assert restored == rows_of(yesterday.url)
    assert report_of(target_url) == report_of(yesterday.url)
    with closing(open_run_store(target_url)) as run_store:
        assert summary.look(run_store, "done", None).items == SAID["run status"]["items"]
        assert run_store.get("running").state == "running"


def test_new_rows_begin_after_those_that_were_restored(yesterday: Yesterday, target_url, tmp_path):  # noqa: F811
    file = tmp_path / "b.tar.gz"
    back_up(yesterday.url, yesterday.folder, file)
    restore(file, target_url, tmp_path / "elsewhere")
    with closing(open_request_store(target_url)) as store:
        store.projects.add_webhook("NEW", 1, "{}")
        with store.engine.connect() as db:
            newest, count = db.execute(sa.text("SELECT max(id), count(*) FROM webhook")).one()
    assert newest >= count == len(yesterday.rows["webhook"]) + 1


@pytest.fixture
def state(tmp_path) -> tuple[str, Path]:
    """A state folder of today."""
    folder = tmp_path / "state"
    shutil.copytree(FROZEN / "state", folder)
    url = f"sqlite:///{folder / 'ris.sqlite3'}"
    open_database(url).dispose()
    (folder / "eval" / "base").mkdir(parents=True)
    (folder / "eval" / "base" / "report.md").write_text("mIoU 0.5")
    return url, folder


@pytest.fixture
def backup_file(state, tmp_path) -> Path:
    file = tmp_path / "backup.tar.gz"
    back_up(*state, file)
    return file


def test_evaluations_come_back_and_nothing_that_can_be_made_anew(state, backup_file, tmp_path):
    with tarfile.open(backup_file) as opened:
        assert opened.getnames() == ["database.sqlite3", "eval/base/report.md", "manifest.json"]
    elsewhere = tmp_path / "elsewhere"
    restore(backup_file, f"sqlite:///{elsewhere / 'ris.sqlite3'}", elsewhere)
    assert (elsewhere / "eval" / "base" / "report.md").read_text() == "mIoU 0.5"
    assert stat.S_IMODE((elsewhere / "ris.sqlite3").stat().st_mode) == 0o600
    assert sorted(file.name for file in elsewhere.iterdir() if "ris-" in file.name) == []


def test_only_its_owner_may_read_a_backup_and_none_is_overwritten(state, backup_file):
    assert stat.S_IMODE(backup_file.stat().st_mode) == 0o600
    before = backup_file.read_bytes()
    with pytest.raises(BadInput, match="there already"):
        back_up(*state, backup_file)
    assert backup_file.read_bytes() == before


def test_a_backup_while_others_write_sees_one_moment(state, tmp_path):
    """Each writer adds a request and an event in one transaction: a copy with one of them only would be torn."""
    url, folder = state
    stop = threading.Event()

    def write() -> None:
        engine = open_database(url)
        while not stop.is_set():
            with engine.begin() as db:
                db.exec_driver_sql(
                    "INSERT INTO request (id, created_at, expires_at, kind, task, body, state, attempts) "
                    "VALUES (hex(randomblob(8)), 1, 1, 'pair', '1', '{}', 'done', 1)"
                )
                db.exec_driver_sql("INSERT INTO webhook (received_at, action, body) VALUES (1, 'PAIR', '{}')")
        engine.dispose()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for number in range(5):
            back_up(url, folder, tmp_path / f"{number}.tar.gz")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    counts = []
    for number in range(5):
        target = f"sqlite:///{tmp_path / str(number) / 'ris.sqlite3'}"
        restore(tmp_path / f"{number}.tar.gz", target, tmp_path / str(number))
        engine = open_database(target)
        with engine.connect() as db:
            requests = db.scalar(sa.text("SELECT count(*) FROM request WHERE kind = 'pair'"))
            assert requests == db.scalar(sa.text("SELECT count(*) FROM webhook WHERE action = 'PAIR'"))
            counts.append(requests)
        engine.dispose()
    assert counts[-1] > 0


def change(file: Path, **changed: bytes | None) -> None:
    """Write an archive anew with other content in some members, or without them."""
    with tarfile.open(file) as opened:
        content = {name: opened.extractfile(name).read() for name in opened.getnames()}
    for name, value in changed.items():
        content[name.replace("__", ".")] = value
    with tarfile.open(file, "w:gz") as opened:
        for name, value in content.items():
            if value is not None:
                info = tarfile.TarInfo(name)
                info.size = len(value)
                opened.addfile(info, io.BytesIO(value))


def manifest_of(file: Path) -> dict:
    with tarfile.open(file) as opened:
        return json.loads(opened.extractfile("manifest.json").read())


def spoil_database(file: Path) -> None:
    with tarfile.open(file) as opened:
        content = bytearray(opened.extractfile("database.sqlite3").read())
    content[5000] ^= 1
    change(file, database__sqlite3=bytes(content))


def with_manifest(**values: object):
    return lambda file: change(file, manifest__json=json.dumps({**manifest_of(file), **values}).encode())


def escape(name: str):
    def spoil(file: Path) -> None:
        manifest = manifest_of(file)
        manifest["members"][1]["name"] = name
        change(file, manifest__json=json.dumps(manifest).encode())

    return spoil


SPOILT = {
    "a changed byte": (spoil_database, "damaged"),
    "no database": (lambda file: change(file, database__sqlite3=None), "has no database.sqlite3"),
    "no manifest": (lambda file: change(file, manifest__json=None), "has no manifest.json"),
    "a manifest that is none": (lambda file: change(file, manifest__json=b"[1]"), "cannot be read"),
    "cut short": (lambda file: file.write_bytes(file.read_bytes()[:-4000]), "damaged"),
    "something else": (lambda file: file.write_text("hello"), "no backup"),
    "newer tables": (with_manifest(tables="9999", program="9.0"), "label-studio-ris 9.0, which is newer"),
    "newer format": (with_manifest(format=99), "newer than this one"),
    "a path that leaves": (escape("eval/../../evil"), "no backup of label-studio-ris"),
    "an absolute path": (escape("/tmp/evil"), "no backup of label-studio-ris"),
    "a place of its own": (escape("features/x"), "no backup of label-studio-ris"),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_what_is_not_as_it_was_written_is_refused_and_nothing_is_restored(backup_file, tmp_path, spoil, says):
    spoil(backup_file)
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(BadInput, match=says):
        restore(backup_file, f"sqlite:///{elsewhere / 'ris.sqlite3'}", elsewhere)
    assert [file for file in elsewhere.rglob("*") if file.is_file()] == []


def test_a_database_in_use_is_never_overwritten(state, backup_file):
    before = rows_of(state[0])
    with pytest.raises(BadSettings, match="is not empty"):
        restore(backup_file, *state)
    assert rows_of(state[0]) == before


def test_a_database_of_another_program_is_never_written_into(backup_file, tmp_path):
    file = tmp_path / "elsewhere" / "ris.sqlite3"
    file.parent.mkdir()
    engine = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
    with engine.begin() as db:
        db.exec_driver_sql("CREATE TABLE theirs (a)")
    with pytest.raises(BadSettings, match="is not empty"):
        restore(backup_file, f"sqlite:///{file}", file.parent)


def test_services_must_be_stopped_first(backup_file, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    program = processes.Program("backend", [sys.executable, "-c", "import time; time.sleep(60)"], address="")
    child = processes.launch(program, elsewhere)
    try:
        with pytest.raises(BadSettings, match="backend"):
            restore(backup_file, f"sqlite:///{elsewhere / 'ris.sqlite3'}", elsewhere)
    finally:
        processes.stop(child, elsewhere)


def test_a_restore_that_was_cut_short_is_done_again(backup_file, target_url, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "_copy_rows" if target_url.startswith("postgresql") else "_copy_file", die)
        with pytest.raises(KeyboardInterrupt):
            restore(backup_file, target_url, elsewhere)
    restore(backup_file, target_url, elsewhere)
    assert len(rows_of(target_url)["webhook"]) > 0


# Before a migration


def test_a_database_is_copied_before_it_is_migrated(yesterday: Yesterday):  # noqa: F811
    snapshot.keep_copies_in(yesterday.folder)
    open_database(yesterday.url).dispose()
    [copy] = (yesterday.folder / "backups").iterdir()
    assert f"before-{newest_revision()}-from-" in copy.name
    with snapshot._open_copy(copy) as engine, engine.connect() as db:
        tables = snapshot._reflect(db)
        for name, rows in yesterday.rows.items():
            assert db.scalar(sa.select(sa.func.count()).select_from(tables.tables[name])) == len(rows)
    open_database(yesterday.url).dispose()
    assert len(list((yesterday.folder / "backups").iterdir())) == 1  # nothing was migrated


def test_a_few_copies_stay_and_only_ours_go(tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    theirs = [folder / "before-0013-from-0012-20260101T000000.sqlite3", folder / "notes.txt"]
    for file in theirs:
        file.write_text("mine")
    for year in range(5):
        shutil.copy(FROZEN / "state" / "ris.sqlite3", tmp_path / "ris.sqlite3")
        with open(folder / f"before-0009-from-0008-{2020 + year}0101T000000.sqlite3", "wb") as old:
            old.write((FROZEN / "state" / "ris.sqlite3").read_bytes())
    open_database(f"sqlite:///{tmp_path / 'ris.sqlite3'}").dispose()
    assert all(file.read_text() == "mine" for file in theirs)
    assert len(list(folder.iterdir())) == len(theirs) + snapshot.KEPT
    assert (folder / "before-0009-from-0008-20240101T000000.sqlite3").exists()
    assert not (folder / "before-0009-from-0008-20200101T000000.sqlite3").exists()


def test_without_room_for_the_copy_nothing_is_migrated(tmp_path, monkeypatch):
    file = tmp_path / "ris.sqlite3"
    shutil.copy(FROZEN / "state" / "ris.sqlite3", file)
    before = file.read_bytes()
    monkeypatch.setattr(
        snapshot.shutil, "disk_usage", lambda _: os.statvfs_result and type("Usage", (), {"free": 10})()
    )
    with pytest.raises(Unreachable, match="MiB are free"):
        open_database(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_the_commands_do_as_they_say(state, tmp_path):
    """As typed, in processes of their own."""
    url, folder = state
    elsewhere = tmp_path / "new place"

    def ris(*arguments: object, state_dir: Path) -> str:
        command = [sys.executable, "-m", "backend", *map(str, arguments)]
        env = {**os.environ, "RIS_STATE_DIR": str(state_dir)}
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    env_root = Path(__file__).parents[3]
    os.environ["PYTHONPATH"] = str(env_root)
    assert "rows, tables" in ris("backup", "a b.tar.gz", state_dir=folder)
    assert "Start with `ris up`" in ris("restore", "a b.tar.gz", state_dir=elsewhere)
    assert rows_of(f"sqlite:///{elsewhere / 'ris.sqlite3'}") == rows_of(url)
