"""Whether there is anything to read where the settings point."""

from pathlib import Path

from backend.base.errors import BadSettings
from backend.settings.environment import Settings


def check_state(settings: Settings) -> None:
    """Refuse to make an empty record where one is to be read.

    Raises:
        BadSettings: If the settings name a SQLite file that is not there.
    """
    import sqlalchemy as sa  # here: `ris --help` needs none of it

    url = sa.make_url(settings.sql_url)
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return
    if not Path(url.database).is_file():
        setting = "DATABASE_URL" if settings.database_url else "RIS_STATE_DIR"
        raise BadSettings(
            f"Nothing has run with these settings: {Path(url.database).absolute()} is not there.",
            f"Go to the folder where `ris up` or `make demo` runs, or set {setting} to what it is there.",
        )
