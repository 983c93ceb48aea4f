"""The records that the settings name: bulk runs and corrections."""

from pathlib import Path
from typing import TYPE_CHECKING

from backend.base.errors import BadSettings
from backend.settings.environment import Settings

if TYPE_CHECKING:
    from backend.corrections.store import CorrectionStore
    from backend.db.request_store import RequestStore
    from backend.runs.store import RunStore


def profile_of(settings: Settings) -> str:
    """The profile that answers with these settings, or would if something started now."""
    from backend.inference.own_profile import look_up_profile

    return look_up_profile(settings.profile, settings.sql_url, settings.device).profile


def open_runs(settings: Settings) -> "RunStore":
    """The records of bulk runs.

    Raises:
        BadSettings: If there is no database where the settings point.
    """
    from backend.runs.store import open_run_store

    check_state(settings)
    return open_run_store(settings.sql_url)


def open_requests(settings: Settings) -> "RequestStore":
    """The records of requests, and what is kept of projects.

    Raises:
        BadSettings: If there is no database where the settings point.
    """
    from backend.db.request_store import open_request_store

    check_state(settings)
    return open_request_store(settings.sql_url)


def open_corrections(settings: Settings) -> "CorrectionStore":
    """The records of corrections, with every stored webhook event processed.

    Raises:
        BadSettings: If there is no database where the settings point.
    """
    from backend.base.terminal import Progress
    from backend.corrections.store import open_correction_store

    check_state(settings)
    correction_store = open_correction_store(settings.sql_url)
    with Progress("Reading stored webhook events"):
        correction_store.read_events()
    return correction_store


def check_state(settings: Settings) -> None:
    """Refuse to create an empty database where an existing one is to be read.

    Raises:
        BadSettings: If the settings name a SQLite file that does not exist.
    """
    import sqlalchemy as sa  # here: `ris --help` needs none of it

    from backend.db.snapshot import keep_copies_in

    keep_copies_in(settings.state_dir)
    url = sa.make_url(settings.sql_url)
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return
    if not Path(url.database).is_file():
        setting = "DATABASE_URL" if settings.database_url else "RIS_STATE_DIR"
        raise BadSettings(
            f"Nothing has run with these settings: {Path(url.database).absolute()} does not exist.",
            f"Change to the folder where `ris up` or `make demo` runs, or set {setting} to the value used there.",
        )
