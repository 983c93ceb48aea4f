"""A real worker process whose segmenter is the toy one: `python -m tests.toy_worker`, settings from the environment.

While the file `hold` exists in the state folder, encoding an image waits, and says so by the file `holding`; so do the
warm-up while `hold-loading` exists, and encoding, deaf to signals as native code is, while `hold-deaf` exists. With `large-features`
there, an encoded image has megabytes; with `guided` when it starts, the method is one that can learn.
"""

import functools
import signal
import time
from pathlib import Path

import numpy as np

from backend.db.request_store import open_request_store
from backend.inference.feature_cache import FeatureCache
from backend.inference.service import InferenceService
from backend.label_studio.images import ImageFetcher
from backend.settings.environment import Settings
from backend.worker import wiring, worker
from tests.toy import ColourEncoder, guided_toy, toy_segmenter

WARM_UP_SIZE_HW = (64, 64)
LARGE_BYTES = 8 << 20


class HeldEncoder(ColourEncoder):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def encode(self, image, proposals):
        if image.size_hw == WARM_UP_SIZE_HW:
            self._wait("hold-loading")
        else:
            self._wait("hold")
            if (self._folder / "hold-deaf").exists():
                signal.signal(signal.SIGALRM, signal.SIG_IGN)
            self._wait("hold-deaf")
        features = super().encode(image, proposals)
        if (self._folder / "large-features").exists():
            features["padding"] = np.zeros((len(proposals), LARGE_BYTES // 4 // len(proposals)), np.float32)
        return features

    def _wait(self, name: str) -> None:
        while (self._folder / name).exists():
            (self._folder / "holding").touch()
            time.sleep(0.01)


@functools.cache
def build_toy_service(settings: Settings) -> InferenceService:
    make = guided_toy if (settings.state_dir / "guided").exists() else toy_segmenter
    segmenter = make(encoder=HeldEncoder(settings.state_dir))
    cache = FeatureCache(settings.state_dir / "features", settings.cache_bytes)
    return InferenceService(
        open_request_store(settings.sql_url),
        cache,
        ImageFetcher(),
        segmenter,
        settings.max_image_pixels,
        settings.top_k,
    )


if __name__ == "__main__":
    wiring.build_service = build_toy_service
    worker.HEARTBEAT_S, worker.GRACE_S = 0.2, 1.0
    worker.main()
