"""Deletes old events and versions, and replaces annotators by pseudonyms."""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.corrections.queries import is_newest
from backend.corrections.store import CorrectionStore
from backend.db import review_tables as _reviews  # noqa: F401  (so that reviewers are found too)
from backend.db.correction_tables import annotation_version, outcome
from backend.db.tables import metadata, webhook
from backend.label_studio.pseudonyms import find_names, replace_person
from ris_core.errors import BadInput

DAY_S = 86_400.0
BODIES_AT_ONCE = 50
"""Raw events in memory at a time."""


class PurgedRows(NamedTuple):
    """Numbers of raw events and of versions that were deleted, or would be."""

    events: int
    versions: int


def purge(correction_store: CorrectionStore, days: float, *, with_history: bool, is_trial: bool = False) -> PurgedRows:
    """Delete raw events that were read and are older than a number of days.

    Args:
        with_history: Also delete former versions of annotations, and deleted and skipped annotations, with their outcomes.
        is_trial: Delete nothing, only count.

    Raises:
        BadInput: If the number of days is negative.
    """
    if days < 0:
        raise BadInput(f"--days is {days:g}; give 0 or more.")
    before = time.time() - days * DAY_S
    old_events = (webhook.c.received_at < before) & webhook.c.read_at.is_not(None)
    old_versions = (annotation_version.c.seen_at < before) & ~is_newest()
    with correction_store.writing() as db:
        events = db.scalar(sa.select(sa.func.count()).select_from(webhook).where(old_events)) or 0
        ids = list(db.scalars(sa.select(annotation_version.c.id).where(old_versions))) if with_history else []
        if not is_trial:
            db.execute(sa.delete(webhook).where(old_events))
            for start in range(0, len(ids), BODIES_AT_ONCE):  # the number of parameters of one statement is limited
                batch = ids[start : start + BODIES_AT_ONCE]
                db.execute(sa.delete(outcome).where(outcome.c.version_id.in_(batch)))
                db.execute(sa.delete(annotation_version).where(annotation_version.c.id.in_(batch)))
    return PurgedRows(events, len(ids))


def pseudonymise(correction_store: CorrectionStore, annotator: int) -> int:
    """Replace an annotator's id by a random negative number, which is returned, everywhere, also in raw events.

    Names and e-mail addresses in events are removed. Nothing is kept that leads from the number back to the annotator.

    Raises:
        BadInput: If no record names this annotator.
    """
    pseudonym = -1 - secrets.randbelow(2**31 - 1)
    with correction_store.writing() as db:
        changed = sum(
            db.execute(sa.update(column.table).where(column == annotator).values({column.name: pseudonym})).rowcount
            for column in columns_of("number")
        )
        inside = columns_of("inside")
        # all names first: a body may have a name of the annotator without the id
        names = {name for column in inside for _, body in _bodies(db, column) for name in find_names(body, annotator)}
        columns = [(column, annotator) for column in inside] + [
            (column, None) for column in columns_of("names") if names
        ]
        for column, user in columns:
            for key, body in _bodies(db, column):
                if replace_person(body, user, pseudonym, names):
                    value = json.dumps(body) if isinstance(column.type, sa.Text) else body
                    [key_column] = column.table.primary_key
                    db.execute(sa.update(column.table).where(key_column == key).values({column.name: value}))
                    changed += 1
    if not changed:
        raise BadInput(
            f"Nothing is recorded of annotator {annotator}. `ris corrections stats --by annotator` lists all annotators."
        )
    return pseudonym


def columns_of(kind: str) -> list[sa.Column[Any]]:
    """The columns with personal data of a kind.

    Args:
        kind: "number": the id of a user; "inside": JSON with ids and names of users; "names": JSON with names only.
    """
    return [column for table in metadata.sorted_tables for column in table.c if column.info.get("person") == kind]


def _bodies(db: sa.Connection, column: sa.Column[Any]) -> Iterator[tuple[Any, Any]]:
    """Key and JSON of each row, few in memory at a time. Text that is not JSON is left out: no person can be found in it."""
    [key] = column.table.primary_key
    last = None
    while True:
        query = sa.select(key, column).order_by(key).limit(BODIES_AT_ONCE)
        rows = db.execute(query if last is None else query.where(key > last)).all()
        if not rows:
            return
        last = rows[-1][0]
        for row_key, body in rows:
            try:
                yield row_key, json.loads(body) if isinstance(column.type, sa.Text) else body
            except (ValueError, RecursionError):
                continue
