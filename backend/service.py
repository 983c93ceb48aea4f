"""The verbs: segment a task, encode a task. From a request's id to an answer in the store; knows nothing of Redis."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import structlog

from backend.errors import BadConfig
from backend.feature_cache import FeatureCache
from backend.label_studio import protocol, regions
from backend.store import Answer, KnownImage, Region, Request, Store
from ris_core.documents import list_candidates
from ris_core.errors import BadInput, RisError
from ris_core.segmenter import Segmenter
from ris_core.types import EncodedImage, Image, Prediction, Proposals

log = structlog.get_logger(__name__)

WARM_UP_SIDE_PX = 64


class Fetcher(Protocol):
    """Gets the bytes of an image as a task names it (`label_studio.images.ImageFetcher`)."""

    def fetch(
        self, url: str, hostname: str | None = None, token: str | None = None, task_id: int | str | None = None
    ) -> bytes:
        """The bytes, or `ImageUnreachable`."""


@dataclass(frozen=True)
class Service:
    """One worker's means. Made by `wiring`.

    Attributes:
        max_pixels: Largest image that is decoded.
        top_k: Candidates kept with every answer.
    """

    store: Store
    cache: FeatureCache
    fetcher: Fetcher
    segmenter: Segmenter
    max_pixels: int
    top_k: int

    @property
    def model_version(self) -> str:
        """Version of the answers."""
        return self.segmenter.model_version

    def warm_up(self) -> None:
        """Run every component once, so that the first annotator does not wait for what is loaded on first use."""
        pixels = np.full((WARM_UP_SIDE_PX, WARM_UP_SIDE_PX, 3), 127, np.uint8)
        pixels[16:48, 16:48] = 255, 0, 0
        image = Image.from_array(pixels)
        self.segmenter.encode(image)
        square = Proposals.from_masks((pixels[..., 1] == 0)[None])  # the proposer may have found nothing
        self.segmenter.segment(self.segmenter.encode(image, square), "the red square", self.top_k)
        if self.segmenter.warning:
            log.warning(self.segmenter.warning, model_version=self.model_version)

    def segment(self, request_id: str) -> None:
        """Answer a request: each of its expressions with the regions it refers to.

        What is wrong with the request (its image, label config, expressions) is recorded as its failure, with an empty
        prediction. Of several expressions those that can be answered are. A request that is not wanted any more costs
        nothing. A request of kind "open" is answered from the cache, or with no prediction at all: [].
        """
        if asked := self._start(request_id):
            with self._recording_failure(asked):
                self._segment(asked)

    def encode(self, request_id: str) -> None:
        """Make sure that a request's image is in the feature cache."""
        if asked := self._start(request_id):
            with self._recording_failure(asked):
                job = _Job(asked)
                encoded = self._encode(asked, job)
                self.store.finish_request(asked.id, None)
                job.log_done(image=encoded.image_sha256, proposals=len(encoded.proposals))

    def expire_overdue(self) -> None:
        """Close requests that nobody waits for any more."""
        if expired := self.store.expire_overdue():
            log.warning("requests expired unanswered", count=expired)

    def _start(self, request_id: str) -> Request | None:
        if not self.store.start_request(request_id):
            found = self.store.get_request(request_id)
            log.info("dropped", request=request_id, reason=found.error or found.state if found else "unknown")
            return None
        return self.store.get_request(request_id)

    def _segment(self, asked: Request) -> None:
        job = _Job(asked)
        config = protocol.read_config(asked.body["label_config"])
        encoded = self._cached(asked) if asked.kind == "open" else self._encode(asked, job)
        if encoded is None:
            self.store.finish_request(asked.id, [])
            job.log_done(image="not in the cache", regions=0)
            return
        made, errors = self._answer_all(asked.body["expressions"], config.controls[0], encoded, job)
        if errors and not made:
            raise BadInput(" ".join(errors))
        handed_out = [region for _, shown in made for region in shown]
        score = min((region["score"] for region in handed_out), default=0.0)
        prediction = protocol.prediction(handed_out, score, self.model_version)
        is_handed_out = self.store.finish_request(
            asked.id, prediction, [answer for answer, _ in made], " ".join(errors) or None
        )
        job.log_done(
            image=encoded.image_sha256,
            regions=len(handed_out),
            **({} if is_handed_out else {"discarded": "too late, or answered already"}),
        )

    def _answer_all(
        self, expressions: Sequence[str], control: protocol.Control, encoded: EncodedImage, job: "_Job"
    ) -> tuple[list[tuple[Answer, list[protocol.Json]]], list[str]]:
        """An answer and its regions for each expression that can be read; what is wrong with the others."""
        made, errors = [], []
        for text in expressions:
            try:
                made.append(self._answer(text, control, encoded))
            except BadInput as error:
                log.warning(
                    "an expression cannot be answered", request=job.request_id, expression=text, error=str(error)
                )
                errors.append(str(error))
        job.tick("segment")
        return made, errors

    def _answer(
        self, text: str, control: protocol.Control, encoded: EncodedImage
    ) -> tuple[Answer, list[protocol.Json]]:
        _, bare = protocol.split_label(control, text)
        prediction = self.segmenter.segment(encoded, bare, self.top_k)
        picked = protocol.pick_label(control, text, prediction.expression.head)
        shown = [_make_region(prediction, i, control, picked) for i in prediction.selected if prediction.masks[i].any()]
        handed_out = [
            Region(id=region["id"], candidate_rank=i + 1, from_name=control.name, label=picked.label)
            for i, region in shown
        ]
        height, width = encoded.size_hw
        answer = Answer(
            expression=picked.expression,
            label=picked.label,
            decision=prediction.decision,
            model_version=prediction.model_version,
            encode_fp=encoded.encode_fp,
            image_sha256=encoded.image_sha256,
            height=height,
            width=width,
            candidates=[dict(candidate) for candidate in list_candidates(prediction)],
            selected=[int(i) for i in prediction.selected],
            regions=handed_out,
        )
        return answer, [region for _, region in shown]

    def _encode(self, asked: Request, job: "_Job") -> EncodedImage:
        """The request's image, encoded: from the cache, without fetching anything, if it was seen there lately."""
        if encoded := self._cached(asked):
            job.tick("cache")
            return encoded
        image = Image.open(self._fetch(asked), self.max_pixels)
        height, width = image.size_hw
        self.store.remember_image(asked.project, _image_url(asked), KnownImage(image.sha256, height, width))
        job.tick("fetch")
        encoded = self.cache.get(self.segmenter.encode_fp, image.sha256)
        if encoded is None:
            encoded = self.segmenter.encode(image)
            self.cache.put(encoded)
        job.tick("encode")
        return encoded

    def _cached(self, asked: Request) -> EncodedImage | None:
        known = self.store.known_image(asked.project, _image_url(asked))
        return self.cache.get(self.segmenter.encode_fp, known.image_sha256) if known else None

    def _fetch(self, asked: Request) -> bytes:
        made = self.store.get_connection(asked.project)
        hostname = asked.body.get("hostname") or (made.hostname if made else None)
        token = (made.access_token or None) if made and made.hostname == hostname else None
        return self.fetcher.fetch(_image_url(asked), hostname, token, asked.task)

    @contextmanager
    def _recording_failure(self, asked: Request) -> Iterator[None]:
        """Record what ends a request: what is wrong with it stops here, anything else is our own fault and goes on."""
        nothing = protocol.prediction([], 0.0, self.model_version)
        try:
            yield
        except RisError as error:
            log.warning("failed", kind=asked.kind, task=asked.task, error=str(error), request=asked.id)
            self.store.fail_request(asked.id, str(error), nothing)
        except Exception as error:
            reason = f"internal error ({type(error).__name__}: {error}); see the worker's log"
            self.store.fail_request(asked.id, reason, nothing)
            raise


