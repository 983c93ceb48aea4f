"""The verbs: segment a task, encode a task, plan the next ones. From a request's id to an answer in the store; knows no Redis."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import structlog

from backend.base.redaction import reason_of
from backend.db.request_store import KnownImage, Request, Store
from backend.inference.clicks import Site, answer_gesture
from backend.inference.expressions import Answered, answer_choice, answer_expression
from backend.inference.feature_cache import FeatureCache
from backend.inference.refinement import list_shown, look_inside, looks_elsewhere, retouch
from backend.inference.refinement_state import Mends, Offer, Standing, Standings, Wish
from backend.inference.request_context import Errand
from backend.inference.segmenters import Segmenters
from backend.label_studio import messages, protocol, regions
from backend.label_studio.gestures import Gesture
from backend.label_studio.messages import Message
from backend.label_studio.prompt import split_label
from backend.settings.project import read_project_settings
from ris_core.errors import BadExpression, BadInput, RisError
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Image, Proposals
from ris_core.types.prompts import PromptEmbedding

log = structlog.get_logger(__name__)

WARM_UP_TEXT = "the red thing"
"""Asked when a worker starts; a model of few words knows this too."""
WARM_UP_SIDE_PX = 64

AHEAD_LIFETIME_S = 600.0
"""How long the encoding of a task that may be opened soon is worth doing."""
RETRY_ENCODING_S = 3600.0
"""A task whose encoding was tried is not planned again for so long."""


class Fetcher(Protocol):
    """Gets the bytes of an image as a task names it (`label_studio.images.ImageFetcher`)."""

    def fetch(
        self, url: str, hostname: str | None = None, token: str | None = None, task_id: int | str | None = None
    ) -> bytes:
        """The bytes, or `ImageUnreachable`."""

    def ask(self, path: str, hostname: str | None = None, token: str | None = None) -> bytes:
        """What Label Studio's API answers to a request of ours, or `ImageUnreachable`."""


