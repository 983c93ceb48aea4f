"""The section "Images": one image of each kind in a project's tasks, fetched as the worker fetches it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from backend.base.errors import BadConfig
from backend.doctor.context import DoctorContext
from backend.doctor.finding import BAD, Finding, fail, failure_of, ok, skip, warn
from backend.doctor.setups import ProjectSetup, read_setup
from backend.doctor.studio import NO_PROJECT, find_project, open_studio
from backend.label_studio import protocol
from backend.label_studio.image_addresses import kind_of
from backend.label_studio.images import ImageFetcher
from backend.label_studio.label_config import read_config
from backend.label_studio.project_images import ProjectImageFetcher
from backend.label_studio.projects_api import list_first_tasks
from backend.settings.project import read_project_settings
from ris_core.errors import RisError
from ris_core.types import Image

TASKS = 100
"""Number of tasks whose images are looked at."""
FETCH_TIMEOUT_S = 10.0
"""Limit for one image, unless the setting is lower."""


def check_images(context: DoctorContext) -> Iterator[Finding]:
    """Fetch and open the first image of each kind among the first `TASKS` tasks."""
    if context.project is None:
        yield NO_PROJECT
        return
    with closing(open_studio(context)) as studio:
        try:
            config = read_config(str(find_project(studio, context.project).get("label_config") or ""))
        except BadConfig:
            yield skip("Images", "not checked, because the label config cannot be used")
            return
        tasks = list_first_tasks(studio, context.project, TASKS)
    setup = read_setup(context.settings.sql_url, context.project)
    yield from _check_tasks(context, tasks, config.image_key, setup)


def _check_tasks(
    context: DoctorContext, tasks: Mapping[int, Mapping[str, Any]], key: str, setup: ProjectSetup | None
) -> Iterator[Finding]:
    urls = {task: protocol.read_field(data, key) for task, data in tasks.items()}
    if not tasks:
        yield skip("Images", "the project has no tasks yet")
    if tasks_without := [task for task, url in urls.items() if url is None]:
        remedy = f"Import the tasks with an image address in {key!r}, or correct <Image value>."
        value = f"{len(tasks_without)} of {len(tasks)} tasks have no image address in {key!r}, for example task {tasks_without[0]}"
        yield (
            fail("Images", value, remedy, BAD) if len(tasks_without) == len(tasks) else warn("Images", value, remedy)
        )
    own_hosts = {
        urlsplit(url).netloc for url in (context.settings.label_studio_url, setup.hostname if setup else "") if url
    }
    first_of_kind: dict[str, tuple[int, str]] = {}
    for task, url in urls.items():
        if url:
            first_of_kind.setdefault(kind_of(url, own_hosts), (task, url))
    fetcher = _make_fetcher(context, setup)
    for kind, (task, url) in first_of_kind.items():
        yield _fetch(fetcher, kind, task, url, setup, context.settings.max_image_pixels)
    fetcher.close()


def _fetch(
    fetcher: ImageFetcher, kind: str, task: int, url: str, setup: ProjectSetup | None, max_pixels: int
) -> Finding:
    hostname, token = (setup.hostname, setup.access_token) if setup else (None, None)
    start = time.perf_counter()
    try:
        content = fetcher.fetch(url, hostname or None, token or None, task)
        seconds = time.perf_counter() - start
        height, width = Image.open(content, max_pixels).size_hw
    except RisError as error:
        return failure_of(kind, error)
    return ok(kind, f"task {task}: {width}x{height} px, {len(content) / 1000:.0f} kB in {seconds:.2f} s")


def _make_fetcher(context: DoctorContext, setup: ProjectSetup | None) -> ImageFetcher:
    settings = context.settings
    return ProjectImageFetcher(
        _read_hosts(setup.extra_params if setup else {}),
        label_studio_url=settings.label_studio_url,
        api_key=context.api_key,
        image_hosts=settings.image_hosts,
        local_files_root=settings.local_files_root,
        max_bytes=settings.max_image_bytes,
        timeout_s=min(settings.fetch_timeout_s, FETCH_TIMEOUT_S),
    )


def _read_hosts(extra_params: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return read_project_settings(extra_params).image_hosts
    except BadConfig:
        return ()  # the section "Project" reports it
