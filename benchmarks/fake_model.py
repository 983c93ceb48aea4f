"""A model that takes a set time and no computing: benchmarks of everything around models use it in their workers.

`python -m benchmarks.fake_model SECONDS [LEASE_S BATCH]` is a worker like any other, but that each expression takes so many
seconds, asleep, and finds the left half of the image. Settings come from the environment.
"""

import functools
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from backend.base.logs import configure_logging
from backend.db.request_store import open_request_store
from backend.inference.feature_cache import FeatureCache
from backend.inference.service import InferenceService
from backend.runs import leases, studio_client, writer
from backend.settings.environment import Settings, read_settings
from backend.worker import wiring, worker
from ris_core.language.parser import clean_expression
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Expression, Image, Proposals, Scores

PROFILE = "stand-in"


class HalvesProposer:
    """Proposes the left and the right half."""

    fingerprint: Mapping[str, object] = {"proposer": "halves"}

    def propose(self, image: Image) -> Proposals:
        """Two masks."""
        left = np.zeros(image.size_hw, bool)
        left[:, : max(1, image.size_hw[1] // 2)] = True
        return Proposals.from_masks(np.stack([left, ~left]))


class SleepingEncoder:
    """Encodes nothing; each text takes its time."""

    fingerprint: Mapping[str, object] = {"encoder": "sleeper"}
    logit_scale, logit_bias = 1.0, 0.0

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def encode(self, image: Image, proposals: Proposals) -> dict[str, Float[ndarray, "..."]]:
        """One number a proposal."""
        return {"global": np.ones((len(proposals), 1), np.float32)}

    def encode_texts(self, texts: Sequence[str]) -> Float[ndarray, "t e"]:
        """One number a text, after the time."""
        time.sleep(self._seconds)
        return np.ones((len(texts), 1), np.float32)


class FirstProposalMethod:
    """Takes the first proposal."""

    settings: Mapping[str, object] = {}
    features: Sequence[str] = ("global",)
    excludes = False

    def texts(self, expression: Expression) -> dict[str, str]:
        """The expression."""
        return {"text": expression.text}

    def score(
        self,
        encoded: EncodedImage,
        expression: Expression,
        texts: Mapping[str, Float[ndarray, "e"]],
        logit_scale: float,
        logit_bias: float = 0.0,
    ) -> Scores:
        """1 for the first, 0 for the others."""
        return Scores(values=(np.arange(len(encoded.proposals)) == 0).astype(float), parts={})


class OnePhraseParser:
    """Takes an expression for one noun phrase."""

    fingerprint = "reader"
    quirks: frozenset[str] = frozenset()

    def parse(self, text: str) -> Expression:
        """Its last word is the head."""
        cleaned = clean_expression(text).lower()
        head = cleaned.split()[-1]
        return Expression(text, cleaned, cleaned, head, (), position="none", relation="none", is_whole=False)


def make_segmenter(seconds: float) -> Segmenter:
    """A segmenter of these components."""
    reader: Any = OnePhraseParser()  # in a parser's place: loading spaCy is not what is measured
    return Segmenter(
        PROFILE, "first", HalvesProposer(), SleepingEncoder(seconds), FirstProposalMethod(), reader, PROFILE
    )


def main(arguments: Sequence[str]) -> None:
    """Run a worker until it is told to stop."""
    seconds = float(arguments[0])
    if arguments[1:]:
        leases.LEASE_S = float(arguments[1])
        studio_client.TIMEOUT_S = leases.LEASE_S * 2 / 3
        writer.BATCH = int(arguments[2])

    @functools.cache
    def build_service(settings: Settings) -> InferenceService:
        cache = FeatureCache(settings.state_dir / "features", settings.cache_bytes)
        fetcher = wiring.make_fetcher(settings)
        segmenter = make_segmenter(seconds)
        return InferenceService(
            open_request_store(settings.sql_url), cache, fetcher, segmenter, settings.max_image_pixels, settings.top_k
        )

    wiring.build_service = build_service
    settings = read_settings()
    configure_logging(settings.log_level)
    worker.run_worker(settings)


if __name__ == "__main__":
    main(sys.argv[1:])
