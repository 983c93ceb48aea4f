"""What is asked of Label Studio's API about itself and a project: its version, its user, its ML backends, its first tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.task_query import tasks_path


def read_release(studio: LabelStudioClient) -> str | None:
    """Label Studio's own version, as "1.23.2"."""
    return studio.request("GET", "/api/version").get("release")


def read_user_email(studio: LabelStudioClient) -> str:
    """The e-mail address of the user whom the token belongs to."""
    return str(studio.request("GET", "/api/current-user/whoami").get("email"))


def read_project_json(studio: LabelStudioClient, project: int) -> Mapping[str, Any]:
    """A project as Label Studio describes it.

    Raises:
        RequestRefused: If there is no such project that the token may see.
    """
    return studio.request("GET", f"/api/projects/{project}/")


def list_ml_backends(studio: LabelStudioClient, project: int) -> Sequence[Mapping[str, Any]]:
    """The ML backends of a project; Label Studio calls the /health and /setup of each before it answers."""
    return studio.request("GET", f"/api/ml?project={project}")


def list_first_tasks(studio: LabelStudioClient, project: int, count: int) -> Mapping[int, Mapping[str, Any]]:
    """The data of the first tasks of a project, by id."""
    tasks = studio.request("GET", tasks_path(project, count, fields="task_only"))["tasks"]
    return {int(task["id"]): task["data"] for task in tasks}
