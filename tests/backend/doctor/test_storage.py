"""Real SQLite files."""

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from backend.db import database
from backend.db.counters import recount
from backend.db.database import MIGRATIONS, open_database
from backend.doctor import storage
from backend.doctor.context import DoctorContext
from tests.backend.doctor.looking import MakeContext, look

pytestmark = pytest.mark.slow


def database_case(make_context: MakeContext, file: Path) -> DoctorContext:
    open_database(f"sqlite:///{file}").dispose()
    return make_context(DATABASE_URL=f"sqlite:///{file}")


def test_database_that_nobody_has_made_is_not_made(make_context: MakeContext, tmp_path: Path):
    [finding] = look(storage.check_database, make_context()).values()
    assert (finding.state, "not there yet" in finding.value) == ("warn", True)
    assert list(tmp_path.iterdir()) == []


def test_database_of_this_version_can_be_written(make_context: MakeContext, tmp_path: Path):
    findings = look(storage.check_database, database_case(make_context, tmp_path / "ris.sqlite3"))
    assert {name: finding.state for name, finding in findings.items()} == dict.fromkeys(
        ("Server", "Tables", "Writing", "Counters"), "ok"
    )


def test_counters_that_are_wrong_are_found_and_counted_anew(make_context: MakeContext, tmp_path: Path):
    context = database_case(make_context, tmp_path / "ris.sqlite3")
    engine = open_database(f"sqlite:///{tmp_path / 'ris.sqlite3'}")
    with engine.begin() as db:
        db.exec_driver_sql("INSERT INTO webhook (received_at, action, body) VALUES (1, 'A', '{}'), (2, 'A', '{}')")
    assert look(storage.check_database, context)["Counters"].state == "ok"
    with engine.begin() as db:
        db.exec_driver_sql("UPDATE row_count SET number = 5")
    wrong = look(storage.check_database, context)["Counters"]
    assert (wrong.state, wrong.value) == ("fail", "wrong: row_count by 3")
    with engine.begin() as db:
        recount(db)
    assert look(storage.check_database, context)["Counters"].state == "ok"
    engine.dispose()


@pytest.mark.parametrize(
    ("sql", "state", "says"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "fail", "newer label-studio-ris"),
        ("DELETE FROM alembic_version", "fail", "`ris up` creates them"),
    ],
)
def test_tables_of_another_program_are_a_failure(
    make_context: MakeContext, tmp_path: Path, sql: str, state: str, says: str
):
    context = database_case(make_context, tmp_path / "ris.sqlite3")
    with sqlite3.connect(tmp_path / "ris.sqlite3") as db:
        db.execute(sql)
    findings = look(storage.check_database, context)
    assert (findings["Tables"].state, findings["Tables"].exit_code) == (state, 2)
    assert says in findings["Tables"].remedy
    assert "Writing" not in findings


def test_older_tables_are_brought_up_to_date_by_the_next_start(make_context: MakeContext, tmp_path: Path):
    context = database_case(make_context, tmp_path / "ris.sqlite3")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = open_database(context.settings.sql_url)
    with engine.connect() as db:
        config.attributes["connection"] = db
        command.downgrade(config, "0001")
    findings = look(storage.check_database, context)
    assert (findings["Tables"].state, "at version 0001" in findings["Tables"].value) == ("warn", True)


def test_database_in_use_is_not_mistaken_for_a_broken_one(
    make_context: MakeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database, "LOOK_TIMEOUT_S", 0.05)
    context = database_case(make_context, tmp_path / "ris.sqlite3")
    db = sqlite3.connect(tmp_path / "ris.sqlite3", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    findings = look(storage.check_database, context)
    db.close()
    assert (findings["Writing"].state, findings["Tables"].state) == ("warn", "ok")


def test_database_that_cannot_be_used_is_a_failure(make_context: MakeContext, tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("This is text. " * 100)
    [finding] = look(storage.check_database, make_context(DATABASE_URL=f"sqlite:///{file}")).values()
    assert (finding.state, finding.exit_code, "DATABASE_URL" in finding.remedy) == ("fail", 4, True)


@pytest.mark.parametrize(
    ("free_mib", "growth_mib", "state"), [(5000, 2000, "ok"), (5000, 9000, "warn"), (900, 0, "warn"), (50, 0, "fail")]
)
def test_disk_needs_room_for_the_cache_to_grow(free_mib: int, growth_mib: int, state: str):
    assert storage.judge_space(free_mib << 20, growth_mib << 20).state == state


def write_cached(folder: Path, kind: str, mib: int) -> None:
    file = folder / "state" / "features" / kind / "fp" / "ab" / f"{'ab' * 32}.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(mib << 20))


def test_what_a_former_version_left_is_told_with_how_to_remove_it(make_context: MakeContext, tmp_path: Path):
    write_cached(tmp_path, "", 3)
    finding = look(storage.check_disk, make_context())["Former cache"]
    assert (finding.state, finding.value[:5], "but v2" in finding.remedy) == ("warn", "3 MiB", True)


def test_cache_is_measured(make_context: MakeContext, tmp_path: Path):
    for kind, mib in (("v2/images", 1), ("v2/clicks", 2)):
        write_cached(tmp_path, kind, mib)
    findings = look(storage.check_disk, make_context(CACHE_BYTES=100 << 20, CLICK_CACHE_BYTES=50 << 20))
    values = [findings[name].value for name in ("Feature cache", "Click cache")]
    assert (findings["State folder"].state, values) == ("ok", ["1 of 100 MiB", "2 of 50 MiB"])
    assert "Former cache" not in findings
    assert look(storage.check_disk, make_context(CACHE_BYTES=0))["Feature cache"].state == "warn"
