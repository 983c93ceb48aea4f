"""The file of a database that is in use."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.base.errors import Unreachable
from backend.db.database import open_database
from backend.db.request_store import RequestStore, open_request_store

SAYS = r"was removed or replaced while it was used.*`ris up`"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ris.sqlite3"


@pytest.fixture
def used(file: Path) -> RequestStore:
    """A store that has written something."""
    store = open_request_store(f"sqlite:///{file}")
    write(store)
    yield store
    store.close()


def write(store: RequestStore) -> str:
    return store.add_request("interactive", "1", {}, lifetime_s=10)


def test_a_removed_file_is_noticed_and_not_made_anew(used, file):
    for part in file.parent.iterdir():
        part.unlink()
    with pytest.raises(Unreachable, match=SAYS):
        write(used)
    with pytest.raises(Unreachable, match=SAYS):
        used.get_request("x")
    assert list(file.parent.iterdir()) == []


def test_nor_by_connections_that_are_opened_later(used, file):
    used.engine.dispose()
    shutil.rmtree(file.parent)
    with pytest.raises(Unreachable, match=SAYS):
        write(used)
    assert not file.parent.exists()


def test_another_file_in_its_place_is_not_written_into(used, file, tmp_path):
    other = tmp_path / "other.sqlite3"
    open_request_store(f"sqlite:///{other}").close()
    other.replace(file)
    before = file.read_bytes()
    with pytest.raises(Unreachable, match=SAYS):
        write(used)
    assert file.read_bytes() == before


def test_put_back_it_is_used_again(used, file):
    away = file.with_name("away")
    file.rename(away)
    with pytest.raises(Unreachable, match=SAYS):
        write(used)
    away.rename(file)
    assert used.get_request(write(used))


def test_a_folder_in_its_place_is_noticed(used, file):
    file.unlink()
    file.mkdir()
    with pytest.raises(Unreachable, match=SAYS):
        write(used)


def test_a_new_start_takes_the_file_that_is_there(used, file, tmp_path):
    shutil.copy(file, tmp_path / "copy")
    (tmp_path / "copy").replace(file)
    assert write(open_request_store(f"sqlite:///{file}"))


def test_a_link_may_name_a_file_that_is_not_there_yet(tmp_path):
    target, link = tmp_path / "disk" / "ris.sqlite3", tmp_path / "ris.sqlite3"
    target.parent.mkdir()
    link.symlink_to(target)
    open_database(f"sqlite:///{link}").dispose()
    assert target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600


def test_in_memory_there_is_no_file():
    open_database("sqlite://").dispose()


def test_a_second_opening_in_one_process_does_not_give_up_the_locks_of_the_first(tmp_path):
    """Closing a file gives up all POSIX locks of the process on it: another process would take the log away, with what is in it."""
    file = tmp_path / "ris.sqlite3"
    url = f"sqlite:///{file}"
    first = open_database(url)
    with first.begin() as db:
        db.execute(sa.text("CREATE TABLE kept (number INTEGER)"))
    log = file.with_name(f"{file.name}-wal").stat().st_ino
    second = open_database(url)
    other = (
        f"import sqlite3; db = sqlite3.connect({str(file)!r}); db.execute('SELECT * FROM kept').fetchall(); db.close()"
    )
    subprocess.run([sys.executable, "-c", other], check=True)
    assert file.with_name(f"{file.name}-wal").stat().st_ino == log
    with first.begin() as db:
        db.execute(sa.text("INSERT INTO kept VALUES (1)"))
    with second.connect() as db:
        assert db.scalar(sa.text("SELECT number FROM kept")) == 1
    first.dispose()
    second.dispose()


def test_a_new_file_is_not_closed_after_another_thread_has_opened_it(tmp_path, monkeypatch):
    """It is closed while the other thread waits, and not later: that would give up the locks of the other's connections."""
    file = tmp_path / "ris.sqlite3"
    url, close, begun, has_opened = f"sqlite:///{file}", os.close, threading.Event(), threading.Event()

    def close_late(number: int) -> None:
        if not begun.is_set() and file.exists() and os.path.samestat(os.fstat(number), file.stat()):
            begun.set()
            assert not has_opened.wait(1.0)
        close(number)

    def open_second() -> None:
        begun.wait()
        open_database(url).dispose()
        has_opened.set()

    monkeypatch.setattr(os, "close", close_late)
    other = threading.Thread(target=open_second)
    other.start()
    open_database(url).dispose()
    other.join()
    assert has_opened.is_set()
