"""The pages of quality review, with the Label Studio and the images that the settings name."""

import functools
import time
from typing import TYPE_CHECKING

from backend.settings.environment import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from backend.db.request_store import RequestStore
    from backend.exporters.image_files import Fetch
    from backend.runs.run import Run
    from backend.runs.spec import RunSpec
    from backend.runs.store import RunStore

CONNECTION_S = 60
"""How long a project's connection, and the number of a user, are used before they are read anew."""
MOST_PROJECTS = 32
MOST_PEOPLE = 256


def open_pages(settings: Settings) -> "FastAPI":
    """The app.

    Raises:
        Unreachable: If the database cannot be opened.
    """
    from backend.commands.image_fetch import make_fetch
    from backend.commands.run_status import count_workers
    from backend.commands.studio import is_known, open_review_client
    from backend.db.request_store import open_request_store
    from backend.pages.app import create_pages
    from backend.runs import control
    from backend.runs.store import open_run_store
    from backend.transport import redis_client, redis_server

    @functools.lru_cache(MOST_PROJECTS)
    def make_for_now(project: int, _minute: int) -> "Fetch | None":
        return make_fetch(settings, project)

    @functools.lru_cache(MOST_PEOPLE)
    def find_for_now(email: str, _minute: int) -> int | None:
        return open_review_client(settings).find_user(email) if is_known(settings) else None

    def find_user(email: str) -> int | None:
        return find_for_now(email, int(time.time() // CONNECTION_S))

    def make_fetch_now(project: int) -> "Fetch | None":
        return make_for_now(project, int(time.time() // CONNECTION_S))

    @functools.cache
    def open_stores() -> "tuple[RunStore, RequestStore]":
        return open_run_store(settings.sql_url), open_request_store(settings.sql_url)

    def start_run(spec: "RunSpec") -> "Run":
        conn = redis_client.connect(redis_server.resolve_url(settings.redis_url, settings.state_dir))
        return control.create(*open_stores(), conn, spec)

    return create_pages(settings, find_user, make_fetch_now, start_run, lambda: count_workers(settings))
