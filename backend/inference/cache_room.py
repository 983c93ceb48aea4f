"""Whether the feature cache has room for the images of a run: what is deleted before it is used was encoded in vain."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from backend.inference.cache_files import CacheFiles
from backend.inference.feature_cache import FeatureCache
from ris_core.errors import BadInput

IMAGE_BYTES, CLICK_BYTES = 500_000, 2_200_000
"""Sizes of an encoded image, and of what clicks on it are answered from, as long as there are none to measure."""
MARGIN = 1.2
"""The limit that an error suggests, relative to the need: annotators open other images too."""


class CacheTooSmall(BadInput):
    """The first images would be deleted before the last are encoded."""


@dataclass(frozen=True)
class CacheNeed:
    """What the images of a run need.

    Attributes:
        setting: The limit that it counts towards.
        bytes: For all images together.
        is_measured: By files in the cache; else it is a guess.
    """

    setting: str
    bytes: float
    is_measured: bool


def measure_need(
    cache: FeatureCache, images: int, encode_fp: str | None = None, *, with_clicks: bool
) -> list[CacheNeed]:
    """What images need, by the mean size of the files that are there.

    Args:
        encode_fp: What will encode them, if it is known.
        with_clicks: Whether clicks on them are to be answered too.
    """
    kinds = [("CACHE_BYTES", cache.images.mean_bytes(encode_fp), IMAGE_BYTES)]
    if with_clicks:
        kinds.append(("CLICK_CACHE_BYTES", cache.clicks.mean_bytes(), CLICK_BYTES))
    return [
        CacheNeed(setting, (guess if mean is None else mean) * images, mean is not None)
        for setting, mean, guess in kinds
    ]


def check_room(cache: FeatureCache, images: int, encode_fp: str | None = None, *, with_clicks: bool) -> None:
    """Refuse images for which there is no room. What was never measured is refused by a guess only far above the limit.

    Raises:
        CacheTooSmall: If a limit, or the free disk, is too small.
    """
    needs = measure_need(cache, images, encode_fp, with_clicks=with_clicks)
    for need, files in zip(needs, _files(cache), strict=False):
        if need.bytes > files.max_bytes * (1 if need.is_measured else 2):
            raise CacheTooSmall(
                f"{need.setting} is {_mib(files.max_bytes)}, but {images:,} images need about {_mib(need.bytes)}"
                f"{'' if need.is_measured else ' (a guess)'}: the first would be deleted before the last are encoded. Set "
                f"{need.setting}={round(need.bytes * MARGIN)} for the workers and for this command, or select fewer tasks with --tasks."
            )
    growth = sum(max(0.0, need.bytes - files.known_bytes()) for need, files in zip(needs, _files(cache), strict=False))
    free = shutil.disk_usage(_existing(cache.folder)).free
    if growth > free:
        raise CacheTooSmall(
            f"The disk of {cache.folder} has {_mib(free)} free, but {images:,} images need about {_mib(growth)} more. Free some "
            "space, move RIS_STATE_DIR to another disk, or select fewer tasks with --tasks."
        )


def _files(cache: FeatureCache) -> tuple[CacheFiles, CacheFiles]:
    return cache.images, cache.clicks


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())


def _mib(size: float) -> str:
    return f"{size / (1 << 20):,.1f} MiB"