@dataclass(frozen=True)
class Service:
    """One worker's means. Made by `wiring`.

    Attributes:
        segmenter: The worker's own.
        max_pixels: Largest image that is decoded.
        top_k: Candidates kept with every answer.
        segmenters: Those of other profiles, for projects that name one.
        make_fetcher: Makes the fetcher of a project that names hosts of its own; without it they are not asked.
        ahead: How many tasks after an opened one are encoded.
    """

    store: Store
    cache: FeatureCache
    fetcher: Fetcher
    segmenter: Segmenter
    max_pixels: int
    top_k: int
    segmenters: Segmenters = field(default_factory=Segmenters)
    make_fetcher: Callable[[tuple[str, ...]], Fetcher] | None = None
    ahead: int = 0

    @property
    def model_version(self) -> str:
        """Version of the answers."""
        return self.segmenter.model_version

    @property
    def standings(self) -> Standings:
        """What stands offered to annotators."""
        return Standings(self.store)

    def warm_up(self) -> None:
        """Run every component once, so that the first annotator does not wait for what is loaded on first use."""
        pixels = np.full((WARM_UP_SIDE_PX, WARM_UP_SIDE_PX, 3), 127, np.uint8)
        pixels[16:48, 16:48] = 255, 0, 0
        image = Image.from_array(pixels)
        self.segmenter.encode(image)
        square = Proposals.from_masks((pixels[..., 1] == 0)[None])  # the proposer may have found nothing
        self.segmenter.segment(self.segmenter.encode(image, square), WARM_UP_TEXT, self.top_k)
        regions.warm_up()
        if self.segmenter.warning:
            log.warning(self.segmenter.warning, model_version=self.model_version)

    def segment(self, request_id: str) -> None:
        """Answer a request: each of its expressions with the regions it refers to, or its clicks and boxes with what they mean.

        What is wrong with the request (its image, label config, expressions) is recorded as its failure, with an empty
        prediction. Of several expressions those that can be answered are. A request that is not wanted any more costs
        nothing. A request of kind "open" is answered from the cache, or with no prediction at all: [].
        """
        if asked := self._start(request_id):
            with self._recording_failure(asked):
                errand = self.begin(asked)
                self._point(errand) if "gesture" in asked.body else self._segment(errand)

    def encode(self, request_id: str) -> None:
        """Make sure that a request's image is in the feature cache, for expressions and, where they are used, for clicks."""
        if asked := self._start(request_id):
            with self._recording_failure(asked):
                errand = self.begin(asked)
                encoded = self.get_encoded(errand)
                if errand.expects_gestures:
                    self.get_embedding(errand)
                self.store.finish_request(asked.id, None)
                errand.log_done(image=encoded.image_sha256, proposals=len(encoded.proposals))

    def plan_ahead(self, request_id: str) -> list[str]:
        """Record that the next tasks after a request's are to be encoded, unless they are or that was tried; the requests' ids.

        They are those that nobody has labelled, in the order of their ids. Whatever prevents it is only logged.
        """
        asked = self.store.get_request(request_id)
        if not self.ahead or asked is None or asked.state == "expired" or asked.project is None:
            return []
        if not asked.task.isdecimal():
            return []
        try:
            errand = self.begin(asked)
            path = protocol.next_tasks_path(asked.project, asked.task, self.ahead)
            fetcher, hostname, token = self._reach(errand)
            tasks = protocol.read_tasks(fetcher.ask(path, hostname, token), asked.project)
            return [self._add_ahead(asked, task) for task in tasks if self._is_worth_encoding(errand, task)]
        except RisError as error:
            log.info("the next tasks are not encoded", task=asked.task, project=asked.project, error=str(error))
            return []

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

    def begin(self, asked: Request) -> Errand:
        """The errand of a request, by its project's settings."""
        settings = read_project_settings(asked.body.get("extra_params", {}))
        is_other = settings.profile not in (None, self.segmenter.profile)
        segmenter = self.segmenters.get(settings.profile) if settings.profile and is_other else self.segmenter
        return Errand(asked, settings, segmenter)

    def _segment(self, errand: Errand) -> None:
        asked, encoded = errand.asked, None
        if asked.kind == "open":
            encoded = self._cached(errand, errand.image_url)
            if encoded is None:
                self.store.finish_request(asked.id, [])
                errand.log_done(image="not in the cache", regions=0)
                return
        made, errors = self._answer_all(errand, encoded)
        if errors and not made:
            raise errors[0] if len(errors) == 1 else _merge(errors)
        if self._hand_out(errand, made, errors) and asked.kind == "interactive" and asked.prompt_id:
            self.standings.save(asked.project, asked.task, _stand(asked, made[-1]))

    def _point(self, errand: Errand) -> None:
        """Answer a gesture: it corrects what stands offered, or it is about itself."""
        asked, proposer = errand.asked, errand.promptable
        gesture, version = Gesture.from_json(asked.body["gesture"]), errand.segmenter.model_version
        site = Site(gesture, errand.config.controls[0], asked.task, version, errand.settings.smooth_px)
        mends = Mends(**asked.body["mends"]) if "mends" in asked.body else None
        standing = self.standings.get(asked.project, asked.task, mends.prompt_id) if mends else None
        if mends is None or standing is None:
            made = answer_gesture(proposer, self.get_embedding(errand), site)
            errand.tick("mask")
            self._hand_out(errand, [made], [])
            return
        if looks_elsewhere(gesture, standing.offer):
            done = look_inside(errand.segmenter, proposer, self._open(errand), site, standing.offer, mends)
        else:
            done = retouch(proposer, self.get_embedding(errand), site, standing.offer, mends)
        errand.tick("mend")
        if self._hand_out(errand, done.made, []):
            mended = replace(standing, user=asked.user, draft=mends.draft, offer=done.offer)
            self.standings.save(asked.project, asked.task, mended)

    def _hand_out(self, errand: Errand, made: Sequence[Answered], errors: Sequence[BadInput]) -> bool:
        """Record the answer; False if nobody waits for it any more."""
        asked = errand.asked
        handed_out = [region for answered in made for region in answered.regions]
        score = min((region["score"] for region in handed_out), default=0.0)
        told = messages.join(_tell_all(made, errors)) if asked.kind == "interactive" else None
        untold = told.left_out if told else ()
        for answered in made:
            protocol.note_untold(answered.regions, [one.text for one in answered.told if one.text in untold])
        is_handed_out = self.store.finish_request(
            asked.id,
            protocol.prediction(handed_out, score, errand.segmenter.model_version),
            [answered.record for answered in made],
            " ".join(map(str, errors)) or None,
            told.to_json() if told else None,
        )
        errand.log_done(
            image=made[0].record.image_sha256 if made else "",
            regions=len(handed_out),
            **({"told": told.kind} if told else {}),
            **({} if is_handed_out else {"discarded": "too late, or answered already"}),
        )
        return is_handed_out

    def _answer_all(self, errand: Errand, encoded: EncodedImage | None) -> tuple[list[Answered], list[BadInput]]:
        """An answer for each expression that can be read; what is wrong with the others.

        Nothing is encoded for another candidate of what was answered before.
        """
        made: list[Answered] = []
        errors: list[BadInput] = []
        for text in errand.asked.body["expressions"]:
            wish = self._read_wish(errand, text)
            if wish.known is None and wish.text:
                encoded = encoded or self.get_encoded(errand)
            try:
                made.append(self._grant(errand, wish, encoded))
            except BadInput as error:
                log.warning(
                    "an expression cannot be answered", request=errand.asked.id, expression=text, error=str(error)
                )
                errors.append(error)
        errand.tick("segment")
        return made, errors

    def _read_wish(self, errand: Errand, text: str) -> Wish:
        """What an expression asks for, by what was asked before."""
        asked = errand.asked
        label, bare = split_label(errand.config.controls[0], text)
        if asked.kind != "interactive" or not asked.prompt_id:
            return Wish(text)
        return self.standings.read_wish(asked.project, asked.task, asked.prompt_id, text, bare, label)

    def _grant(self, errand: Errand, wish: Wish, encoded: EncodedImage | None) -> Answered:
        control, task = errand.config.controls[0], errand.asked.task
        if wish.known:
            return answer_choice(wish.known, wish.rank, control, task, wish.is_guess)
        if encoded is None:
            raise BadExpression("Nothing was asked here before. Type what you mean first.")
        settings = errand.settings
        made = answer_expression(
            errand.segmenter, encoded, wish.text, control, task, self.top_k, settings.min_score, settings.smooth_px
        )
        return answer_choice(made.record, wish.rank, control, task, made.is_guess) if wish.rank else made

    def get_encoded(self, errand: Errand) -> EncodedImage:
        """The request's image, encoded: from the cache, without fetching anything, if it was seen there lately."""
        if encoded := self._cached(errand, errand.image_url):
            errand.tick("cache")
            return encoded
        image = self._open(errand)
        encoded = self.cache.get(errand.segmenter.encode_fp, image.sha256)
        if encoded is None:
            encoded = errand.segmenter.encode(image)
            self.cache.put(encoded)
            errand.tick("encode")
            if errand.expects_gestures:
                self.get_embedding(errand)  # now: the proposer has just seen the image
        return encoded

    def get_embedding(self, errand: Errand) -> PromptEmbedding:
        """What clicks and boxes on the request's image are answered from, as `get_encoded` gets what expressions need."""
        proposer = errand.promptable
        known = self.store.known_image(errand.asked.project, errand.image_url)
        if known and (embedding := self.cache.get_embedding(proposer.embed_fp, known.image_sha256)):
            return embedding
        image = self._open(errand)
        embedding = self.cache.get_embedding(proposer.embed_fp, image.sha256)
        if embedding is None:
            embedding = proposer.embed(image)
            self.cache.put_embedding(embedding)
        errand.tick("embed")
        return embedding

    def _open(self, errand: Errand) -> Image:
        """The request's image; fetched once."""
        if errand.image is None:
            url = errand.image_url
            errand.image = Image.open(self._fetch(errand, url), self.max_pixels)
            height, width = errand.image.size_hw
            self.store.remember_image(errand.asked.project, url, KnownImage(errand.image.sha256, height, width))
            errand.tick("fetch")
        return errand.image

    def _cached(self, errand: Errand, url: str) -> EncodedImage | None:
        known = self.store.known_image(errand.asked.project, url)
        return self.cache.get(errand.segmenter.encode_fp, known.image_sha256) if known else None

    def _fetch(self, errand: Errand, url: str) -> bytes:
        fetcher, hostname, token = self._reach(errand)
        return fetcher.fetch(url, hostname, token, errand.asked.task)

    def _reach(self, errand: Errand) -> tuple[Fetcher, str | None, str | None]:
        """What fetches for the request's project; its Label Studio's address, and the token that came with that."""
        asked, hosts = errand.asked, errand.settings.image_hosts
        made = self.store.get_connection(asked.project)
        hostname = asked.body.get("hostname") or (made.hostname if made else None)
        token = (made.access_token or None) if made and made.hostname == hostname else None
        fetcher = self.make_fetcher(hosts) if hosts and self.make_fetcher else self.fetcher
        return fetcher, hostname, token

    def _is_worth_encoding(self, errand: Errand, task: protocol.Task) -> bool:
        """It comes after the errand's own, was not tried lately, has an image, and that is not in the cache."""
        url = protocol.read_field(task.data, errand.config.image_key)
        return (
            task.id.isdecimal()
            and int(task.id) > int(errand.asked.task)
            and url is not None
            and not self.store.was_encoded_lately(task.project, task.id, RETRY_ENCODING_S)
            and self._cached(errand, url) is None
        )

    def _add_ahead(self, asked: Request, task: protocol.Task) -> str:
        body = {**asked.body, "data": dict(task.data), "expressions": []}
        return self.store.add_request("ahead", task.id, body, lifetime_s=AHEAD_LIFETIME_S, project=task.project)

    @contextmanager
    def _recording_failure(self, asked: Request) -> Iterator[None]:
        """Record what ends a request: what is wrong with it stops here, anything else is our own fault and goes on."""
        nothing = protocol.prediction([], 0.0, self.model_version)
        try:
            yield
        except RisError as error:
            log.warning("failed", kind=asked.kind, task=asked.task, error=str(error), request=asked.id)
            self.store.fail_request(asked.id, str(error), nothing, messages.about_error(error).to_json())
        except Exception as error:
            reason = f"internal error ({type(error).__name__}: {reason_of(error)}); see the worker's log"
            self.store.fail_request(asked.id, reason, nothing)
            raise


def _stand(asked: Request, last: Answered) -> Standing:
    """The last of several expressions can be mended."""
    offer = Offer(last.record, last.is_guess, list_shown(last), rank=1 + max(last.record.selected, default=-1))
    return Standing(str(asked.prompt_id), asked.user, asked.body.get("draft"), offer)


def _merge(errors: Sequence[BadInput]) -> BadInput:
    """Several errors as one, with the notes of all."""
    merged = BadExpression(" ".join(map(str, errors)))
    for note in dict.fromkeys(note for error in errors for note in getattr(error, "__notes__", ())):
        merged.add_note(note)
    return merged


def _tell_all(made: Sequence[Answered], errors: Sequence[RisError]) -> Iterator[Message]:
    for answered in made:
        yield from answered.told
    for error in errors:
        yield messages.about_error(error)
