"""Commands in a folder where nothing has run."""

import pytest
from typer.testing import CliRunner

from backend.base.errors import BadSettings
from backend.commands.cli import app

COMMANDS = [
    "run list",
    "run status x",
    "run failures x",
    "run wait x",
    "run pause x",
    "corrections list --project 1",
    "corrections show --project 1 2",
    "corrections stats --project 1 --offline",
    "corrections dump --project 1",
    "corrections retention --days 1",
    "corrections pseudonymise 1 --yes",
    "report --project 1 --out page.html",
    "export --project 1 --format coco --out set",
]


pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.mark.parametrize("command", COMMANDS)
def test_what_reads_a_record_says_that_there_is_none_and_makes_none(command, tmp_path):
    done = CliRunner().invoke(app, command.split())
    assert isinstance(done.exception, BadSettings)
    assert "Nothing has run with these settings" in str(done.exception)
    assert "RIS_STATE_DIR" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_named_database_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/other.sqlite3")
    done = CliRunner().invoke(app, ["run", "list"])
    assert "DATABASE_URL" in str(done.exception)


def test_stopping_what_never_ran_makes_nothing(tmp_path):
    done = CliRunner().invoke(app, ["down"])
    assert done.exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_is_empty_is_read(tmp_path):
    from backend.runs.store import open_run_store

    open_run_store(f"sqlite:///{tmp_path}/.state/ris.sqlite3")
    assert CliRunner().invoke(app, ["run", "list"]).exit_code == 0
