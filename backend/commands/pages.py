"""The pages of quality review, with the Label Studio and the images that the settings name."""

import functools
import time
from typing import TYPE_CHECKING

from backend.settings.environment import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from backend.exporters.image_files import Fetch

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
    from backend.pages.app import create_pages

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

    return create_pages(settings, find_user, make_fetch_now, lambda: count_workers(settings))
