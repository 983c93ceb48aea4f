import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from backend.db.database import MIGRATIONS
from backend.db.request_store import open_request_store
from backend.db.tables import metadata


def test_migrated_tables_are_those_that_the_store_uses(tmp_path):
    store = open_request_store(f"sqlite:///{tmp_path / 'ris.sqlite3'}")
    with store._engine.connect() as db:
        assert compare_metadata(MigrationContext.configure(db), metadata) == []


def test_there_is_one_newest_version_and_the_store_is_at_it(tmp_path):
    store = open_request_store(f"sqlite:///{tmp_path / 'ris.sqlite3'}")
    with store._engine.connect() as db:
        at = MigrationContext.configure(db).get_current_revision()
    assert at == ScriptDirectory(str(MIGRATIONS)).get_current_head()


def test_opening_again_changes_nothing(tmp_path):
    url = f"sqlite:///{tmp_path / 'ris.sqlite3'}"
    open_request_store(url).projects.add_webhook("x", None, "{}")
    assert open_request_store(url).counts().webhooks == {"x": 1}


def test_migrations_can_be_taken_back(tmp_path):
    url = f"sqlite:///{tmp_path / 'ris.sqlite3'}"
    open_request_store(url).close()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with sa.create_engine(url).connect() as db:
        config.attributes["connection"] = db
        command.downgrade(config, "base")
        assert set(sa.inspect(db).get_table_names()) == {"alembic_version"}


def test_regions_of_before_get_the_task_of_their_answer(tmp_path):
    url = f"sqlite:///{tmp_path / 'ris.sqlite3'}"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with sa.create_engine(url).connect() as db:
        config.attributes["connection"] = db
        command.upgrade(config, "0001")
        db.exec_driver_sql(
            "INSERT INTO request VALUES ('r', 1, 2, 'interactive', 1, '7', NULL, NULL, '{}', 'done', 1, NULL, NULL, 3)"
        )
        db.exec_driver_sql(
            "INSERT INTO answer VALUES (1, 'r', 1, 1, '7', 'the dog', 'A', 'match', 'v', 'fp', 'sha', 1, 1, '[]', '[]')"
        )
        db.exec_driver_sql("INSERT INTO region VALUES ('aaaaaaaaaa', 1, 1, 'brush', 'A')")
        db.commit()
    with open_request_store(url)._engine.connect() as db:
        assert db.execute(sa.text("SELECT id, task FROM region")).all() == [("aaaaaaaaaa", "7")]
