"""How commands get the images of a project."""

from typing import TYPE_CHECKING

from backend.settings.environment import Settings

if TYPE_CHECKING:
    from backend.exporters.image_files import Fetch


def make_fetch(settings: Settings, project: int) -> "Fetch | None":
    """The function that fetches a project's images; None where no Label Studio is known."""
    from backend.db.request_store import open_request_store
    from backend.settings.project import read_project_settings
    from backend.worker.wiring import make_fetcher

    store = open_request_store(settings.sql_url)
    connection = store.projects.get_connection(project)
    store.close()
    if not settings.label_studio_url and connection is None:
        return None
    hosts = read_project_settings(connection.extra_params).image_hosts if connection else ()
    fetcher = make_fetcher(settings, hosts)
    hostname = (connection and connection.hostname) or None
    token = (connection and connection.access_token) or None
    return lambda address, task: fetcher.fetch(address, hostname, token, task)
