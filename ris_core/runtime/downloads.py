"""Downloads of weights, from an address or from the model hub."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
from huggingface_hub.utils.tqdm import tqdm

from ris_core.runtime.registry import Weight

TIMEOUT_S = 30.0
"""Longest silence of a download's server."""
CHUNK_BYTES = 1 << 20

Progress = Callable[[str, int, int], None]
"""Called as (name of the weights, bytes so far, bytes in all or 0 if unknown)."""


class WrongBytes(Exception):
    """The server sent other bytes than expected.

    Attributes:
        sha256: Hex digest of what it sent.
    """

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256
        super().__init__(sha256)


def from_url(weight: Weight, file: Path, progress: Progress | None) -> None:
    """Download from the weight's `url` to a file, whose folder is made.

    Raises:
        WrongBytes: If the bytes do not have the weight's sha256; the file is not written then.
        httpx.HTTPError, OSError: If the download fails.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")  # one per process: two may download the same weights
    try:
        hasher = hashlib.sha256()
        with part.open("wb") as opened:
            for chunk in _stream(weight, progress):
                opened.write(chunk)
                hasher.update(chunk)
        if hasher.hexdigest() != weight.sha256:
            raise WrongBytes(hasher.hexdigest())
        part.replace(file)  # atomic: no other process ever sees half a file under the final name
    finally:
        part.unlink(missing_ok=True)


def from_hub(weight: Weight, file_name: str, cache: Path, progress: Progress | None) -> Path:
    """Download a file of the weight's hub repository into a folder of the hub's own layout; the path of the file in it.

    Raises:
        httpx.HTTPError, OSError, ValueError: If the download fails.
    """
    path = huggingface_hub.hf_hub_download(
        weight.hub_repo,
        file_name,
        revision=weight.hub_revision,
        cache_dir=cache,
        tqdm_class=_reporting_bar(weight.name, progress),
    )
    return Path(path)


def _stream(weight: Weight, progress: Progress | None) -> Iterator[bytes]:
    as_is = {"Accept-Encoding": "identity"}  # the digest is that of the file, not of what a server packs it into
    with httpx.stream("GET", weight.url, headers=as_is, follow_redirects=True, timeout=TIMEOUT_S) as response:
        response.raise_for_status()
        total_bytes, sent_bytes = int(response.headers.get("content-length", 0)), 0
        for chunk in response.iter_raw(CHUNK_BYTES):
            yield chunk
            sent_bytes += len(chunk)
            if progress:
                progress(weight.name, sent_bytes, total_bytes)


def _reporting_bar(name: str, progress: Progress | None) -> type[tqdm]:
    """The hub's progress bar, reporting to `progress` instead of the terminal."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]
            self.sent_bytes, self.total_bytes = int(kwargs.get("initial") or 0), int(kwargs.get("total") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            self.sent_bytes += int(n or 0)
            if progress:
                progress(name, self.sent_bytes, self.total_bytes)
            is_drawn: bool | None = super().update(n)
            return is_drawn

    return Bar
