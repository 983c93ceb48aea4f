"""What imports ask of Label Studio's API: projects, uploads of images, and tasks with what is drawn on them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from backend.base.errors import Unreachable
from backend.base.redaction import reason_of
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.protocol import Json
from backend.label_studio.task_query import make_condition, make_query, tasks_path

TIMEOUT_S = 300.0
"""Seconds that a batch may take: Label Studio writes it in one transaction."""
PAGE = 500
"""Tasks that are asked for at once, without what is drawn on them."""
_UUID_LENGTH = 9
"""Characters that Label Studio puts before the name of an uploaded file."""


class NotSent(Unreachable):
    """Label Studio got nothing of a request."""


class ImportClient(LabelStudioClient):
    """Label Studio's API, with what makes projects and tasks."""

    def __init__(self, url: str, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(url, token, timeout_s)

    def list_projects(self) -> Iterator[Json]:
        """All projects that the token may see."""
        page = 1
        while True:
            answer = self.request("GET", f"/api/projects/?page_size=100&page={page}")
            yield from answer["results"]
            if not answer.get("next"):
                return
            page += 1

    def create_project(self, title: str, description: str, label_config: str) -> int:
        """Make a project; its id."""
        project = {"title": title, "description": description, "label_config": label_config}
        return int(self.request("POST", "/api/projects/", project)["id"])

    def read_label_config(self, project: int) -> str:
        """The label config of a project.

        Raises:
            RequestRefused: If there is no such project that the token may see.
        """
        return str(self.request("GET", f"/api/projects/{project}/")["label_config"])

    def list_data(self, project: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Id and data of every task of a project, in the order of their ids."""
        last = 0
        while True:
            query = make_query([make_condition("id", "Number", last)])
            tasks = self.request("GET", tasks_path(project, PAGE, query, fields="task_only"))["tasks"]
            if not tasks:  # that a page is short proves nothing: TASK_API_PAGE_SIZE_MAX may cap it
                return
            for task in tasks:
                yield int(task["id"]), task["data"]
            last = max(int(task["id"]) for task in tasks)

    def list_uploads(self, project: int) -> dict[str, str]:
        """Address by name of the files that this user uploaded to a project."""
        uploads = self.request("GET", f"/api/projects/{project}/file-uploads?all=true")
        return {str(one["file"]).rpartition("/")[2][_UUID_LENGTH:]: f"/data/{one['file']}" for one in uploads}

    def upload(self, project: int, name: str, content: bytes) -> str:
        """Upload an image; its address. No task is made of it."""
        path = f"/api/projects/{project}/import?commit_to_project=false"
        [number] = self.request("POST", path, _UploadedFile(name, content))["file_upload_ids"]
        return f"/data/{self.request('GET', f'/api/import/file-upload/{number}')['file']}"

    def import_tasks(self, project: int, tasks: Sequence[Json]) -> Json:
        """Make tasks with their annotations and predictions, all or none; Label Studio's counts of what it made.

        Raises:
            RequestRefused: If none was made.
            NotSent: Likewise.
            Unreachable: If it is not known whether they were made.
        """
        return dict(
            self.request("POST", f"/api/projects/{project}/import", _TaskList(json.dumps(list(tasks)).encode()))
        )

    def _send(self, method: str, path: str, json: object) -> httpx.Response:
        if isinstance(json, _UploadedFile):
            body: dict[str, Any] = {"files": {"file": (json.name, json.content)}}
        elif isinstance(json, _TaskList):
            body = {"content": json.content}
        else:
            return super()._send(method, path, json)
        about = {"Content-Type": "application/json"} if isinstance(json, _TaskList) else {}
        try:
            return self._http.request(method, self.url + path, headers={**self._key.headers(), **about}, **body)
        except httpx.HTTPError as error:
            is_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise (Unreachable if is_sent else NotSent)(
                f"Label Studio at {self.url} does not answer ({reason_of(error)}).",
                "Check that it runs and LABEL_STUDIO_URL; then run the import again: nothing is made twice.",
            ) from error


@dataclass(frozen=True)
class _UploadedFile:
    name: str
    content: bytes


@dataclass(frozen=True)
class _TaskList:
    """Tasks as JSON in ASCII."""

    content: bytes
