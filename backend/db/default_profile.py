"""The profile that answers where no setting names one: chosen once for a database, the same for all that use it."""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from backend.db.database import Transactions, open_existing
from backend.db.tables import default_profile
from backend.db.upsert import insert_if_absent

FORMER = "base"
"""Profile of every database that was made before profiles were chosen."""
NUMBER = 1
"""Key of the only row."""


@dataclass(frozen=True)
class ProfileChoice:
    """A profile, and why it is this one, as in "no GPU was found"."""

    profile: str
    reason: str


def keep_choice(engine: sa.Engine, choose: Callable[[], ProfileChoice]) -> ProfileChoice:
    """The choice of a database; a new one makes it now. Of several processes that do so at once, the first decides for all.

    Raises:
        Unreachable: If the database cannot be used.
    """
    transactions = Transactions(engine)
    with transactions.reading() as db:
        kept = _read(db)
    if kept:
        return kept
    made = choose()  # outside of the transaction: it may take seconds
    row = {"number": NUMBER, "profile": made.profile, "reason": made.reason}
    with transactions.writing() as db:
        db.execute(insert_if_absent(db.dialect.name, default_profile), row)
        return _read(db) or made


def read_choice(database_url: str) -> ProfileChoice | None:
    """The choice of a database as it is, which is neither made nor migrated; None if there is none yet, or it cannot be read."""
    try:
        engine = open_existing(database_url)
    except (sa.exc.ArgumentError, ImportError):  # no database can be opened with it
        return None
    try:
        with engine.connect() as db:
            names = sa.inspect(db).get_table_names()
            if default_profile.name in names:
                return _read(db)
            return ProfileChoice(FORMER, "the database is from an earlier version") if names else None
    except sa.exc.DatabaseError:  # there is no file
        return None
    finally:
        engine.dispose()


def _read(db: sa.Connection) -> ProfileChoice | None:
    row = db.execute(sa.select(default_profile).where(default_profile.c.number == NUMBER)).first()
    return ProfileChoice(row.profile, row.reason) if row else None
