"""What is kept of each project: its connection to Label Studio, the images behind its URLs, its prompts and webhook events."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from backend.db.database import Transactions
from backend.db.tables import connection, image_source, prompt, webhook
from backend.db.upsert import upsert

SOURCE_LIFETIME_S = 3600.0
"""How long the image behind a URL is assumed to stay the same."""

# Statements that every request runs are made once: making one takes longer than running it.
_READ_CONNECTION = sa.select(connection).where(connection.c.project == sa.bindparam("project"))
_READ_IMAGE = sa.select(image_source.c.image_sha256, image_source.c.height, image_source.c.width).where(
    image_source.c.key == sa.bindparam("key"), image_source.c.fetched_at > sa.bindparam("since")
)
_READ_PROMPT = sa.select(prompt.c.texts, prompt.c.told).where(
    *(prompt.c[name] == sa.bindparam(name) for name in ("project", "task", "prompt_id"))
)


@dataclass(frozen=True)
class ProjectConnection:
    """What Label Studio said of a project in its request to /setup.

    Attributes:
        hostname: Label Studio's own address, None if it sent none.
        access_token: The legacy token of whoever connected the backend; None if none was sent.
    """

    project: int
    hostname: str | None
    access_token: str | None = field(repr=False)
    label_config: str = field(repr=False)
    extra_params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FetchedImage:
    """An image that was fetched before.

    Attributes:
        image_sha256: Digest of its bytes.
        height, width: Upright, in pixels.
    """

    image_sha256: str
    height: int
    width: int


@dataclass(frozen=True)
class PromptMemory:
    """What is known of a prompt from its last request.

    Attributes:
        texts: Its entries.
        told: Expressions of which the annotator was told that their masks are there already.
    """

    texts: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


class ProjectStore:
    """The part of `RequestStore` that is about projects; its methods raise the same errors."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def save_connection(self, new: ProjectConnection) -> None:
        """Keep a project's connection in place of its last one."""
        row = {
            "project": new.project,
            "hostname": new.hostname,
            "access_token": new.access_token,
            "label_config": new.label_config,
            "extra_params": dict(new.extra_params),
            "updated_at": time.time(),
        }
        with self._transactions.writing() as db:
            upsert(db, connection, row)

    def get_connection(self, project: int | None) -> ProjectConnection | None:
        """A project's last connection."""
        with self._transactions.reading() as db:
            row = db.execute(_READ_CONNECTION, {"project": project}).mappings().first()
        return (
            ProjectConnection(**{name: value for name, value in row.items() if name != "updated_at"}) if row else None
        )

    def save_image(self, project: int | None, url: str, image: FetchedImage) -> None:
        """Keep which image is behind a URL."""
        row = {
            "key": _source_key(project, url),
            "image_sha256": image.image_sha256,
            "height": image.height,
            "width": image.width,
            "fetched_at": time.time(),
        }
        with self._transactions.writing() as db:
            upsert(db, image_source, row)

    def get_image(self, project: int | None, url: str) -> FetchedImage | None:
        """The image that was behind a URL less than `SOURCE_LIFETIME_S` ago."""
        of = {"key": _source_key(project, url), "since": time.time() - SOURCE_LIFETIME_S}
        with self._transactions.reading() as db:
            row = db.execute(_READ_IMAGE, of).mappings().first()
        return FetchedImage(**row) if row else None

    def save_prompt(
        self, project: int | None, task: str, prompt_id: str, texts: Sequence[str], told: Sequence[str] = ()
    ) -> None:
        """Keep the texts of one TextArea result, to find the one that changes next.

        Args:
            told: Expressions of which the annotator was told just now that their masks are there already.
        """
        row = {
            "project": project or 0,  # part of the primary key, which takes no NULL
            "task": str(task),
            "prompt_id": prompt_id,
            "texts": list(texts),
            "told": list(told) or None,
            "updated_at": time.time(),
        }
        with self._transactions.writing() as db:
            upsert(db, prompt, row)

    def get_prompt(self, project: int | None, task: str, prompt_id: str) -> PromptMemory:
        """What was kept of one TextArea result; empty if it is new."""
        of = {"project": project or 0, "task": str(task), "prompt_id": prompt_id}
        with self._transactions.reading() as db:
            row = db.execute(_READ_PROMPT, of).first()
        return PromptMemory(tuple(row.texts), tuple(row.told or ())) if row else PromptMemory()

    def add_webhook(self, action: str, project: int | None, body: str) -> int:
        """Keep an event as it came; its id."""
        row = {"received_at": time.time(), "action": action, "project": project, "body": body}
        with self._transactions.writing() as db:
            return int(db.scalar(sa.insert(webhook).values(row).returning(webhook.c.id)))


def _source_key(project: int | None, url: str) -> str:
    """A digest: URLs may be long, and hold secrets such as signatures."""
    return hashlib.sha256(f"{project or 0}\n{url}".encode()).hexdigest()
