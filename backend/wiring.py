"""From settings to a `Service`, once per process."""

import functools

from backend.feature_cache import FeatureCache
from backend.label_studio.images import ImageFetcher
from backend.service import Service
from backend.settings import Settings, read_settings
from backend.store import open_store
from ris_core import load_segmenter, weights


def service() -> Service:
    """The service of this process, as its environment configures it."""
    return build_service(read_settings())


@functools.cache
def build_service(settings: Settings) -> Service:
    """Open the store and load the models.

    Raises:
        UnknownName: If there is no such profile.
        WeightsMissing: If a file of weights is not there and cannot be downloaded.
        Unreachable: If the database cannot be opened.
    """
    store = open_store(settings.sql_url)  # first: it fails at once, models take their time
    _limit_threads(settings.threads)
    return Service(
        store=store,
        cache=FeatureCache(settings.state_dir / "features", settings.cache_bytes),
        fetcher=_make_fetcher(settings),
        segmenter=load_segmenter(settings.profile, device=settings.device, store=weights.Store(settings.model_dir)),
        max_pixels=settings.max_image_pixels,
        top_k=settings.top_k,
    )


def _make_fetcher(settings: Settings) -> ImageFetcher:
    key = settings.label_studio_api_key
    return ImageFetcher(
        label_studio_url=settings.label_studio_url,
        api_key=key.get_secret_value() if key else None,
        image_hosts=settings.image_hosts,
        local_files_root=settings.local_files_root,
        max_bytes=settings.max_image_bytes,
        timeout_s=settings.fetch_timeout_s,
    )


def _limit_threads(threads: int) -> None:
    import torch  # here: it takes seconds, and the worker reports itself before

    torch.set_num_threads(threads)
