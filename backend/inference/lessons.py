"""Segmenters with what was learnt for projects."""

from functools import lru_cache

from backend.db.request_store import RequestStore
from ris_core.learning.lesson import Lesson
from ris_core.segmentation.segmenter import Segmenter

MAX_TAUGHT = 64
"""Lessons kept in memory."""


class Lessons:
    """Finds what was learnt for a project. Threads may share it.

    Args:
        store: Where lessons are; asked for each task, so that a new one counts at once.
    """

    def __init__(self, store: RequestStore) -> None:
        self._store = store
        self._get = lru_cache(MAX_TAUGHT)(store.lessons.get)  # a digest stands for the same lesson for ever

    def find(self, segmenter: Segmenter, project: int | None, digest: str | None = None) -> Lesson | None:
        """What decides a project's answers.

        Args:
            digest: Of a lesson that a run began with, empty if it began without one; None for the newest.
        """
        version = segmenter.model_version
        if digest is None:
            digest = self._store.lessons.find_digest(project, version)
        return self._get(project, version, digest) if digest else None