def _make_region(
    prediction: Prediction, index: int, control: protocol.Control, picked: protocol.Picked
) -> tuple[int, protocol.Json]:
    """The candidate's index, and its region under a fresh id: Label Studio replaces a region whose id comes again."""
    notes: dict[str, Any] = {"decision": prediction.decision}
    if picked.is_guess:
        notes["label_is_guess"] = True
    score = float(prediction.scores[index])
    mask = prediction.masks[index]
    return index, regions.make_region(
        mask, control, picked.label, regions.new_region_id(), score, picked.expression, notes
    )


def _image_url(asked: Request) -> str:
    """Address of a request's image, as its task gives it.

    Raises:
        BadConfig: If the task has no text in the field that the label config names.
    """
    key = protocol.read_config(asked.body["label_config"]).image_key
    url = protocol.read_field(asked.body["data"], key)
    if url is None:
        raise BadConfig(f"Task {asked.task} has no image address in the field {key!r}. Import it, or correct <Image>.")
    return url


class _Job:
    """Times the parts of one job and writes its line into the log."""

    def __init__(self, asked: Request) -> None:
        self.request_id, self._asked = asked.id, asked
        self._started_at = self._last = time.perf_counter()
        self._parts_s: dict[str, float] = {}

    def tick(self, part: str) -> None:
        """The time since the last tick went into this part."""
        now = time.perf_counter()
        self._parts_s[f"{part}_s"] = round(now - self._last, 3)
        self._last = now

    def log_done(self, image: str, **more: object) -> None:
        """One line a job: image, expression, seconds of each component."""
        log.info(
            "done",
            kind=self._asked.kind,
            task=self._asked.task,
            image=image[:12],
            expressions=list(self._asked.body.get("expressions", [])),
            seconds=round(time.perf_counter() - self._started_at, 3),
            request=self.request_id,
            **self._parts_s,
            **more,
        )
