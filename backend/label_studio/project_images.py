"""Images from hosts that a project names for itself."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from backend.label_studio.images import ImageFetcher


class ProjectImageFetcher(ImageFetcher):
    """Fetches from a project's own hosts too, at public addresses only.

    Whoever connects a project need not be who runs the backend: private addresses stay with `IMAGE_HOSTS`.

    Args:
        project_hosts: "host" or "host:port", lower-case.
        **like_others: As `ImageFetcher` takes it.
    """

    def __init__(self, project_hosts: Iterable[str], **like_others: Any) -> None:
        super().__init__(**like_others)
        self._project_hosts = frozenset(project_hosts)

    def _check_host(self, url: str, is_own: bool, may_leave: bool) -> None:
        parts = urlsplit(url)
        is_named = bool({parts.hostname or "", parts.netloc.rpartition("@")[2].lower()} & self._project_hosts)
        super()._check_host(url, is_own or is_named, may_leave)
