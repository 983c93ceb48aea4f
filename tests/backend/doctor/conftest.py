"""A context whose settings a test chooses."""

import os
from pathlib import Path

import pytest

from backend.doctor.context import DoctorContext
from backend.doctor.settings_origin import read
from backend.settings.environment import Settings
from tests.backend.doctor.looking import MakeContext


@pytest.fixture
def make_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeContext:
    """A context with these environment variables and no others, in a folder without `.env`."""
    names = {str(name) for field in Settings.model_fields.values() for name in field.validation_alias.choices}
    for name in [*names, *(name for name in os.environ if name.startswith("RIS_"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def make(project: int | None = None, url: str | None = None, **variables: object) -> DoctorContext:
        for name, value in {"RIS_PROFILE": "demo", "RIS_STATE_DIR": tmp_path / "state", **variables}.items():
            monkeypatch.setenv(name, str(value))
        return DoctorContext(read(), project, url)

    return make
