"""Webhooks as they come: kept whole, read later."""

from backend.db.request_store import RequestStore
from backend.label_studio import protocol

INVALID_EVENT = "invalid"
"""Action under which an event that cannot be read is kept."""
_MAX_ACTION = 64
"""Characters of an action that are kept; Label Studio's have at most 30."""


def keep_event(store: RequestStore, raw: bytes | bytearray) -> tuple[str, int | None]:
    """Keep a webhook's body as it came; its action (`INVALID_EVENT` if it cannot be read) and project.

    Raises:
        Unreachable: If the database is down.
    """
    action, project = protocol.read_event_action(raw)
    if not action or not action.isprintable():
        action = INVALID_EVENT
    text = raw.decode(errors="replace").replace("\0", "\ufffd")  # PostgreSQL takes no zero bytes
    store.projects.add_webhook(action[:_MAX_ACTION], project, text)
    return action[:_MAX_ACTION], project
