"""How long things are kept, and under whose name."""

import json
import secrets
import time
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.corrections.ledger import Ledger
from backend.corrections.reading import is_newest
from backend.corrections.tables import annotation_version, outcome, webhook_read
from backend.tables import request, webhook
from ris_core.errors import BadInput

DAY_S = 86_400.0
BODIES_AT_ONCE = 50
"""Raw events in memory at a time."""
_PEOPLE = frozenset({"completed_by", "updated_by", "created_by", "last_created_by", "user", "deleted_by"})
"""Where Label Studio's JSON has a user's id, or an object or list of them."""
_NAMED = frozenset({"email", "first_name", "last_name", "username"})
"""What only a user, written out, has beside an id."""


class Purged(NamedTuple):
    """What was, or would be, deleted."""

    events: int
    versions: int


def purge(ledger: Ledger, days: float, *, with_history: bool, is_trial: bool = False) -> Purged:
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
    with ledger.writing() as db:
        events = db.scalar(sa.select(sa.func.count()).select_from(webhook).where(old_events)) or 0
        ids = list(db.scalars(sa.select(annotation_version.c.id).where(old_versions))) if with_history else []
        if not is_trial:
            db.execute(sa.delete(webhook).where(old_events))
            db.execute(sa.delete(webhook_read).where(webhook_read.c.webhook_id.not_in(sa.select(webhook.c.id))))
            for start in range(0, len(ids), BODIES_AT_ONCE):
                some = ids[start : start + BODIES_AT_ONCE]
                db.execute(sa.delete(outcome).where(outcome.c.version_id.in_(some)))
                db.execute(sa.delete(annotation_version).where(annotation_version.c.id.in_(some)))
    return Purged(events, len(ids))


def pseudonymise(ledger: Ledger, annotator: int) -> int:
    """Put a made-up number in place of an annotator everywhere, raw events included; the number, which is negative.

    Nothing is kept that leads back to the annotator.

    Raises:
        BadInput: If nothing of this annotator is known.
    """
    pseudonym = -1 - secrets.randbelow(2**31 - 1)
    with ledger.writing() as db:
        changes = [
            (annotation_version, annotation_version.c.annotator),
            (request, request.c.user),
        ]
        changed = sum(
            db.execute(sa.update(table).where(column == annotator).values({column: pseudonym})).rowcount
            for table, column in changes
        )
        last = 0
        while rows := db.execute(
            sa.select(webhook.c.id, webhook.c.body)
            .where(webhook.c.id > last)
            .order_by(webhook.c.id)
            .limit(BODIES_AT_ONCE)
        ).all():
            last = rows[-1].id
            for row in rows:
                if (body := _without(row.body, annotator, pseudonym)) != row.body:
                    db.execute(sa.update(webhook).where(webhook.c.id == row.id).values(body=body))
                    changed += 1
    if not changed:
        raise BadInput(f"Nothing of annotator {annotator} is known. `ris corrections stats --by annotator` lists them.")
    return pseudonym


def _without(body: str, annotator: int, pseudonym: int) -> str:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return json.dumps(event) if _replace(event, annotator, pseudonym) else body


def _replace(value: Any, annotator: int, pseudonym: int) -> bool:
    """Change it in place, wherever it is; whether it was anywhere."""
    changed = False
    if isinstance(value, list):
        for one in value:
            changed |= isinstance(one, dict | list) and _replace(one, annotator, pseudonym)
    if not isinstance(value, dict):
        return changed
    if value.get("id") == annotator and _NAMED & set(value):  # a user, written out
        value |= {"id": pseudonym, **dict.fromkeys(_NAMED & set(value), "")}
        changed = True
    for name, one in value.items():
        if name in _PEOPLE and one == annotator:
            value[name] = pseudonym
            changed = True
        elif name in _PEOPLE and isinstance(one, list) and annotator in one:
            value[name] = [pseudonym if user == annotator else user for user in one]
            changed = True
        elif name == "created_username" and str(one).endswith(f", {annotator}"):
            value[name] = f", {pseudonym}"
            changed = True
        elif isinstance(one, dict | list) and name != "rle":
            changed |= _replace(one, annotator, pseudonym)
    return changed
