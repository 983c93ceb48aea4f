"""One image of each kind that a project's tasks name, fetched as the worker fetches it."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from backend.base.errors import BadConfig
from backend.doctor.context import DoctorContext
from backend.doctor.finding import BAD, Finding, fail, failure_of, ok, skip, warn
from backend.doctor.setups import ProjectSetup, read_setup
from backend.doctor.studio import NO_PROJECT, find_project, open_studio
from backend.label_studio import protocol
from backend.label_studio.images import STORAGE_SCHEMES, ImageFetcher
from backend.label_studio.label_config import read_config
from backend.label_studio.project_images import ProjectImageFetcher
from backend.settings.project import read_project_settings
from ris_core.errors import RisError
from ris_core.types import Image

TASKS = 100
"""How many tasks are looked through."""
FETCH_TIMEOUT_S = 10.0
"""For one image, if the setting is not less."""


def check_images(case: DoctorContext) -> Iterator[Finding]:
    """Fetch and open the first image of each kind among the first tasks."""
    if case.project is None:
        yield NO_PROJECT
        return
    with closing(open_studio(case)) as studio:
        try:
            config = read_config(str(find_project(studio, case.project).get("label_config") or ""))
        except BadConfig:
            yield skip("Images", "not looked at: the label config cannot be used")
            return
        page = f"/api/tasks?project={case.project}&page_size={TASKS}&fields=task_only&resolve_uri=false"
        tasks = studio.request("GET", page)["tasks"]
    setup = read_setup(case.settings.sql_url, case.project)
    yield from _check_tasks(case, tasks, config.image_key, setup)


def _check_tasks(
    case: DoctorContext, tasks: Sequence[Mapping[str, Any]], key: str, setup: ProjectSetup | None
) -> Iterator[Finding]:
    urls = {int(task["id"]): protocol.read_field(task["data"], key) for task in tasks}
    if not tasks:
        yield skip("Images", "the project has no tasks yet")
    if without := [task for task, url in urls.items() if url is None]:
        remedy = f"Import the tasks with an image address in {key!r}, or correct <Image value>."
        seen = f"{len(without)} of {len(tasks)} tasks have none in {key!r}, such as task {without[0]}"
        yield (fail("Images", seen, remedy, BAD) if len(without) == len(tasks) else warn("Images", seen, remedy))
    own = {urlsplit(url).netloc for url in (case.settings.label_studio_url, setup.hostname if setup else "") if url}
    first: dict[str, tuple[int, str]] = {}
    for task, url in urls.items():
        if url:
            first.setdefault(kind_of(url, own), (task, url))
    fetcher = _make_fetcher(case, setup)
    for kind, (task, url) in first.items():
        yield _fetch(fetcher, kind, task, url, setup, case.settings.max_image_pixels)
    fetcher.close()


def kind_of(url: str, own_hosts: set[str]) -> str:
    """Where an image comes from: "upload", "local files", "s3 storage", "data URI", or the host's name.

    Args:
        own_hosts: Label Studio's own, with their ports; addresses without a host are Label Studio's as well.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "data":
        return "data URI"
    if scheme in STORAGE_SCHEMES and "://" in url:
        return f"{scheme} storage"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "bad address"
    host = parts.netloc.rpartition("@")[2]
    if host and host not in own_hosts:
        return host
    named = re.search(r"/data/(upload|local-files)/", parts.path)
    return named[1].replace("-", " ") if named else "Label Studio"


def _fetch(
    fetcher: ImageFetcher, kind: str, task: int, url: str, setup: ProjectSetup | None, max_pixels: int
) -> Finding:
    hostname, token = (setup.hostname, setup.access_token) if setup else (None, None)
    began = time.perf_counter()
    try:
        content = fetcher.fetch(url, hostname or None, token or None, task)
        seconds = time.perf_counter() - began
        height, width = Image.open(content, max_pixels).size_hw
    except RisError as error:
        return failure_of(kind, error)
    return ok(kind, f"task {task}: {width}x{height} px, {len(content) / 1000:.0f} kB in {seconds:.2f} s")


def _make_fetcher(case: DoctorContext, setup: ProjectSetup | None) -> ImageFetcher:
    settings = case.settings
    return ProjectImageFetcher(
        _read_hosts(setup.extra_params if setup else {}),
        label_studio_url=settings.label_studio_url,
        api_key=case.api_key,
        image_hosts=settings.image_hosts,
        local_files_root=settings.local_files_root,
        max_bytes=settings.max_image_bytes,
        timeout_s=min(settings.fetch_timeout_s, FETCH_TIMEOUT_S),
    )


def _read_hosts(extra_params: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return read_project_settings(extra_params).image_hosts
    except BadConfig:
        return ()  # the section Project says so
