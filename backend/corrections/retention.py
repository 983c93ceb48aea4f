"""How long things are kept, and under whose name."""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.corrections.queries import is_newest
from backend.corrections.store import CorrectionStore
from backend.db.correction_tables import annotation_version, outcome, webhook_read
from backend.db.tables import metadata, webhook
from backend.label_studio.pseudonyms import find_names, replace_person
from ris_core.errors import BadInput

DAY_S = 86_400.0
BODIES_AT_ONCE = 50
"""Raw events in memory at a time."""


class PurgedRows(NamedTuple):
    """What was, or would be, deleted."""

    events: int
    versions: int


def purge(correction_store: CorrectionStore, days: float, *, with_history: bool, is_trial: bool = False) -> PurgedRows:
    """Delete raw events that were read, older than so many days.

    Args:
        with_history: Also former versions of annotations, and those that were deleted or skipped, with their outcomes.
        is_trial: Delete nothing; only count.

    Raises:
        BadInput: If the number of days is negative.
    """
    if days < 0:
        raise BadInput(f"--days is {days:g}; give 0 or more.")
    before = time.time() - days * DAY_S
    read = sa.select(webhook_read.c.webhook_id)
    old_events = (webhook.c.received_at < before) & webhook.c.id.in_(read)
    old_versions = (annotation_version.c.seen_at < before) & ~is_newest()
    with correction_store.writing() as db:
        events = db.scalar(sa.select(sa.func.count()).select_from(webhook).where(old_events)) or 0
        ids = list(db.scalars(sa.select(annotation_version.c.id).where(old_versions))) if with_history else []
        if not is_trial:
            db.execute(sa.delete(webhook).where(old_events))
            db.execute(sa.delete(webhook_read).where(webhook_read.c.webhook_id.not_in(sa.select(webhook.c.id))))
            for start in range(0, len(ids), BODIES_AT_ONCE):
                some = ids[start : start + BODIES_AT_ONCE]
                db.execute(sa.delete(outcome).where(outcome.c.version_id.in_(some)))
                db.execute(sa.delete(annotation_version).where(annotation_version.c.id.in_(some)))
    return PurgedRows(events, len(ids))


def pseudonymise(correction_store: CorrectionStore, annotator: int) -> int:
    """Put a made-up number in place of an annotator everywhere, raw events included; the number, which is negative.

    Nothing is kept that leads back to the annotator: names and e-mail addresses that events tell go too.

    Raises:
        BadInput: If nothing of this annotator is known.
    """
    pseudonym = -1 - secrets.randbelow(2**31 - 1)
    with correction_store.writing() as db:
        changed = sum(
            db.execute(sa.update(column.table).where(column == annotator).values({column.name: pseudonym})).rowcount
            for column in columns_of("number")
        )
        inside = columns_of("inside")
        names = {name for column in inside for _, body in _bodies(db, column) for name in find_names(body, annotator)}
        where = [(column, annotator) for column in inside] + [(column, None) for column in columns_of("names") if names]
        for column, user in where:
            for key, body in _bodies(db, column):
                if replace_person(body, user, pseudonym, names):
                    value = json.dumps(body) if isinstance(column.type, sa.Text) else body
                    [own] = column.table.primary_key
                    db.execute(sa.update(column.table).where(own == key).values({column.name: value}))
                    changed += 1
    if not changed:
        raise BadInput(f"Nothing of annotator {annotator} is known. `ris corrections stats --by annotator` lists them.")
    return pseudonym


def columns_of(kind: str) -> list[sa.Column[Any]]:
    """The columns that hold persons in a way: "number", "inside" their JSON, or only their "names" in it."""
    return [column for table in metadata.sorted_tables for column in table.c if column.info.get("person") == kind]


def _bodies(db: sa.Connection, column: sa.Column[Any]) -> Iterator[tuple[Any, Any]]:
    """Key and JSON of each row, few in memory at a time; what is no JSON has nobody in it that could be told."""
    [key] = column.table.primary_key
    last = None
    while True:
        wanted = sa.select(key, column).order_by(key).limit(BODIES_AT_ONCE)
        rows = db.execute(wanted if last is None else wanted.where(key > last)).all()
        if not rows:
            return
        last = rows[-1][0]
        for own, body in rows:
            try:
                yield own, json.loads(body) if isinstance(column.type, sa.Text) else body
            except (ValueError, RecursionError):
                continue
