"""The profile of a database: chosen once, the same for all, and what it was for databases of before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from backend.db.database import MIGRATIONS, open_database
from backend.db.default_profile import ProfileChoice, read_choice
from backend.inference import own_profile
from backend.inference.own_profile import choose_profile, has_gpu, look_up_profile, settle_profile
from backend.interactive.predict import open_predict_service
from backend.settings.environment import Settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ris.sqlite3'}"


def open_at(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with sa.create_engine(url).connect() as db:
        config.attributes["connection"] = db
        command.upgrade(config, revision)


@pytest.mark.parametrize(("device", "profile"), [("cpu", "cpu"), ("cuda", "base"), ("cuda:1", "base")])
def test_a_new_database_gets_the_profile_of_its_machine_once(url: str, device: str, profile: str):
    engine = open_database(url)
    assert read_choice(url) is None
    assert settle_profile(None, engine, device) == profile
    assert settle_profile(None, engine, "cpu" if profile == "base" else "cuda") == profile
    assert read_choice(url) == look_up_profile(None, url, "auto")


def test_the_machine_is_asked_for_a_gpu(monkeypatch: pytest.MonkeyPatch):
    import torch

    assert has_gpu() == torch.cuda.is_available()
    for answer, profile in ((True, "base"), (False, "cpu")):
        monkeypatch.setattr(own_profile, "has_gpu", lambda answer=answer: answer)
        assert choose_profile("auto").profile == profile


def test_a_database_of_before_keeps_base(url: str):
    open_at(url, "0014")
    assert look_up_profile(None, url, "cpu") == ProfileChoice("base", "the database is from an earlier version")
    assert settle_profile(None, open_database(url), "cpu") == "base"
    assert read_choice(url) == ProfileChoice("base", "it was the default when this state was made")


def test_a_profile_that_is_named_holds_and_is_not_kept(url: str):
    engine = open_database(url)
    assert settle_profile("large", engine, "cpu") == "large"
    assert read_choice(url) is None
    assert settle_profile(None, engine, "cpu") == "cpu"
    assert look_up_profile("large", url, "cpu").profile == "large"


def test_looking_makes_no_database(tmp_path: Path):
    assert look_up_profile(None, f"sqlite:///{tmp_path / 'none.sqlite3'}", "cpu").profile == "cpu"
    assert look_up_profile(None, "nonsense", "cpu").profile == "cpu"
    assert list(tmp_path.iterdir()) == []


SETTLE = """
import sys
from backend.db.database import open_database
from backend.inference.own_profile import settle_profile
engine = open_database(sys.argv[1])
sys.stdin.readline()
print(settle_profile(None, engine, sys.argv[2]))
"""


def test_of_those_that_start_at_once_one_decides_for_all(url: str):
    command_line = [sys.executable, "-c", SETTLE, url]
    processes = [
        subprocess.Popen([*command_line, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for device in ("cpu", "cuda", "cpu", "cuda")
    ]
    answers = [process.communicate("\n", timeout=60)[0].split()[-1] for process in processes]
    kept = read_choice(url)
    assert kept
    assert set(answers) == {kept.profile}


def test_a_worker_and_the_backend_of_a_new_state_take_the_same_profile(tmp_path: Path, redis_url: str):
    """The worker ends, because there are no weights; of which profile, it says."""
    environment = {"RIS_STATE_DIR": tmp_path / "state", "REDIS_URL": redis_url, "MODEL_DIR": tmp_path}
    known = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    for name in ("RIS_PROFILE", "DEVICE"):
        known.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "backend", "worker", "--device", "cpu"],
        env={**known, "HF_HUB_OFFLINE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, "ris models pull cpu" in done.stderr) == (3, True), done.stderr
    assert "RIS_PROFILE is not set" in done.stdout + done.stderr
    settings = Settings(_env_file=None, RIS_STATE_DIR=tmp_path / "state", REDIS_URL=redis_url, DEVICE="cuda")
    assert open_predict_service(settings).projects.known_version(None) == "cpu.loading"
