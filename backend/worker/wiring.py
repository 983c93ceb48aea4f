"""From settings to a `InferenceService`, once per process."""

import functools
from collections.abc import Callable

import redis
import structlog

from backend.base.errors import BadSettings, Unreachable
from backend.corrections.store import open_correction_store as open_corrections
from backend.corrections.sync import CorrectionSync
from backend.db.measured_times import keep_encoding_time
from backend.db.request_store import open_request_store
from backend.inference.feature_cache import FeatureCache
from backend.inference.own_profile import settle_profile
from backend.inference.segmenters import Segmenters
from backend.inference.service import InferenceService
from backend.label_studio.images import ImageFetcher
from backend.label_studio.project_images import ProjectImageFetcher
from backend.runs.execution import RunContext
from backend.runs.store import RunStore, open_run_store
from backend.runs.studio_client import RunClient
from backend.runs.supervisor import RunSupervisor
from backend.runs.worker_state import WorkerState
from backend.settings.environment import Settings, read_settings
from backend.transport import queueing, redis_client, worker_registry
from backend.transport.redis_server import resolve_url
from ris_core import load_segmenter
from ris_core.errors import RisError
from ris_core.runtime import weights
from ris_core.segmentation.segmenter import Segmenter

log = structlog.get_logger(__name__)

MAX_PROJECT_FETCHERS = 32
"""Fetchers kept for projects that name image hosts of their own."""


def service() -> InferenceService:
    """The service of this process, as its environment configures it."""
    return build_service(read_settings())


def connection() -> redis.Redis:
    """The Redis of this process, as its environment configures it."""
    return _connect(read_settings())


@functools.cache
def worker_state() -> WorkerState:
    """The state of this process as a worker: jobs and the supervisor's thread share it."""
    return WorkerState()


def run_context() -> RunContext:
    """What this process's jobs of runs need."""
    settings = read_settings()
    conn = _connect(settings)
    return RunContext(
        run_store=build_run_store(settings),
        service=build_service(settings),
        worker_state=worker_state(),
        is_wanted=lambda: queueing.queue_lengths(conn)["interactive"] > 0,
    )


def build_supervisor(settings: Settings, conn: redis.Redis) -> RunSupervisor:
    """What keeps runs going beside this process's jobs."""
    return RunSupervisor(build_run_store(settings), conn, functools.partial(_open_studio, settings), worker_state())


def build_correction_sync(settings: Settings) -> CorrectionSync:
    """What keeps the correction store up to date beside this process's jobs."""
    return CorrectionSync(lambda: open_corrections(settings.sql_url), functools.partial(_open_studio, settings))


@functools.cache
def build_run_store(settings: Settings) -> RunStore:
    """Open the store of runs.

    Raises:
        Unreachable: If the database cannot be opened.
    """
    return open_run_store(settings.sql_url)


@functools.cache
def own_profile(settings: Settings) -> str:
    """The profile of this worker: the one that is set, else that of the database.

    Raises:
        Unreachable: If the database cannot be opened.
    """
    if settings.profile:
        return settings.profile
    store = open_request_store(settings.sql_url)
    try:
        return settle_profile(None, store.engine, settings.device)
    finally:
        store.close()


@functools.cache
def build_service(settings: Settings) -> InferenceService:
    """Open the store and load the models.

    Raises:
        UnknownName: If there is no such profile.
        WeightsMissing: If a file of weights is not there and cannot be downloaded.
        Unreachable: If the database cannot be opened.
    """
    store = open_request_store(settings.sql_url)  # first: it fails at once, models take their time
    _limit_threads(settings.threads)

    @functools.lru_cache(MAX_PROJECT_FETCHERS)
    def make_project_fetcher(hosts: tuple[str, ...]) -> ImageFetcher:
        return make_fetcher(settings, hosts)

    return InferenceService(
        store=store,
        cache=FeatureCache(
            settings.state_dir / "features",
            settings.cache_bytes,
            settings.click_cache_bytes,
            settings.open_cache_bytes,
        ),
        fetcher=make_fetcher(settings),
        segmenter=load_segmenter(
            own_profile(settings),
            device=settings.device,
            store=weights.WeightStore(settings.model_dir, mirrors=settings.model_mirrors),
            **settings.component_overrides,
        ),
        max_pixels=settings.max_image_pixels,
        top_k=settings.top_k,
        segmenters=Segmenters(lambda profile: _load_other(settings, profile)),
        make_fetcher=make_project_fetcher,
        ahead=settings.encode_ahead,
    )


def keep_encoding_times(service: InferenceService, device: str) -> Callable[[str, float, int], None]:
    """What keeps in the database how long this machine's encodings take; work goes on where that fails."""

    def keep(profile: str, median_s: float, images: int) -> None:
        try:
            keep_encoding_time(service.store.engine, device, profile, median_s, images)
        except RisError as error:
            log.warning("how long encodings take is not kept", profile=profile, error=str(error))

    return keep


@functools.cache
def _connect(settings: Settings) -> redis.Redis:
    return redis_client.connect(resolve_url(settings.redis_url, settings.state_dir))


def _open_studio(settings: Settings, project: int) -> RunClient:
    """Label Studio as the settings name it; else as the project's connection does.

    Raises:
        BadSettings: If neither does.
    """
    key = settings.label_studio_api_key
    if settings.label_studio_url and key:
        return RunClient(settings.label_studio_url, key.get_secret_value())
    connection = build_service(settings).store.projects.get_connection(project)
    if not (connection and connection.hostname and connection.access_token):
        raise BadSettings("Workers do not know Label Studio.", "Give them LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.")
    return RunClient(connection.hostname, connection.access_token)


def make_fetcher(settings: Settings, project_hosts: tuple[str, ...] = ()) -> ImageFetcher:
    """What gets images, for a project that names hosts of its own or for those that do not."""
    key = settings.label_studio_api_key
    return ProjectImageFetcher(
        project_hosts,
        label_studio_url=settings.label_studio_url,
        api_key=key.get_secret_value() if key else None,
        image_hosts=settings.image_hosts,
        local_files_root=settings.local_files_root,
        max_bytes=settings.max_image_bytes,
        timeout_s=settings.fetch_timeout_s,
    )


def _load_other(settings: Settings, profile: str) -> Segmenter:
    """A profile that a project names; an annotator waits, so nothing is downloaded for it."""
    store = weights.WeightStore(settings.model_dir, offline=True)
    segmenter = load_segmenter(profile, device=settings.device, store=store, **settings.component_overrides)
    log.info("a further profile is loaded", profile=profile, model_version=segmenter.model_version)
    try:
        worker_registry.report_version(_connect(settings), profile, segmenter.model_version)
    except Unreachable as error:
        log.warning("the version of a profile is not reported", profile=profile, error=str(error))
    return segmenter


def _limit_threads(threads: int) -> None:
    import torch  # here: it takes seconds, and the worker reports itself before

    torch.set_num_threads(threads)
